"""The last lines of a run in the terminal: plain text where it is a file, a little colour where it is a person."""

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from egress_conformance.errors import ExitCode
from egress_conformance.report.ledger import CaseRecord, Ledger, Verdict
from egress_conformance.report.tally import counted, emulated, exit_code, headline, worst_first
from egress_conformance.report.words import duration, milliseconds, reason, several, shown

_COLOUR = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "red",
    Verdict.SKIPPED: "dim",
    Verdict.INCONCLUSIVE: "yellow",
}
_HEADLINE = {
    ExitCode.PASSED: "bold green",
    ExitCode.FAILED: "bold red",
    ExitCode.INCONCLUSIVE: "bold yellow",
    ExitCode.USER_ERROR: "bold yellow",
}
_REPORT = re.compile(r"^report: (.+)/report\.html$", re.MULTILINE)
_LABEL_WIDTH = len(Verdict.INCONCLUSIVE)
_REASON_LENGTH = 240


def print_summary(ledger: Ledger, run_dir: Path, console: Console) -> None:
    """Print what came of a run, each case that did not pass and why, and where the report lies."""
    for cases in _alike(worst_first(ledger.cases)):
        if cases[0].verdict is Verdict.SKIPPED or len(cases) > 1:
            _print_alike(cases, console)
        else:
            _print_case(cases[0], console)
    _print_slowest(ledger, console)
    _line(console, Text(_one_line(headline(ledger)), style=_HEADLINE[exit_code(ledger)]))
    _line(console, _counts(ledger))
    _line(console, Text(f"report: {near(run_dir / 'report.html')}"))


def told_folder(said: str) -> Path | None:
    """The folder of a run by what `print_summary` printed of it; None where it printed none."""
    match = _REPORT.search(said)
    return Path(match[1]) if match else None


def _line(console: Console, text: Text) -> None:
    console.print(text, highlight=False, soft_wrap=not console.is_terminal)


def _entry(console: Console, label: Text, *lines: Text) -> None:
    """A label with lines beside it: wrapped under each other for a person, whole for grep."""
    if console.is_terminal:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=_LABEL_WIDTH)
        table.add_column(overflow="fold")
        for line in lines:
            table.add_row(label, line)
            label = Text()
        console.print(table, highlight=False)
        return
    for line in lines:
        label.pad_right(_LABEL_WIDTH + 1 - len(label))
        _line(console, label + line)
        label = Text()


def _print_case(case: CaseRecord, console: Console) -> None:
    emulated_ = " (emulated)" if case.emulated else ""
    _entry(
        console,
        Text(case.verdict.upper(), style=f"bold {_COLOUR[case.verdict]}"),
        Text.assemble((_one_line(case.id), "bold"), f"{emulated_} {_one_line(case.statement)}"),
        Text(_short(case.reason)),
    )


def _alike(cases: list[CaseRecord]) -> Iterable[list[CaseRecord]]:
    """Cases that did not pass, those that were skipped or are inconclusive for one reason together."""
    found: dict[tuple[str, ...], list[CaseRecord]] = defaultdict(list)
    for case in cases:
        if case.verdict is not Verdict.PASSED:
            apart = case.id if case.verdict is Verdict.FAILED else ""
            found[case.verdict, case.reason, apart].append(case)
    return found.values()


def _print_alike(cases: list[CaseRecord], console: Console) -> None:
    verdict, why = cases[0].verdict, cases[0].reason
    ids = " ".join(_one_line(case.id) for case in cases)
    _entry(console, Text(verdict.upper(), style=_COLOUR[verdict]), Text(ids), Text(_short(why)))


def _print_slowest(ledger: Ledger, console: Console) -> None:
    timed = [(case.propagation_ms, case.id) for case in ledger.cases if case.propagation_ms is not None]
    if not timed:
        return
    slowest = ", ".join(f"{_one_line(id_)} {milliseconds(ms)}" for ms, id_ in sorted(timed, reverse=True)[:3])
    _line(console, Text(f"slowest propagation: {slowest}"))


def _counts(ledger: Ledger) -> Text:
    counts, apart = counted(ledger.cases), emulated(ledger.cases)
    line = Text()
    for verdict in Verdict:
        line.append(f"{counts[verdict]} {verdict}", style=_COLOUR[verdict] if counts[verdict] else "dim")
        line.append(", ")
    if apart:
        verdicts = ", ".join(f"{apart[verdict]} {verdict}" for verdict in Verdict if apart[verdict])
        line.append(f"{several(apart.total(), 'emulated case')} counted apart ({verdicts}), ")
    return line.append(f"in {duration(ledger.summary.seconds)}")


def _one_line(text: str) -> str:
    return " ".join(shown(text).split())


def _short(why: str) -> str:
    line = reason(why).gist
    return line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1].rstrip() + "…"


def near(path: Path) -> str:
    """The path from here where it lies below, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
