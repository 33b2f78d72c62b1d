"""The one way to wait: with a deadline, and a time-out that says what was seen last and what to try."""

from collections.abc import Callable
from typing import TypeVar

import tenacity

from egress_conformance.errors import PlatformTrouble, Timeout

T = TypeVar("T")

UNDO_SECONDS = 60
"""How long it is tried to put something back while the platform does not answer."""


def wait_for(
    what: str,
    look: Callable[[], T | None],
    *,
    seconds: float,
    hint: str,
    every: float = 0.2,
    seen: Callable[[], str] = lambda: "nothing yet",
) -> T:
    """Look until there is something to see.

    Args:
        what: what is waited for, for the time-out message.
        look: returns None while there is nothing to see; what it raises ends the wait at once.
        seconds: the deadline.
        hint: what the reader of the time-out message should try.
        every: seconds between two looks.
        seen: describes the last look, for the time-out message.

    Returns:
        The first result of ``look`` that is not None.

    Raises:
        Timeout: the deadline passed.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda result: result is None),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(every),
    )
    try:
        found = retrying(look)
    except tenacity.RetryError:
        raise Timeout(what, seconds, seen(), hint) from None
    if found is None:  # pragma: no cover  (tenacity retries None until it gives up)
        raise AssertionError
    return found


def persist(action: Callable[[], T], *, seconds: float = UNDO_SECONDS) -> T:
    """Do what must not be left undone: again, as long as the platform does not answer.

    What a case leaves in the mesh would be judged in the next one.

    Args:
        action: what to do; it may be done more than once.
        seconds: for how long it is tried.

    Returns:
        What the action returns.

    Raises:
        PlatformTrouble: what it raised last.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(PlatformTrouble),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.5),
        reraise=True,
    )
    return retrying(action)
