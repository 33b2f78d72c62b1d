"""What the benchmarks make of a ledger."""

import pytest

from egress_conformance.report.ledger import Verdict
from tests.bench.cost import cost, figures
from tests.unit.data.sample_ledger import sample


def test_the_cost_of_a_case_is_what_its_loops_did_not_spend() -> None:
    case = sample().cases[0].model_copy(update={"seconds": 2.0, "verdict": Verdict.PASSED})
    checks = [check.model_copy(update={"sending_ms": 400.0}) for check in case.witnesses]
    whole = case.model_copy(update={"witnesses": checks})
    assert cost(whole) == pytest.approx(2.0 - 0.4 * len(checks))
    in_part = [*checks[1:], checks[0].model_copy(update={"sending_ms": None})]
    left_out = case.model_copy(update={"witnesses": in_part})
    assert cost(left_out) is None
    assert cost(whole.model_copy(update={"verdict": Verdict.FAILED})) is None
    slower = whole.model_copy(update={"seconds": 4.0})
    found = figures([whole, slower, left_out])
    assert (found["cases"], found["cases left out"], found["mean of the whole case"]) == (2, 1, 3.0)
    assert found["mean"] == pytest.approx(3.0 - 0.4 * len(checks), abs=1e-3)
