"""The report of an upgrade under traffic: what was sent, what was lost, and what the suite saw on the way.

Times are seconds since the upgrade started (`started`), so that all of it lies on one time line.
"""

from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field

from egress_conformance.errors import ExitCode
from egress_conformance.report.ledger import Verdict
from egress_conformance.report.model import Model
from egress_conformance.report.words import several

SCHEMA = "istio-egress-conformance/upgrade/v1"


class InForce(Model):
    """Whose word counts in the cluster at one moment. Versions are those of images."""

    control_planes: dict[str, str] = Field(description="the version of each istiod, by Deployment")
    crds: str = Field(description="what Istio's CRDs say they are of, and 12 digits of a digest of them")
    admission: dict[str, str] = Field(description="the istiod that validates resources, by webhook configuration")
    injection: dict[str, str] = Field(description="the version of the proxies that are injected, by ConfigMap")
    proxies: dict[str, int] = Field(description="the clients of the load, by the version of their proxy")


class Sent(Model):
    """What went to one destination in one segment."""

    destination: str
    registered: bool
    requests: int
    lost: int
    stalled: int = Field(description="of the lost ones, those while the machine stood still: see `past_the_mesh_ms`")
    slow: int = Field(description="not lost, but slower than the load's `slow_ms`")
    slowest_ms: float | None = Field(description="of those not lost; null: there is none")


class Segment(Model):
    """A part of the time line: something is done (a step), or the suite runs (a station)."""

    name: str
    kind: Literal["step", "station"]
    route: str
    what: str
    begins: float
    ends: float
    problem: str = Field(description="why it could not be done; empty if it was")
    sent: list[Sent]
    rejected: int = Field(description="configurations rejected meanwhile, by istiod's counters; of all proxies")
    rejected_by_load: list[str] = Field(description="istiod's log about those that clients of the load rejected")
    in_force: InForce | None = Field(description="at its end; null: it could not be asked")
    ledger: str = Field(description="the ledger of the suite's run, in the folder of this report; empty: a step")
    exit_code: int | None = Field(description="of the suite's run; null: a step")


class Lost(Model):
    """A request without the answer it should have had."""

    at: float
    segment: str
    destination: str
    client: str
    ms: float
    outcome: str
    past_the_mesh_ms: float | None = Field(
        description="the slowest request past the mesh meanwhile, if slow: the machine stood still; null: it did not"
    )
    fortio: list[str] = Field(description="what Fortio logged about then of this destination")
    envoy: list[str] = Field(
        description="what the client's Envoy logged about then, and of its listeners that became others"
    )
    istiod: list[str] = Field(description="what istiod logged about then of the client's proxy")


class Event(Model):
    """Something about the control plane or the clients that became another, as it was seen."""

    at: float
    what: str


class Series(Model):
    """One destination over time, in buckets of the same length."""

    destination: str
    registered: bool
    slowest_ms: list[float | None]
    lost: list[int]


class Load(Model):
    """How the traffic was made."""

    generator: str
    clients: int
    requests_per_second: float = Field(description="of each client to each destination")
    timeout_seconds: float
    slow_ms: float


class Comparison(Model):
    """Two ledgers held against each other."""

    old: str = Field(description="the station it was before")
    new: str
    exit_code: int
    outcome: str
    changes: list[str] = Field(description="each change, as `case observation: old → new`")
    left_out: list[str] = Field(description="cases that cannot be tried in one of them and are not compared")
    file: str = Field(description="the diff as a page; the same with .json is beside it")


class Compatibility(Model):
    """What `compatibilityVersion` did to the new version."""

    version: str
    settings: list[str] = Field(description="settings of istiod and of the mesh that became others by it")
    came_back: list[str] = Field(description="cases that the upgrade changed and that behave as before again")
    did_not: list[str] = Field(description="cases that the upgrade changed and that still behave as after it")
    others: list[str] = Field(description="cases that changed though the upgrade had not changed them")


class Judged(Model):
    """One of the cases of an upgrade."""

    id: str
    title: str
    statement: str
    source: str
    verdict: Verdict
    reason: str


class Upgrade(Model):
    """All of it."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    started: str
    seconds: float
    provider: str
    old: str = Field(description="the version of Istio before")
    new: str
    routes: list[str]
    load: Load
    segments: list[Segment]
    events: list[Event]
    lost_requests: int
    lost: list[Lost] = Field(description="the first of them")
    bucket_seconds: float
    series: list[Series]
    comparisons: list[Comparison]
    compatibility: Compatibility | None = Field(description="null: it was not tried")
    cases: list[Judged]
    notes: list[str]
    exit_code: int = Field(description="0, 1, 2 or 3, as of a run")
    outcome: str

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(self.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Upgrade":
        """Read what `write` wrote."""
        return cls.model_validate_json(path.read_text(encoding="utf-8"))


def judged(cases: list[Judged], lost: int, sent: int) -> tuple[ExitCode, str]:
    """What an upgrade ends with, and why, in words.

    Args:
        cases: its cases.
        lost: requests that were lost.
        sent: all requests.
    """
    counts = Counter(case.verdict for case in cases)
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    outcome = f"{told or 'no case'}; {lost} of {several(sent, 'request')} lost"
    if counts[Verdict.FAILED]:
        return ExitCode.FAILED, outcome
    if counts[Verdict.INCONCLUSIVE]:
        return ExitCode.INCONCLUSIVE, outcome
    return (ExitCode.PASSED if counts[Verdict.PASSED] else ExitCode.USER_ERROR), outcome
