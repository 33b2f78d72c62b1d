"""Things that become so after a while and are no requests: endpoints of a proxy, a resource's status, a DNS answer."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from egress_conformance.errors import Timeout
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.waiting import wait_for

_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class Look:
    """One look at something, and what is wrong with it.

    Attributes:
        seen: what was seen, in words.
        problems: where that is not as expected; empty when it is.
        envoy: what the caller's proxy says of it.
        server: what the world says of it.
    """

    seen: str
    problems: list[str] = field(default_factory=list)
    envoy: list[str] = field(default_factory=list)
    server: list[str] = field(default_factory=list)


def eventually(recorder: Recorder, expected: str, look: Callable[[], Look], *, times: int = 1) -> Look:
    """Look until it is as expected, within the deadline of a check; that is recorded as one.

    Args:
        recorder: the case's.
        expected: what should be so, in words.
        look: looks once.
        times: how many looks in a row must find it so.

    Raises:
        CheckFailed: it did not become so.
    """
    last = Look("nothing yet", ["nobody looked"])
    streak = 0

    def again() -> Look | None:
        nonlocal last, streak
        last = look()
        streak = 0 if last.problems else streak + 1
        return last if streak >= times else None

    with contextlib.suppress(Timeout):
        wait_for(expected, again, seconds=recorder.deadline, hint="see the proxy's view", every=_EVERY_SECONDS)
    seen = f"{last.seen} ({'; '.join(last.problems)})" if last.problems else last.seen
    recorder.fact(expected, seen, held=streak >= times, envoy=last.envoy, server=last.server)
    return last


def becomes(recorder: Recorder, what: str, look: Callable[[], object], wanted: object) -> None:
    """Look until it equals what is wanted; see `eventually`.

    Args:
        recorder: the case's.
        what: what is looked at, e.g. `the proxy's endpoints`.
        look: looks once.
        wanted: what it must become.
    """

    def once() -> Look:
        seen = look()
        return Look(str(seen), [] if seen == wanted else ["not as expected"])

    eventually(recorder, f"{what} become {wanted}", once)
