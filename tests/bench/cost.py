"""What a case costs beyond propagation and its requests, and against the floor: one exec and its requests.

Of each case that passed and whose every check was a loop in the pod. Its requests: the time that the loops spent from
their first attempt to the end of the last one, propagation included. What is left of the seconds of the case is the
suite's own: resources applied and removed, commands started in the pod, logs and receipts fetched, counters and
leftovers looked at. An exec is one of its own that runs `true` (BEN-01, in the same run). In a run with several workers
they wait for each other: it is measured with `-n 0`.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable

from egress_conformance.errors import UserError
from egress_conformance.report.find import read_ledger
from egress_conformance.report.ledger import CaseRecord, Ledger, Verdict
from tests.bench.result import Result, Row, environment, spread
from tests.bench.running import CASES, PLUGIN, SUITES, Asked, cases_of, run, warm_up

DEAREST = 8
"""So many are named."""

EXEC_MS = "milliseconds of an exec"
"""The measurement of BEN-01."""


def requests(case: CaseRecord) -> float | None:
    """Seconds that the loops of a case sent; None where that is not known of each of its checks, or it did not pass."""
    sending = [check.sending_ms for check in case.witnesses]
    known = [ms for ms in sending if ms is not None]
    if case.verdict is not Verdict.PASSED or not known or len(known) < len(sending):
        return None
    return sum(known) / 1000


def cost(case: CaseRecord) -> float | None:
    """Seconds of a case beyond propagation and requests; None where that is not known of each of its checks."""
    sending = requests(case)
    return None if sending is None else case.seconds - sending


def exec_seconds(ledger: Ledger) -> float:
    """The median of an exec in this run.

    Raises:
        UserError: none was measured.
    """
    for case in ledger.cases:
        if EXEC_MS in case.measurements:
            return float(statistics.median(case.measurements[EXEC_MS])) / 1000
    raise UserError(
        "the ledger has no BEN-01, which measures an exec", "run scripts/bench cost; choose by --cases alone"
    )


def rows(cases: Iterable[CaseRecord], one_exec: float) -> list[Row]:
    """All cases, then area by area, the dearest first.

    Args:
        cases: of one run.
        one_exec: seconds.
    """
    areas: dict[str, list[CaseRecord]] = defaultdict(list)
    for case in cases:
        if requests(case) is not None:
            areas[case.area].append(case)
    by_area = [_row(area.replace("_", " "), members, one_exec) for area, members in areas.items()]
    by_area.sort(key=lambda row: -row.ratios["median"])
    return [_row("all", [case for members in areas.values() for case in members], one_exec), *by_area]


def _row(name: str, cases: list[CaseRecord], one_exec: float) -> Row:
    sending = [requests(case) or 0.0 for case in cases]
    beyond = [case.seconds - seconds for case, seconds in zip(cases, sending, strict=True)]
    against = [case.seconds / (one_exec + seconds) for case, seconds in zip(cases, sending, strict=True)]
    return Row(
        name=name,
        ratios=spread(against),
        facts={
            "cases": len(cases),
            "mean seconds": round(statistics.mean(case.seconds for case in cases), 3),
            "of these beyond requests": round(statistics.mean(beyond), 3),
            "median of that": round(statistics.median(beyond), 3),
            "per check": round(sum(beyond) / sum(len(case.witnesses) for case in cases), 3),
        },
    )


def dearest(cases: Iterable[CaseRecord]) -> str:
    """The cases that cost most: a mean is theirs, and most of them start pods of their own."""
    costs = sorted(((beyond, case.id) for case in cases if (beyond := cost(case)) is not None), reverse=True)
    return ", ".join(f"{name} {beyond:.1f} s" for beyond, name in costs[:DEAREST])


def figures(ledger: Ledger, command: str) -> Result:
    """What a ledger says of it.

    Raises:
        UserError: it has no exec, or no case of which the cost is known.
    """
    one_exec = exec_seconds(ledger)
    cases = cases_of(ledger)
    counted = sum(requests(case) is not None for case in cases)
    if not counted:
        raise UserError("the ledger has no case of which the cost is known", "choose others by --cases")
    return Result(
        bench="cost",
        title="A case's cost against the floor",
        unit="one exec and the requests of the case, propagation included",
        command=command,
        started=ledger.started,
        environment=environment(ledger),
        rows=rows(cases, one_exec),
        said={
            "cases left out": len(cases) - counted,
            "seconds of an exec, median": round(one_exec, 3),
            "dearest beyond requests": dearest(cases),
        },
    )


def measure(asked: Asked, command: str) -> Result:
    """Run the suite, or some of its cases, and say what a case costs.

    Args:
        asked: `cases`, or `ledger` for the ledger of an earlier such run.
        command: what was typed.
    """
    if asked.ledger is not None:
        return figures(read_ledger(asked.ledger), command)
    chosen = ["--cases", f"BEN-01 {asked.cases}"] if asked.cases else []
    warm_up(asked.arguments)
    where = [f"{CASES}/test_floor.py", SUITES]
    return figures(run("the suite at -n 0", ["-n", "0", *PLUGIN, *asked.arguments, *chosen, *where]).ledger, command)
