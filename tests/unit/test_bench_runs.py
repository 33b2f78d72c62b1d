"""What the benchmarks of several runs make of them."""

import pytest

from egress_conformance.errors import UserError
from egress_conformance.report.ledger import CaseRecord, Ledger, Verdict
from tests.bench import entries, propagation, start, workers
from tests.bench.running import Asked, Run
from tests.unit.data.sample_ledger import sample


def a_case(id_: str, seconds: float = 1.0, verdict: Verdict = Verdict.PASSED) -> CaseRecord:
    return sample().cases[0].model_copy(update={"id": id_, "seconds": seconds, "verdict": verdict})


def a_ledger(*cases: CaseRecord, seconds: float = 1.0) -> Ledger:
    passed = sum(case.verdict is Verdict.PASSED for case in cases)
    summary = {"seconds": seconds, "passed": passed, "failed": len(cases) - passed, "skipped": 0, "inconclusive": 0}
    there = sample()
    return there.model_copy(update={"cases": [*cases], "summary": there.summary.model_copy(update=summary)})


def a_run(*cases: CaseRecord, seconds: float = 1.0, of_cases: float = 1.0) -> Run:
    return Run(0, a_ledger(*cases, seconds=of_cases), began=0.0, seconds=seconds)


def test_workers_are_held_against_four() -> None:
    good = a_case("RES-01")
    runs = [
        (0, a_run(good, seconds=30, of_cases=24)),
        (4, a_run(good, seconds=10, of_cases=8)),
        (0, a_run(good, seconds=26, of_cases=20)),
        (4, a_run(good, seconds=10, of_cases=8)),
        (8, a_run(good, seconds=9, of_cases=6)),
    ]
    found = workers.rows(runs)
    assert [(row.name, row.ratios) for row in found] == [
        ("-n 0", {"wall time": 2.8, "of it the cases, likewise": 2.75}),
        ("-n 4", {"wall time": 1.0, "of it the cases, likewise": 1.0}),
        ("-n 8", {"wall time": 0.9, "of it the cases, likewise": 0.75}),
    ]
    assert found[0].facts == {
        "seconds": 28,
        "runs": 2,
        "passed": "1",
        "failed": "0",
        "skipped": "0",
        "inconclusive": "0",
        "exit codes": "0, 0",
    }
    assert workers.verdicts(runs) == "the same in each run"


def test_a_verdict_that_depends_on_the_workers_is_told() -> None:
    bad = a_case("RES-01", verdict=Verdict.FAILED)
    runs = [(0, a_run(a_case("RES-01"))), (4, a_run(a_case("RES-01"))), (8, a_run(bad))]
    assert workers.verdicts(runs) == "not the same: RES-01 (passed at -n 0, -n 4; failed at -n 8)"


def test_what_others_are_held_against_must_be_measured() -> None:
    with pytest.raises(UserError, match="add --at 4"):
        workers.measure(Asked(at=(0, 8)), "")
    with pytest.raises(UserError, match="add --at 0"):
        entries.measure(Asked(at=(100,)), "")


def changes(id_: str, *ms: float) -> CaseRecord:
    case = a_case(id_)
    control, subject = case.witnesses[:2]
    subjects = [subject.model_copy(update={"role": "subject", "convergence_ms": each, "held": True}) for each in ms]
    late = subject.model_copy(update={"role": "subject", "convergence_ms": None, "held": False})
    before = control.model_copy(update={"role": "control before", "convergence_ms": 7.0})
    return case.model_copy(update={"witnesses": [before, *subjects, late]})


def test_propagation_is_that_of_the_subjects_against_the_debounce() -> None:
    ledger = a_ledger(changes("BEN-02", 110, 150, 130), changes("BEN-03", 200), changes("BEN-04"))
    found = propagation.figures(ledger, "typed")
    assert found.samples == {"ServiceEntry applied": [1.1, 1.5, 1.3], "mode to REGISTRY_ONLY": [2.0]}
    entry, flip = found.rows
    assert entry.ratios == {"median": 1.3, "lowest": 1.1, "10 % below": 1.14, "90 % below": 1.46, "highest": 1.5}
    assert entry.facts == {"changes": 3, "verdict": "passed"}
    assert set(flip.ratios.values()) == {2.0}
    with pytest.raises(UserError, match="no change"):
        propagation.figures(a_ledger(a_case("RES-01")), "")


def test_entries_are_held_against_none_by_cases_that_passed_everywhere() -> None:
    def runs(dns: float, static: float, flip: Verdict = Verdict.PASSED) -> list[Run]:
        cases = [a_case("BEN-01", 99.0), a_case("RES-01", dns), a_case("RES-04", static), a_case("POL-03", 5, flip)]
        return [a_run(*cases), a_run(*cases)]

    by_count = {0: runs(1.0, 3.0), 2000: runs(1.5, 6.5, Verdict.FAILED)}
    found = entries.rows({count: entries.passed(each) for count, each in by_count.items()})
    assert [(row.name, row.ratios) for row in found] == [
        ("0 entries", {"all": 1.0, "RES-01": 1.0, "RES-04": 1.0}),
        ("2000 entries", {"all": 2.0, "RES-01": 1.5, "RES-04": 2.167}),
    ]
    assert found[1].facts == {"mean seconds": 4.0, "passed": 4}
    assert entries.not_passed(by_count) == "POL-03 failed with 2000, POL-03 failed with 2000"
    assert entries.not_passed({0: runs(1, 1)}) == "none"
    with pytest.raises(UserError, match="no case passed"):
        entries.rows({0: {"RES-01": [1.0]}, 100: {}})


def test_stages_of_a_start_are_all_of_it() -> None:
    marks = {"setup": 104.0, "call": 110.0, "end": 150.0}
    found = start.stages(100.0, marks, 60.0)
    assert [*found.values()] == [4.0, 6.0, 40.0, 10.0]
    twice_as_fast = {name: value / 2 for name, value in found.items()}
    table = {row.name: (row.ratios["of the whole"], row.facts["seconds"]) for row in start.rows([found, twice_as_fast])}
    assert table[start.FIRST_TEST] == (0.167, 7.5)
    assert table[start.CASES] == (0.667, 30.0)
    with pytest.raises(UserError, match="began no case"):
        start.stages(100.0, {"end": 1.0}, 60.0)
