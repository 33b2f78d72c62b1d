"""Where each case lies on a logarithmic time axis, for the plot of propagation times in report.html."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from egress_conformance.report.ledger import CaseRecord, Verdict
from egress_conformance.report.words import milliseconds, several

# Up to here a row for each case; beyond, a row for each area with its cases side by side.
_ROWS_FOR_CASES = 40
# Two dots nearer than this (in per cent of the axis) would cover each other.
_APART = 2.2


@dataclass(frozen=True)
class Dot:
    """A case on the axis: `x` in per cent of its length, `track` counts upwards where dots would touch."""

    case: CaseRecord
    x: float
    track: int
    text: str


@dataclass(frozen=True)
class Row:
    """One line of the plot; `case` is the one it stands for, None where it stands for an area."""

    name: str
    case: CaseRecord | None
    dots: list[Dot]
    note: str

    @property
    def tracks(self) -> int:
        """How many dots lie above each other at most."""
        return 1 + max(dot.track for dot in self.dots)


@dataclass(frozen=True)
class Plot:
    """Rows from the slowest to the fastest; ticks as (position in per cent, milliseconds)."""

    ticks: list[tuple[float, int]]
    rows: list[Row]
    dots: list[Dot]
    caption: str


def propagation_plot(cases: Iterable[CaseRecord]) -> Plot | None:
    """The plot of the cases whose propagation was measured; None where there is none."""
    timed = sorted(((case.propagation_ms, case) for case in cases if case.propagation_ms is not None),
                   key=lambda pair: -pair[0])  # fmt: skip
    if not timed:
        return None
    times = [ms for ms, _ in timed]
    ticks = _ticks(min(times), max(times))
    low, high = math.log10(ticks[0]), math.log10(ticks[-1])

    def place(ms: float) -> float:
        return round(100 * (math.log10(max(ms, ticks[0])) - low) / (high - low), 2)

    dots = [Dot(case, place(ms), 0, f"{case.id}: {milliseconds(ms)}{_aside(case)}") for ms, case in timed]
    if len(timed) <= _ROWS_FOR_CASES:
        rows = [Row(dot.case.id, dot.case, [dot], milliseconds(ms)) for dot, ms in zip(dots, times, strict=True)]
    else:
        rows = _by_area(dots)
    caption = _caption(times)
    if any(case.verdict is not Verdict.PASSED for _, case in timed):
        caption += " A ring is a case that did not pass."
    return Plot([(place(tick), tick) for tick in ticks], rows, dots, caption)


def _aside(case: CaseRecord) -> str:
    words = [] if case.verdict is Verdict.PASSED else [case.verdict.value]
    words += ["emulated"] if case.emulated else []
    return f" ({', '.join(words)})" if words else ""


def _ticks(low: float, high: float) -> list[int]:
    """1-2-5 steps around the values; of those, where they would be too many, the ends and the powers of ten."""
    steps = [step * 10**power for power in range(8) for step in (1, 2, 5)]
    first = max((step for step in steps if step <= low), default=steps[0])
    last = min((step for step in steps if step > max(high, first)), default=steps[-1])
    within = [step for step in steps if first <= step <= last]
    if len(within) <= 8:
        return within
    return [step for step in within if step in {first, last} or math.log10(step).is_integer()]


def _by_area(dots: list[Dot]) -> list[Row]:
    """A row for each area, the one with the slowest case first, its dots spread so that all can be seen."""
    areas: dict[str, list[Dot]] = defaultdict(list)
    for dot in dots:
        areas[dot.case.area].append(dot)
    rows = []
    for area, members in areas.items():
        ends: list[float] = []  # where the last dot of each track lies
        placed = []
        for dot in sorted(members, key=lambda dot: dot.x):
            track = next((t for t, end in enumerate(ends) if dot.x - end >= _APART), len(ends))
            ends[track : track + 1] = [dot.x]
            placed.append(Dot(dot.case, dot.x, track, dot.text))
        rows.append(Row(area, None, placed, members[0].text))
    return rows


def _caption(times: list[float]) -> str:
    counted = several(len(times), "case")
    if len(times) == 1:
        return f"{counted}: {milliseconds(times[0])}."
    return (
        f"{counted}: half within {milliseconds(median(times))}, the slowest after {milliseconds(max(times))}, "
        f"the fastest after {milliseconds(min(times))}."
    )
