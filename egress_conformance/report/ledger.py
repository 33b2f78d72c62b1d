"""The ledger: the report of one run. Every other report is drawn from it, and it knows nothing else.

The JSON schema under docs/ is generated from these models; `SCHEMA` changes when they do.
"""

from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from egress_conformance.report.model import Model
from egress_conformance.report.observed import Observed

SCHEMA = "istio-egress-conformance/ledger/v2"


class Verdict(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"


class DataPlane(Model):
    """The proxy that was found running."""

    kind: Literal["istio-proxy", "envoy", "unknown"]
    version: str = Field(description="Envoy's")
    istio: str = Field(default="", description="the Istio it says it belongs to; empty: it does not say")

    def version_for(self, istiod: str, *, of_proxy: bool) -> str:
        """The version that range and table of a case are about.

        Args:
            istiod: the version of the control plane.
            of_proxy: it is Envoy that behaves differently: the proxy's counts, where it says one.
        """
        return (self.istio if of_proxy else "") or istiod


class Environment(Model):
    """What the run ran on."""

    istio: str
    revision: str
    data_plane: DataPlane
    kubernetes: str
    provider: str
    images: dict[str, str]
    mesh_config: str = Field(description="SHA-256 of the mesh config the run found and put back")
    emulations: list[str] = Field(description="ids of the cases whose result is from an emulation")
    escaped_packets: int | None = Field(description="packets that left the cluster; null: nobody counted")


class Summary(Model):
    """Counts of verdicts; emulated cases are counted apart and in none of the four."""

    passed: int
    failed: int
    skipped: int
    inconclusive: int
    emulated: int
    seconds: float


class Attempt(Model):
    """One request, and what the three witnesses saw of it."""

    curl: str = Field(description="what curl saw, in one line")
    envoy: list[str] = Field(description="what the caller's Envoy logged, a line an entry")
    server: list[str] = Field(description="what servers in the world received, a line a receipt")
    agrees: bool
    problems: list[str] = Field(description="what does not agree with the expectation, by witness")


class Check(Model):
    """One expectation of a case: a control or the subject."""

    role: Literal["control before", "subject", "control after", "check"]
    expected: str
    held: bool
    attempts_made: int
    convergence_ms: float | None
    sending_ms: float | None = Field(
        default=None, description="from the first attempt to the end of the last; null: no loop sent them"
    )
    attempts: list[Attempt] = Field(description="the last attempts, those that were judged")
    envoy_counted: dict[str, int] = Field(description="Envoy counters that moved during the check, by delta")
    observed: Observed = Field(default=Observed(), description="what the judged attempts saw, the same in each run")


class CaseRecord(Model):
    """One case of one run."""

    id: str
    area: str
    title: str
    statement: str
    source: str
    verdict: Verdict
    reason: str = Field(description="why, in words; empty when passed")
    emulated: bool
    proof: Literal["proved", "unproved", "not_provable"] | None = Field(
        default=None, description="with --prove: whether the case fails when its subject is withheld"
    )
    seconds: float
    propagation_ms: float | None = Field(description="from the API server's answer to the first agreeing attempt")
    observations: dict[str, Any] = Field(description="what the case noted beside its checks, the same in each run")
    measurements: dict[str, Any] = Field(default={}, description="what it measured, which differs from run to run")
    since: str = Field(default="", description="the first version of Istio that promises it; empty: all")
    until: str = Field(default="", description="the last version that does; empty: all")
    by_version: dict[str, Any] = Field(
        default={}, description="what is expected, by the first version of Istio that does so"
    )
    of_proxy: bool = Field(default=False, description="these are versions of the client's proxy, not of istiod")
    witnesses: list[Check]
    applied: list[str] = Field(description="the YAML the case applied, less what Secrets hold")
    evidence: dict[str, str] = Field(description="longer dumps by name, on failure")


class Ledger(Model):
    """The report of one run."""

    # `schema` is what users read in the JSON; the attribute has another name as pydantic uses that one.
    schema_: str = Field(default=SCHEMA, alias="schema")
    started: str
    suite_version: str
    suite_commit: str = Field(default="", description="commit of the suite, with -dirty if changed; empty: unknown")
    suite_content: str = Field(
        default="", description="SHA-256 of the cases and of what they look with; empty: unknown"
    )
    shard: str = Field(default="", description="which share of the cases it has, e.g. 2/3; empty: all of them")
    environment: Environment
    summary: Summary
    cases: list[CaseRecord]

    def write(self, path: Path) -> None:
        """Write the ledger as JSON to `path`."""
        path.write_text(self.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Ledger":
        """Read a ledger written by `write`."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))
