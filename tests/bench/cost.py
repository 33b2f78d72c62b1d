"""What a case costs beyond propagation and its requests.

    python -m tests.bench.cost LEDGER        a ledger, or the folder of a run

Of each case that passed and whose every check was a loop in the pod: the seconds of the case less the time that the
loops spent from their first attempt to the end of the last one. What is left is the suite's own: resources applied and
removed, commands started in the pod, logs and receipts fetched, counters and leftovers looked at. In a run with
several workers they wait for each other: measure with `-n 0`.
"""

import argparse
import json
import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from egress_conformance.report.find import read_ledger
from egress_conformance.report.ledger import CaseRecord, Verdict


def cost(case: CaseRecord) -> float | None:
    """Seconds of a case beyond propagation and requests; None where that is not known of each of its checks."""
    sending = [check.sending_ms for check in case.witnesses]
    known = [ms for ms in sending if ms is not None]
    if case.verdict is not Verdict.PASSED or not known or len(known) < len(sending):
        return None
    return case.seconds - sum(known) / 1000


def figures(cases: list[CaseRecord]) -> dict[str, float]:
    """Counts, and seconds: how they are spread over the cases."""
    found = [(case, seconds) for case in cases if (seconds := cost(case)) is not None]
    costs = [seconds for _, seconds in found]
    checks = sum(len(case.witnesses) for case, _ in found)
    deciles = statistics.quantiles(costs, n=10)
    return {
        "cases": len(found),
        "cases left out": len(cases) - len(found),
        "mean": round(statistics.mean(costs), 3),
        "median": round(statistics.median(costs), 3),
        "90 % below": round(deciles[-1], 3),
        "mean per check": round(sum(costs) / checks, 3),
        "mean of the whole case": round(statistics.mean(case.seconds for case, _ in found), 3),
    }


def main() -> None:
    """Print the figures as a table, and as JSON with --json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("--json", action="store_true", help="as JSON")
    asked = parser.parse_args()
    found = figures(read_ledger(asked.ledger).cases)
    if asked.json:
        print(json.dumps(found))  # noqa: T201
        return
    table = Table("cost of a case beyond propagation and requests", "")
    for name, value in found.items():
        table.add_row(name, f"{value:.3f} s" if isinstance(value, float) else str(value))
    Console().print(table)


if __name__ == "__main__":
    main()
