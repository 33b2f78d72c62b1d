"""Waiting ends with what was looked for, or with a time-out that says what was seen last."""

import pytest

from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.waiting import wait_for
from tests.unit.fakes import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


def test_it_ends_as_soon_as_there_is_something(clock: Clock) -> None:
    looks = iter([None, None, "there"])
    assert wait_for("it", lambda: next(looks), seconds=10, hint="look", every=0.5) == "there"
    assert clock.now == 1001.0


@pytest.mark.parametrize("found", [0, False, "", []])
def test_anything_but_none_is_something(clock: Clock, found: object) -> None:
    assert wait_for("it", lambda: found, seconds=1, hint="look") is found


def test_it_looks_at_least_once(clock: Clock) -> None:
    assert wait_for("it", lambda: "there", seconds=0, hint="look") == "there"


def test_a_deadline_passes_with_what_was_seen_last_and_what_to_try(clock: Clock) -> None:
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1

    with pytest.raises(Timeout) as caught:
        wait_for("the pod", look, seconds=2, hint="kubectl get pods", every=0.5, seen=lambda: f"look {looks}")
    assert looks == 5
    assert str(caught.value) == ("timed out: waited 2 s for the pod; last seen: look 5; try: kubectl get pods")
    assert caught.value.reason == "timed out"
    assert isinstance(caught.value, PlatformTrouble)


def test_an_error_ends_the_wait_at_once(clock: Clock) -> None:
    def look() -> None:
        raise PlatformTrouble("API server away", "refused")

    with pytest.raises(PlatformTrouble, match="API server away: refused"):
        wait_for("it", look, seconds=10, hint="look")
    assert clock.now == 1000.0
