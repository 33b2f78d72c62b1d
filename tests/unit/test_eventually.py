"""What becomes so after a while: looked at until it is, and recorded as a check either way."""

from collections.abc import Callable, Iterable

import pytest

from egress_conformance.traffic.eventually import Look, becomes, eventually
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from tests.unit.fakes import Clock

GOOD, BAD = Look("good", envoy=["proxy"], server=["world"]), Look("bad", ["it is bad"])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


def looks(each: Iterable[Look]) -> Callable[[], Look]:
    """Looks that see these, and the last of them ever after."""
    left = list(each)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_it_looks_until_it_is_so(clock: Clock) -> None:
    recorder = Recorder()
    assert eventually(recorder, "it is good", looks([BAD, BAD, GOOD])) == GOOD
    (check,) = recorder.checks
    assert (check.expected, check.held) == ("it is good", True)
    assert (check.attempts[0].curl, check.attempts[0].envoy, check.attempts[0].server) == ("good", ["proxy"], ["world"])
    assert clock.now < 1001


def test_it_must_be_so_several_times_in_a_row() -> None:
    seen: list[Look] = []
    source = looks([GOOD, BAD, GOOD, GOOD])

    def look() -> Look:
        seen.append(source())
        return seen[-1]

    eventually(Recorder(), "it is good", look, times=2)
    assert seen == [GOOD, BAD, GOOD, GOOD]


def test_what_never_becomes_so_is_a_failed_check(clock: Clock) -> None:
    recorder = Recorder(seconds=3)
    with pytest.raises(CheckFailed, match=r"check|control before: it is good; but: bad \(it is bad\)"):
        eventually(recorder, "it is good", looks([BAD]))
    assert recorder.checks[0].held is False
    assert 1003 <= clock.now < 1004


def test_once_is_not_enough_when_the_time_is_over() -> None:
    with pytest.raises(CheckFailed):
        eventually(Recorder(seconds=0), "it is good", looks([GOOD]), times=2)


def test_a_value_becomes_another() -> None:
    recorder, values = Recorder(seconds=1), [[1], [1, 2]]
    becomes(recorder, "the numbers", lambda: values.pop(0), [1, 2])
    assert recorder.checks[0].expected == "the numbers become [1, 2]"
    with pytest.raises(CheckFailed, match=r"\[3\] \(not as expected\)"):
        becomes(recorder, "the numbers", lambda: [3], [4])
