"""Waiting ends with what was looked for, or with a time-out that says what was seen last."""

from collections.abc import Callable

import pytest

from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.waiting import UNDO_SECONDS, persist, wait_for
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


def away(times: int) -> Callable[[], str]:
    """Something that meets an API server that is away so many times."""
    left = iter(range(times))

    def action() -> str:
        if next(left, None) is not None:
            raise PlatformTrouble("API server away", "refused")
        return "done"

    return action


def test_what_must_not_be_left_undone_is_tried_until_it_is_done(clock: Clock) -> None:
    assert persist(away(0)) == "done"
    assert clock.now == 1000
    assert persist(away(6)) == "done"
    assert clock.now == 1003


def test_and_given_up_with_what_stood_in_its_way(clock: Clock) -> None:
    with pytest.raises(PlatformTrouble, match="API server away: refused") as caught:
        persist(away(10_000))
    assert not isinstance(caught.value, Timeout)
    assert clock.now == pytest.approx(1000 + UNDO_SECONDS, abs=1)


def test_what_is_no_trouble_of_the_platforms_is_not_tried_again(clock: Clock) -> None:
    tried = []

    def action() -> None:
        tried.append(1)
        raise ValueError("no mode X")

    with pytest.raises(ValueError, match="no mode X"):
        persist(action)
    assert tried == [1]
