"""Workers that take something out of the mesh keep a distance to the others' changes."""

from pathlib import Path

import pytest

from egress_conformance.mesh import turns
from egress_conformance.mesh.turns import QUIET_SECONDS, Turns
from tests.unit.fakes import Clock


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    return clock


def test_a_removal_keeps_a_distance_to_another_workers_last_change(tmp_path: Path, clock: Clock) -> None:
    mine, others = Turns(tmp_path, "gw0"), Turns(tmp_path, "gw1")
    with others.change():
        clock.sleep(1)
    clock.sleep(0.1)
    with mine.removal():
        assert clock.now == pytest.approx(1001 + QUIET_SECONDS)
        clock.sleep(0.05)
    # A removal is a change, too.
    with others.removal():
        assert clock.now == pytest.approx(1001 + QUIET_SECONDS + 0.05 + QUIET_SECONDS)


def test_it_waits_no_longer_than_it_must(tmp_path: Path, clock: Clock) -> None:
    mine, others = Turns(tmp_path, "gw0"), Turns(tmp_path, "gw1")
    with mine.removal():
        assert clock.now == 1000
    # Its own changes concern its own proxies: their push is not left out.
    with mine.change(), Turns().removal():
        assert clock.now == 1000
    with mine.removal():
        assert clock.now == 1000
    clock.sleep(1)
    with others.removal():
        assert clock.now == 1001
    with mine.change():
        assert clock.now == 1001


def test_a_change_that_failed_counts_all_the_same(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), Turns(tmp_path, "gw1").change():
        raise ZeroDivisionError
    with Turns(tmp_path, "gw0").removal():
        assert clock.now == pytest.approx(1000 + QUIET_SECONDS)
