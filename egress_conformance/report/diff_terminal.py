"""A diff in the terminal: a table for each kind of change, rows of one table case together."""

from collections.abc import Iterator
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from egress_conformance.errors import ExitCode
from egress_conformance.report.diff import CaseDiff, Change, Diff, Kind, grouped
from egress_conformance.report.ledger import Verdict
from egress_conformance.report.matrix import Matrix, in_words
from egress_conformance.report.words import milliseconds, several, shown

COLOUR = {
    Kind.REGRESSION: "red",
    Kind.CHANGED: "yellow",
    Kind.GONE: "yellow",
    Kind.INCONCLUSIVE: "yellow",
    Kind.FAILING: "red",
    Kind.NEW: "green",
}
_OUTCOME = {ExitCode.PASSED: "bold green", ExitCode.FAILED: "bold red", ExitCode.INCONCLUSIVE: "bold yellow"}
_TROUBLE = {Verdict.FAILED, Verdict.INCONCLUSIVE}
_LENGTH = 160
_ROWS_NAMED = 3


def print_diff(diff: Diff, console: Console) -> None:
    """Print all of a diff; the outcome comes last, as of a run."""
    for fact in diff.environment:
        _say(console, f"{fact.name}: {fact.old} → {fact.new}", "dim")
    for kind, cases in groupby(diff.cases, key=lambda case: case.kind):
        members = list(cases)
        console.print()
        _say(console, f"{kind.capitalize()}: {several(len(members), 'case')}", f"bold {COLOUR[kind]}")
        _print_cases(members, console)
    if diff.propagation:
        console.print()
        _say(console, "Took effect clearly sooner or later (times differ from run to run; never a reason):", "dim")
        for case in diff.propagation:
            _say(console, f"{case.id}: {milliseconds(case.old_ms)} → {milliseconds(case.new_ms)}", "dim")
    console.print()
    _say(console, f"{diff.subject}: {diff.outcome}", _OUTCOME[ExitCode(diff.exit_code)])


def names(cases: list[CaseDiff]) -> str:
    """What cases of which the same became are called together: a case, or a table with its rows."""
    first = cases[0].id
    if len(cases) == 1:
        return first
    rows = [case.id.partition("[")[2].rstrip("]") for case in cases]
    more = f", and {len(rows) - _ROWS_NAMED} more" if len(rows) > _ROWS_NAMED else ""
    return f"{first.partition('[')[0]}, {several(len(rows), 'row')}: {', '.join(rows[:_ROWS_NAMED])}{more}"


def _print_cases(cases: list[CaseDiff], console: Console) -> None:
    """A table for a person; where it goes to a file a line for each change, whole for grep."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading, ratio in (("case", 2), ("observation", 3), ("old", 3), ("new", 3), ("why", 4)):
        table.add_column(heading, overflow="fold", header_style="dim", ratio=ratio)
    for members in grouped(cases):
        name = names(members)
        for row in _rows(members[0]):
            table.add_row(_text(name, "bold"), *row)
            if not console.is_terminal:
                told, was, now, why = row
                line = f"{names(members)}: {told}: {was} → {now}" if told else names(members)
                _say(console, f"{line}; {why}" if why else line, "")
            name = ""
    if console.is_terminal:
        console.print(table)


def _rows(case: CaseDiff) -> Iterator[tuple[Text, Text, Text, Text]]:
    """Observation, old, new and why, for each change of a case."""
    for change in case.changes:
        new = f"{change.new}: {case.reason}" if change.new in _TROUBLE else change.new
        yield _text(change.observation), _text(_short(change.old)), _text(_short(new)), _why(case, change)
    if not case.changes:
        yield Text(), Text(), Text(), _text(_short(case.reason))


def _why(case: CaseDiff, change: Change) -> Text:
    if change.explained:
        source = f" ({change.explained.source})" if change.explained.source else ""
        return _text(f"{change.explained.says}{source}", "green")
    if not case.unexplained:
        return Text()
    return _text(f"unexplained{': ' if change.expired else ''}{change.expired}", "red")


def _say(console: Console, line: str, style: str) -> None:
    console.print(_text(line, style), highlight=False, soft_wrap=not console.is_terminal)


def _text(text: str, style: str = "") -> Text:
    return Text(" ".join(shown(text).split()), style=style)


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else text[: _LENGTH - 1].rstrip() + "…"


def print_matrix(matrix: Matrix, console: Console) -> None:
    """Print the cases that are not the same in all ledgers, and how many are."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for heading in ("case", *(f"Istio {side.istio}" for side in matrix.ledgers)):
        table.add_column(_text(heading), overflow="fold", header_style="dim")
    varying = [row for row in matrix.rows if row.varies]
    for row in varying:
        colours = ("red" if cell.unexplained else "yellow" if cell.changed else "" for cell in row.cells)
        cells = [_text(in_words(cell), colour) for cell, colour in zip(row.cells, colours, strict=True)]
        table.add_row(_text(row.id, "bold"), *cells)
    if varying:
        console.print(table)
    _say(console, f"{several(len(matrix.rows) - len(varying), 'case')} of {len(matrix.rows)} the same in all", "")
