"""Ledgers of a few cases, to be held against each other."""

from typing import Any

from egress_conformance.report.ledger import Attempt, CaseRecord, Check, Ledger, Verdict
from egress_conformance.report.observed import CurlObserved, EnvoyObserved, Observed, ServerObserved
from tests.unit.data.sample_ledger import Role, sample

COMMIT = "958a309a0b1c2d3e4f5061728394a5b6c7d8e9f0"
HEADERS = {"Host": ["rsl-01.world.test"], "x-envoy-attempt-count": ["1"], "x-request-id": ["*"]}


def reaches(
    request: str = "GET http://rsl-01.world.test/headers",
    role: Role = "subject",
    **changes: Any,  # noqa: ANN401
) -> Check:
    """A check that held; `flags`, `headers`, `expected` and `name` change what was observed."""
    attempt = Attempt(curl="200, server: envoy", envoy=["200"], server=["alpha:80 request"], agrees=True, problems=[])
    observed = Observed(
        request=request,
        expected=changes.get("expected", "reaches rsl-01.world.test"),
        curl=CurlObserved(outcome=["200"], headers={"server": ["envoy"]}),
        envoy=EnvoyObserved(lines=["1"], code=["200"], flags=[changes.get("flags", "-")]),
        server=ServerObserved(name=[changes.get("name", "alpha")], headers=changes.get("headers", HEADERS)),
    )
    return Check(
        role=role,
        expected=f"{request} {observed.expected}",
        held=True,
        attempts_made=3,
        convergence_ms=212.0,
        attempts=[attempt],
        envoy_counted={},
        observed=observed,
    )


def fact(expected: str, seen: str) -> Check:
    """A check of something else than a request."""
    observed = Observed(expected=expected, seen=[seen])
    return reaches().model_copy(update={"expected": expected, "observed": observed})


def record(name: str = "RSL-01", verdict: Verdict = Verdict.PASSED, **changes: Any) -> CaseRecord:  # noqa: ANN401
    """A case with one check."""
    case = name.partition("[")[0]
    made = {
        "id": name,
        "verdict": verdict,
        "statement": f"{case} MUST hold.",
        "source": f"source of {case}",
        "reason": "" if verdict is Verdict.PASSED else f"{case} {verdict}",
        "observations": {},
        "witnesses": [reaches()],
        "propagation_ms": 212.0,
        **changes,
    }
    return sample().cases[0].model_copy(update=made)


def ledger(istio: str = "1.29.1", *cases: CaseRecord, **changes: Any) -> Ledger:  # noqa: ANN401
    """A run of these cases, and of one that always passes."""
    environment = sample().environment.model_copy(update={"istio": istio, **changes.pop("environment", {})})
    made = {
        "suite_commit": COMMIT,
        "suite_content": "the cases",
        "environment": environment,
        "cases": [record("ALL-01"), *(cases or [record()])],
        **changes,
    }
    return sample().model_copy(update=made)
