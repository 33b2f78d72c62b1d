"""Telling what takes long: step n of m, what it is, how long it has taken and how long it typically takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


class Steps:
    """A row of steps of which one is under way; plain lines where nobody watches a terminal."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.number = 0

    @contextmanager
    def step(self, what: str, typical: float) -> Iterator[None]:
        """Show a step while it is under way, and what it took when it is over.

        Args:
            what: what is done, e.g. "compile etcd v3.6.6".
            typical: the seconds it takes on two cores.
        """
        self.number += 1
        title = f"step {self.number} of {self.total}: {what}"
        usual = f"typically {duration(typical)}"
        started = time.monotonic()
        if self.console.is_terminal:
            columns = (
                SpinnerColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                TextColumn(usual),
            )
            with Progress(*columns, console=self.console, transient=True) as display:
                display.add_task(title, total=None)
                yield
        else:
            self.say(f"{title} ({usual})")
            yield
        self.say(f"{title}: done in {duration(time.monotonic() - started)}")

    def say(self, line: str) -> None:
        """Print one line."""
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds as a person says them: 12 s, 4 min 10 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
