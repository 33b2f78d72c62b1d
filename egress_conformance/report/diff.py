"""Two ledgers held against each other: what became of each case, which observation changed, and who says why.

What differs between two runs of one version is no change: how long something took is told apart (`Moved`), as one run
on a busy machine may take five times as long as the next.
"""

from collections import Counter
from enum import StrEnum

from pydantic import Field

from egress_conformance.errors import ExitCode
from egress_conformance.report.explain import Explained
from egress_conformance.report.ledger import Ledger, Verdict
from egress_conformance.report.model import Model
from egress_conformance.report.words import several

SCHEMA = "istio-egress-conformance/diff/v1"


class Kind(StrEnum):
    """What became of a case, worst first."""

    REGRESSION = "regression"
    CHANGED = "changed behaviour"
    GONE = "no longer tested"
    INCONCLUSIVE = "inconclusive"
    FAILING = "failed in both"
    NEW = "newly supported"


WANT_REASONS = (Kind.REGRESSION, Kind.CHANGED, Kind.GONE)
"""Kinds whose changes must be explained, or the gate stays shut."""


class Change(Model):
    """One observation that is another now."""

    observation: str = Field(description="its name, e.g. `envoy.flags`, or `verdict`")
    old: str
    new: str
    checks: list[str] = Field(description="the checks of the case it showed in")
    explained: Explained | None = None
    expired: str = Field(default="", description="the allowance for it that is over")


class CaseDiff(Model):
    """A case of which something changed, or cannot be told."""

    id: str
    area: str
    title: str
    statement: str
    source: str
    kind: Kind
    old: Verdict | None = Field(description="null: it is not in that ledger")
    new: Verdict | None
    reason: str = Field(description="why it did not pass; empty if it did")
    changes: list[Change]

    @property
    def unexplained(self) -> list[Change]:
        """The changes that keep the gate shut."""
        return [change for change in self.changes if not change.explained] if self.kind in WANT_REASONS else []


class Moved(Model):
    """A case whose change took effect clearly sooner or later than before; never a reason to shut the gate."""

    id: str
    old_ms: float
    new_ms: float
    old: str
    new: str


class Fact(Model):
    """Something about the environment that is another now."""

    name: str
    old: str
    new: str


class Side(Model):
    """One of the two ledgers."""

    file: str
    started: str
    istio: str
    data_plane: str
    suite_version: str
    suite_commit: str

    @classmethod
    def of(cls, ledger: Ledger, file: str) -> "Side":
        """What is said of a ledger."""
        plane = ledger.environment.data_plane
        return cls(
            file=file,
            started=ledger.started,
            istio=ledger.environment.istio,
            data_plane=f"{plane.kind} {plane.version}",
            suite_version=ledger.suite_version,
            suite_commit=ledger.suite_commit,
        )


class Diff(Model):
    """All of it."""

    schema_: str = Field(default=SCHEMA, alias="schema")
    old: Side
    new: Side
    exit_code: int = Field(description="0: no change, or all are explained; 1: one is not; 2: not comparable")
    outcome: str
    not_comparable: list[str] = Field(description="why the ledgers as a whole cannot be compared")
    environment: list[Fact]
    cases: list[CaseDiff]
    propagation: list[Moved]

    def of_kind(self, kind: Kind) -> list[CaseDiff]:
        """The cases of which this became."""
        return [case for case in self.cases if case.kind is kind]

    @property
    def subject(self) -> str:
        """What was compared."""
        return f"Istio {self.old.istio} on {self.old.data_plane} → Istio {self.new.istio} on {self.new.data_plane}"


def judged(cases: list[CaseDiff], not_comparable: list[str]) -> tuple[ExitCode, str]:
    """What a gate does with it, and why, in words.

    Ledgers that cannot be compared as a whole open no gate, whatever they say. A change that is there and that nobody
    explains shuts it even where other cases are inconclusive.
    """
    red = [case for case in cases if case.unexplained]
    unexplained = sum(len(case.unexplained) for case in red)
    explained = sum(len(case.changes) - len(case.unexplained) for case in cases if case.kind in WANT_REASONS)
    counts = Counter(case.kind for case in cases)
    told = [f"{counts[kind]} {kind}" for kind in Kind if counts[kind]]
    changes = f"{several(unexplained, 'unexplained change')}, {explained} explained" if unexplained or explained else ""
    outcome = "; ".join([changes or "no change", *(["cases: " + ", ".join(told)] if told else [])])
    if not_comparable:
        return ExitCode.INCONCLUSIVE, f"not comparable: {'; '.join(not_comparable)}"
    if red:
        return ExitCode.FAILED, outcome
    inconclusive = [case.id for case in cases if case.kind is Kind.INCONCLUSIVE]
    if inconclusive:
        return ExitCode.INCONCLUSIVE, f"not comparable: {', '.join(inconclusive)} inconclusive; {outcome}"
    return ExitCode.PASSED, outcome


def grouped(cases: list[CaseDiff]) -> list[list[CaseDiff]]:
    """Cases of which the same became in the same way side by side: the rows of a table, as a rule."""
    groups: dict[tuple[object, ...], list[CaseDiff]] = {}
    for case in cases:
        what = tuple((change.observation, change.old, change.new, str(change.explained)) for change in case.changes)
        groups.setdefault((case.id.partition("[")[0], case.kind, what), []).append(case)
    return list(groups.values())
