"""Wall time of the suite by the number of its workers, from the start of the process to its end."""

import statistics
from collections.abc import Sequence

from egress_conformance.errors import UserError
from egress_conformance.report.ledger import Verdict
from egress_conformance.report.stability import changed
from tests.bench.result import Result, Row, environment, ratio
from tests.bench.running import Asked, Run, run, warm_up

AT = (0, 2, 4, 8)
BASE = 4
"""Workers that the suite has by default."""


def rows(runs: Sequence[tuple[int, Run]]) -> list[Row]:
    """A row for each number of workers: the median of its runs against that at -n 4.

    Args:
        runs: each with its number of workers; some at -n 4.
    """
    medians = {n: statistics.median(one.seconds for m, one in runs if m == n) for n in sorted({n for n, _ in runs})}
    found = []
    for n, seconds in medians.items():
        mine = [one for m, one in runs if m == n]
        cases = statistics.median(one.ledger.summary.seconds for one in mine)
        base = statistics.median(one.ledger.summary.seconds for m, one in runs if m == BASE)
        facts: dict[str, float | int | str] = {"seconds": round(seconds, 1), "runs": len(mine)}
        for verdict in Verdict:
            facts[verdict.value] = ", ".join(sorted({str(getattr(one.ledger.summary, verdict)) for one in mine}))
        facts["exit codes"] = ", ".join(str(one.code) for one in mine)
        ratios = {"wall time": ratio(seconds, medians[BASE]), "of it the cases, likewise": ratio(cases, base)}
        found.append(Row(name=f"-n {n}", ratios=ratios, facts=facts))
    return found


def verdicts(runs: Sequence[tuple[int, Run]]) -> str:
    """Whether the runs came to the same verdicts, in words."""
    flaky = changed([one.ledger for _, one in runs])
    if not flaky:
        return "the same in each run"
    told = []
    for case in flaky:
        by = (f"{verdict or 'not in it'} at " + ", ".join(f"-n {runs[number - 1][0]}" for number in numbers)
              for verdict, numbers in case.runs.items())  # fmt: skip
        told.append(f"{case.id} ({'; '.join(by)})")
    return "not the same: " + ", ".join(told)


def measure(asked: Asked, command: str) -> Result:
    """Run the suite with each number of workers.

    Args:
        asked: `at` numbers of workers, `times` rounds of all of them (1), `cases`.
        command: what was typed.

    Raises:
        UserError: -n 4, which the others are held against, is not among them.
    """
    at = asked.at or AT
    if BASE not in at:
        raise UserError(f"--at has no {BASE}, which the others are held against", "add --at 4")
    warm_up(asked.arguments)
    runs = [
        (n, run(f"round {number + 1}, -n {n}", ["-n", str(n), *asked.options]))
        for number in range(asked.times or 1)
        for n in at
    ]
    first = runs[0][1].ledger
    return Result(
        bench="workers",
        title="Wall time of the suite by workers",
        unit=f"the wall time at -n {BASE}",
        command=command,
        started=first.started,
        environment=environment(first),
        rows=rows(runs),
        said={"verdicts": verdicts(runs)},
    )
