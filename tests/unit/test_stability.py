"""Several runs held against each other."""

from typing import Any

from egress_conformance.report.ledger import CaseRecord, Ledger, Verdict
from egress_conformance.report.stability import changed, late, unsteady
from tests.unit.data import two_ledgers
from tests.unit.data.sample_ledger import sample


def ledger(*cases: CaseRecord) -> Ledger:
    return sample().model_copy(update={"cases": list(cases)})


def record(name: str, verdict: Verdict, reason: str = "", measurements: dict[str, Any] | None = None) -> CaseRecord:
    changes: dict[str, Any] = {"id": name, "verdict": verdict, "reason": reason, "measurements": measurements or {}}
    return sample().cases[0].model_copy(update=changes)


def test_verdicts_that_never_change_are_no_news() -> None:
    runs = [ledger(record("A-01", Verdict.PASSED), record("B-01", Verdict.FAILED, "it is broken"))] * 3
    assert changed(runs) == []


def test_a_verdict_that_changes_is_told_with_the_runs_and_why() -> None:
    steady = record("B-01", Verdict.PASSED)
    runs = [
        ledger(record("A-01", Verdict.PASSED), steady),
        ledger(record("A-01", Verdict.FAILED, "curl: the status is 503"), steady),
        ledger(record("A-01", Verdict.PASSED), steady),
        ledger(steady),
    ]
    (case,) = changed(runs)
    assert case.lines() == [
        "A-01",
        "  passed: runs 1, 3",
        "  failed: runs 2",
        "    curl: the status is 503",
        "  not in it: runs 4",
    ]


def test_late_convergence_is_counted() -> None:
    slow = record("A-01", Verdict.PASSED, measurements={"converged late": ["subject: only after 7.0 s"]})
    assert late([ledger(slow), ledger(record("A-01", Verdict.PASSED)), ledger(slow)]) == {"A-01": 2}


def test_an_observation_with_chance_in_it_is_told_once_with_the_run_it_showed_in() -> None:
    steady, other = (
        two_ledgers.ledger(),
        two_ledgers.ledger("1.29.1", two_ledgers.record(witnesses=[two_ledgers.reaches(flags="UH")])),
    )
    assert unsteady([steady, steady, steady]) == []
    assert unsteady([steady, steady, other, other]) == ["RSL-01: envoy.flags: - → UH (run 3)"]
