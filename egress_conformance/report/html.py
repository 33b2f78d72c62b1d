"""report.html: the ledger as one page that needs no network, no JavaScript and no other file."""

import re
from pathlib import Path

from egress_conformance.report import page, tally
from egress_conformance.report.ledger import Attempt, CaseRecord, Ledger
from egress_conformance.report.plot import propagation_plot

WITNESSES = ("curl", "envoy", "server")
_BY_WITNESS = re.compile(rf"({'|'.join(WITNESSES)}): ?(.*)", re.DOTALL)
# A dump longer than this would make the page slow to open; the ledger has all of it.
_DUMP_LIMIT = 100_000


def write_html(ledger: Ledger, path: Path) -> None:
    """Write the ledger as one HTML page to `path`."""
    path.write_text(render(ledger), encoding="utf-8")


def render(ledger: Ledger) -> str:
    """The page as text."""
    return page.render(
        "report.html.j2",
        script="report.js",
        ledger=ledger,
        subject=tally.subject(ledger),
        outcome=tally.outcome(ledger),
        exit_code=tally.exit_code(ledger),
        counted=tally.counted(ledger.cases),
        emulated=tally.emulated(ledger.cases),
        groups=groups(ledger),
        areas=sorted({case.area for case in ledger.cases}),
        plot=propagation_plot(ledger.cases),
        witnesses=WITNESSES,
        anchor=anchor,
        dump=dump,
        problems_of=problems_of,
    )


def anchor(case: CaseRecord) -> str:
    """The name under which a case can be linked to: its id."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", case.id)


def dump(text: str) -> str:
    """A longer text, cut where it would make the page heavy."""
    if len(text) <= _DUMP_LIMIT:
        return text
    return text[:_DUMP_LIMIT] + f"\n… {len(text) - _DUMP_LIMIT} more characters are in ledger.json"


def groups(ledger: Ledger) -> list[tuple[str, list[CaseRecord]]]:
    """The cases by verdict, worst first; verdicts nobody got are left out."""
    cases = {verdict: [c for c in ledger.cases if c.verdict is verdict] for verdict in tally.WORST_FIRST}
    return [(verdict.value, members) for verdict, members in cases.items() if members]


def problems_of(attempt: Attempt) -> dict[str, list[str]]:
    """What did not agree, by the witness it is about; under ``""`` what is about none or several."""
    problems: dict[str, list[str]] = {witness: [] for witness in (*WITNESSES, "")}
    for problem in attempt.problems:
        match = _BY_WITNESS.fullmatch(problem)
        witness, text = match.groups() if match else ("", problem)
        problems[witness].append(text)
    return problems
