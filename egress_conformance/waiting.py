"""The one way to wait: with a deadline, and a time-out that says what was seen last and what to try."""

from collections.abc import Callable
from typing import TypeVar

import tenacity

from egress_conformance.errors import Timeout

T = TypeVar("T")


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
