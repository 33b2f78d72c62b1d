"""What must not be left half done: a second Ctrl-C, or a SIGTERM after it, finds it going on."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

ENDS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def uninterrupted(ends: Sequence[signal.Signals] = ENDS) -> Iterator[None]:
    """Nothing in here is ended by a signal that asks; all of it must have deadlines of its own.

    Args:
        ends: the signals that are passed over.
    """
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in ends}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
