"""What cases cost by the number of ServiceEntries that are in the mesh already, each seen by every proxy."""

import statistics
from collections.abc import Mapping, Sequence

from egress_conformance.errors import UserError
from egress_conformance.report.ledger import Verdict
from tests.bench.result import Result, Row, environment, ratio
from tests.bench.running import CASES, PLUGIN, SUITES, Asked, Run, cases_of, run

AT = (0, 100, 500, 2000)
TIMES = 3
CASE_IDS = "RES-01 RES-04 POL-03"
"""DNS, STATIC, and a flip of the mode."""

Seconds = Mapping[str, Sequence[float]]


def passed(runs: Sequence[Run]) -> dict[str, list[float]]:
    """Seconds of each case in the runs it passed in, less BEN-01, which comes first and has the client's start."""
    found: dict[str, list[float]] = {}
    for one in runs:
        for case in cases_of(one.ledger):
            if case.verdict is Verdict.PASSED:
                found.setdefault(case.id, []).append(case.seconds)
    return found


def rows(by_count: Mapping[int, Seconds]) -> list[Row]:
    """A row for each number of entries: mean seconds of its cases against those with none.

    Args:
        by_count: seconds of each case, by the number of entries; one of them 0.

    Raises:
        UserError: no case passed with each number.
    """
    shared = [case for case in by_count[0] if all(case in found for found in by_count.values())]
    if not shared:
        raise UserError("no case passed with each number of entries", "choose others by --cases")
    none = {case: statistics.mean(by_count[0][case]) for case in shared}
    found = []
    for count, seconds in sorted(by_count.items()):
        means = {case: statistics.mean(seconds[case]) for case in shared}
        ratios = {"all": ratio(sum(means.values()), sum(none.values()))}
        ratios |= {case: ratio(mean, none[case]) for case, mean in means.items()}
        facts: dict[str, float | int | str] = {
            "mean seconds": round(statistics.mean(means.values()), 3),
            "passed": sum(len(seconds[case]) for case in shared),
        }
        found.append(Row(name=f"{count} entries", ratios=ratios, facts=facts))
    return found


def not_passed(by_count: Mapping[int, Sequence[Run]]) -> str:
    """Cases that did not pass, and where, in words."""
    told = [
        f"{case.id} {case.verdict} with {count}"
        for count, runs in by_count.items()
        for one in runs
        for case in cases_of(one.ledger)
        if case.verdict is not Verdict.PASSED
    ]
    return ", ".join(told) or "none"


def measure(asked: Asked, command: str) -> Result:
    """Run some cases with each number of entries in the mesh, round by round.

    Args:
        asked: `at` numbers of entries, `times` rounds (3), `cases`.
        command: what was typed.

    Raises:
        UserError: 0, which the others are held against, is not among the numbers.
    """
    at = asked.at or AT
    if 0 not in at:
        raise UserError("--at has no 0, which the others are held against", "add --at 0")
    options = ["-n", "0", *PLUGIN, *asked.arguments, "--cases", f"BEN-01 {asked.cases or CASE_IDS}"]
    where = [f"{CASES}/test_floor.py", SUITES]
    runs: dict[int, list[Run]] = {count: [] for count in at}
    for number in range(asked.times or TIMES):
        for count in at:
            one = run(f"round {number + 1}, {count} entries", [*options, f"--bench-entries={count}", *where])
            runs[count].append(one)
    first = runs[at[0]][0].ledger
    return Result(
        bench="entries",
        title="A case's cost by ServiceEntries in the mesh",
        unit="the mean seconds of these cases with none",
        command=command,
        started=first.started,
        environment=environment(first),
        rows=rows({count: passed(found) for count, found in runs.items()}),
        said={"did not pass": not_passed(runs)},
    )
