"""Ledgers of two stations held against each other, by the same diff as `egress-conformance diff`."""

from pathlib import Path

from egress_conformance.case import NO_OTHER_ISTIO
from egress_conformance.report.compare import compare
from egress_conformance.report.diff import Diff
from egress_conformance.report.diff_html import render_diff
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import CaseRecord, Ledger, Verdict
from egress_conformance.report.upgrade import Comparison


def compared(
    stations: tuple[str, str], ledgers: tuple[Ledger, Ledger], explanations: Explanations, folder: Path
) -> Comparison:
    """Compare two ledgers, and keep the diff as a page and as JSON.

    Args:
        stations: what they are called, the older one first.
        ledgers: theirs.
        explanations: what may explain a change.
        folder: of the report; the diff goes into `diffs` in it.
    """
    left_out = sorted({case.id for ledger in ledgers for case in ledger.cases if needs_no_other(case)})
    old, new = (_without(ledger, left_out) for ledger in ledgers)
    diff = compare(old, new, explanations, stations)
    name = "-".join(station.replace(" ", "-") for station in stations)
    (folder / "diffs").mkdir(parents=True, exist_ok=True)
    (folder / "diffs" / f"{name}.html").write_text(render_diff(diff, old, new), encoding="utf-8")
    text = diff.model_dump_json(by_alias=True, indent=2) + "\n"
    (folder / "diffs" / f"{name}.json").write_text(text, encoding="utf-8")
    return Comparison(
        old=stations[0],
        new=stations[1],
        exit_code=diff.exit_code,
        outcome=diff.outcome,
        changes=changes(diff),
        left_out=left_out,
        file=f"diffs/{name}.html",
    )


def needs_no_other(case: CaseRecord) -> bool:
    """Whether a case was skipped because two revisions were installed: what it asks for is then neither one's."""
    return case.verdict is Verdict.SKIPPED and case.reason in {str(need) for need in NO_OTHER_ISTIO}


def _without(ledger: Ledger, ids: list[str]) -> Ledger:
    return ledger.model_copy(update={"cases": [case for case in ledger.cases if case.id not in ids]})


def changes(diff: Diff) -> list[str]:
    """Each change of a diff in a line, and whether nobody explains it."""
    found = []
    for case in diff.cases:
        for change in case.changes:
            aside = "; unexplained" if change in case.unexplained else ""
            found.append(f"{case.id} {change.observation}: {change.old} → {change.new} ({case.kind}{aside})")
    return found
