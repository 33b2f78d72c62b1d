"""Several runs of the same cases held against each other: a verdict that changes is a flake, whosever fault it is."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from egress_conformance.report.compare import compare
from egress_conformance.report.diff import Kind
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import Ledger, Verdict
from egress_conformance.report.words import reason


@dataclass(frozen=True)
class Changed:
    """A case whose verdict was not the same in all runs.

    Attributes:
        id: the case.
        runs: numbers of the runs by verdict, counted from 1; a run it was not in is under None.
        reasons: why, by verdict, from the first run with it.
    """

    id: str
    runs: dict[Verdict | None, list[int]]
    reasons: dict[Verdict | None, str]

    def lines(self) -> list[str]:
        """What a person wants to see of it: each verdict, the runs with it, and why, side by side."""
        told = [self.id]
        for verdict, numbers in self.runs.items():
            where = ", ".join(str(number) for number in numbers)
            told.append(f"  {verdict or 'not in it'}: runs {where}")
            told += [f"    {line}" for line in self.reasons[verdict].splitlines()]
        return told


def changed(ledgers: Sequence[Ledger]) -> list[Changed]:
    """The cases whose verdict changed between runs, by id."""
    ids = sorted({case.id for ledger in ledgers for case in ledger.cases})
    verdicts: dict[str, dict[Verdict | None, list[int]]] = {case: defaultdict(list) for case in ids}
    reasons: dict[str, dict[Verdict | None, str]] = {case: {} for case in ids}
    for number, ledger in enumerate(ledgers, start=1):
        there = {case.id: case for case in ledger.cases}
        for case in ids:
            record = there.get(case)
            verdict = record.verdict if record else None
            verdicts[case][verdict].append(number)
            reasons[case].setdefault(verdict, reason(record.reason).gist if record and record.reason else "")
    return [Changed(case, dict(verdicts[case]), reasons[case]) for case in ids if len(verdicts[case]) > 1]


def unsteady(ledgers: Sequence[Ledger]) -> list[str]:
    """Observations with chance in them: what a diff of the first run with the others finds in cases that passed.

    Returns:
        A line for each: the case, the observation, what was seen instead of what, and the first run that saw it.
    """
    found: dict[tuple[str, str, str, str], int] = {}
    for number, ledger in enumerate(ledgers[1:], start=2):
        for case in compare(ledgers[0], ledger, Explanations()).of_kind(Kind.CHANGED):
            for change in case.changes:
                found.setdefault((case.id, change.observation, change.old, change.new), number)
    return [f"{case}: {name}: {old} → {new} (run {run})" for (case, name, old, new), run in sorted(found.items())]


def late(ledgers: Sequence[Ledger]) -> dict[str, int]:
    """How often each case said that it converged late; cases that never did are left out."""
    counts: dict[str, int] = defaultdict(int)
    for ledger in ledgers:
        for case in ledger.cases:
            counts[case.id] += "converged late" in case.measurements
    return {case: count for case, count in sorted(counts.items()) if count}
