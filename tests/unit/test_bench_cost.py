"""What the benchmark of a case's cost makes of a ledger."""

import pytest

from egress_conformance.errors import UserError
from egress_conformance.report.ledger import CaseRecord, Ledger, Verdict
from tests.bench.cost import EXEC_MS, cost, exec_seconds, figures, requests
from tests.unit.data.sample_ledger import sample


def a_case(id_: str, *, area: str, seconds: float, sending_ms: float | None = 400.0) -> CaseRecord:
    case = sample().cases[0]
    checks = [check.model_copy(update={"sending_ms": sending_ms}) for check in case.witnesses[:2]]
    update = {"id": id_, "area": area, "seconds": seconds, "verdict": Verdict.PASSED, "witnesses": checks}
    return case.model_copy(update=update)


def an_exec(*ms: float) -> CaseRecord:
    case = a_case("BEN-01", area="cases", seconds=9.0)
    return case.model_copy(update={"witnesses": [], "measurements": {EXEC_MS: [*ms]}})


def a_ledger(*cases: CaseRecord) -> Ledger:
    return sample().model_copy(update={"cases": [*cases]})


def test_the_cost_of_a_case_is_what_its_loops_did_not_spend() -> None:
    case = a_case("RES-01", area="resolution", seconds=2.0)
    assert requests(case) == pytest.approx(0.8)
    assert cost(case) == pytest.approx(1.2)
    in_part = [case.witnesses[0], case.witnesses[1].model_copy(update={"sending_ms": None})]
    assert cost(case.model_copy(update={"witnesses": in_part})) is None
    assert cost(case.model_copy(update={"verdict": Verdict.FAILED})) is None
    assert cost(case.model_copy(update={"witnesses": []})) is None


def test_the_floor_is_one_exec_and_the_requests() -> None:
    ledger = a_ledger(
        an_exec(190, 200, 300),
        a_case("RES-01", area="resolution", seconds=2.0),
        a_case("RES-02", area="resolution", seconds=4.0),
        a_case("EGW-01", area="egress_gateway", seconds=8.0),
        a_case("VAL-01", area="validation", seconds=1.0, sending_ms=None),
    )
    assert exec_seconds(ledger) == pytest.approx(0.2)
    found = figures(ledger, "typed")
    assert [(row.name, row.ratios["median"], row.facts["cases"]) for row in found.rows] == [
        ("all", 4.0, 3),  # against a floor of 0.2 + 2 * 0.4 seconds each
        ("egress gateway", 8.0, 1),
        ("resolution", 3.0, 2),
    ]
    assert found.rows[2].facts == {
        "cases": 2,
        "mean seconds": 3.0,
        "of these beyond requests": 2.2,
        "median of that": 2.2,
        "per check": 1.1,
    }
    assert found.said == {
        "cases left out": 1,
        "seconds of an exec, median": 0.2,
        "dearest beyond requests": "EGW-01 7.2 s, RES-02 3.2 s, RES-01 1.2 s",
    }
    assert found.environment.data_plane == "envoy 1.39.3"


def test_without_an_exec_or_a_case_there_is_no_ratio() -> None:
    with pytest.raises(UserError, match="no BEN-01"):
        figures(a_ledger(a_case("RES-01", area="resolution", seconds=2.0)), "")
    with pytest.raises(UserError, match="no case of which the cost is known"):
        figures(a_ledger(an_exec(200)), "")
