"""How long changes of the mesh take until requests show them, against istiod's own debounce.

From the API server's answer to the first request that comes out otherwise and is followed by more that do, measured in
the client's pod: cases/test_propagation.py. One worker, so that no other's change is waited for.
"""

from collections.abc import Iterable

from egress_conformance.errors import UserError
from egress_conformance.report.find import read_ledger
from egress_conformance.report.ledger import CaseRecord, Ledger
from tests.bench.result import Result, Row, environment, ratio, spread
from tests.bench.running import CASES, PLUGIN, Asked, run, warm_up

DEBOUNCE_MS = 100
"""PILOT_DEBOUNCE_AFTER by default, which the suite's install leaves alone: istiod waits so long for further changes
(https://istio.io/latest/docs/reference/commands/pilot-discovery/)."""

TIMES = 100
CHANGES = {"BEN-02": "ServiceEntry applied", "BEN-03": "mode to REGISTRY_ONLY", "BEN-04": "mode to ALLOW_ANY"}


def ratios(case: CaseRecord) -> list[float]:
    """How often the debounce each change of a case took, in order."""
    took = [check.convergence_ms for check in case.witnesses if check.role == "subject" and check.held]
    return [ratio(ms, DEBOUNCE_MS) for ms in took if ms is not None]


def samples(cases: Iterable[CaseRecord]) -> dict[str, list[float]]:
    """The ratios of each kind of change; one that was never obeyed is left out."""
    by_id = {case.id: case for case in cases}
    found = {name: ratios(by_id[key]) for key, name in CHANGES.items() if key in by_id}
    return {name: took for name, took in found.items() if took}


def figures(ledger: Ledger, command: str) -> Result:
    """What the ledger of a run of these cases says.

    Raises:
        UserError: it has none of them.
    """
    found = samples(ledger.cases)
    if not found:
        raise UserError("the ledger has no change whose propagation was measured", "run scripts/bench propagation")
    verdicts = {CHANGES[case.id]: case.verdict for case in ledger.cases if case.id in CHANGES}
    return Result(
        bench="propagation",
        title="Propagation",
        unit=f"istiod's debounce, PILOT_DEBOUNCE_AFTER, {DEBOUNCE_MS} ms",
        command=command,
        started=ledger.started,
        environment=environment(ledger),
        rows=[
            Row(name=name, ratios=spread(took), facts={"changes": len(took), "verdict": verdicts[name].value})
            for name, took in found.items()
        ],
        samples=found,
    )


def measure(asked: Asked, command: str) -> Result:
    """Change the mesh many times.

    Args:
        asked: `times` changes of each kind (100), or `ledger` for the ledger of an earlier such run.
        command: what was typed.
    """
    if asked.ledger is not None:
        return figures(read_ledger(asked.ledger), command)
    warm_up(asked.arguments)
    options = ["-n", "0", *PLUGIN, f"--bench-times={asked.times or TIMES}", *asked.arguments]
    return figures(run("changes, -n 0", [*options, f"{CASES}/test_propagation.py"]).ledger, command)
