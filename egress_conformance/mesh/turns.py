"""When a worker may take something out of the mesh while others change it.

istiod gathers changes until none came for 100 ms (PILOT_DEBOUNCE_AFTER) and then computes for each proxy whether they
concern it: by what the proxy sees now, and by what it saw at the last push. A host that is deleted just as a push for
somebody else's change goes out is gone already when that push is computed, and its own push finds it neither in what
the proxy sees nor in what it saw last: nothing is sent, and the proxy keeps the host until something else concerns it
(docs/findings.md). With one worker that cannot happen; with several they would do it to each other.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

QUIET_SECONDS = 0.3
"""So long after another worker's last change its push has gone out: thrice istiod's debounce."""


class Turns:
    """The turns of one worker.

    Args:
        folder: common to all workers of the run; None where there are no others.
        worker: its name.
    """

    def __init__(self, folder: Path | None = None, worker: str = "") -> None:
        self._folder = folder
        self._worker = worker

    @contextmanager
    def change(self) -> Iterator[None]:
        """Put something into the mesh: at once, unless another is about to take something out of it."""
        with self._turn(quiet=0):
            yield

    @contextmanager
    def removal(self) -> Iterator[None]:
        """Take something out of the mesh: when the others' last change is some moments old."""
        with self._turn(quiet=QUIET_SECONDS):
            yield

    @contextmanager
    def _turn(self, *, quiet: float) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        last = self._folder / "last-change"
        with FileLock(self._folder / "change.lock", poll_interval=0.01):
            who, _, when = last.read_text(encoding="utf-8").partition(" ") if last.exists() else ("", "", "")
            if who and who != self._worker:
                # Nobody changes anything meanwhile: they wait for the lock.
                time.sleep(max(0.0, float(when) + quiet - time.monotonic()))
            try:
                yield
            finally:
                # The monotonic clock is the machine's, the same for all its processes.
                last.write_text(f"{self._worker} {time.monotonic()}", encoding="utf-8")
