"""Compares two ledgers, case by case."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from egress_conformance.report.diff import CaseDiff, Change, Diff, Fact, Kind, Moved, Side, judged
from egress_conformance.report.explain import TABLE, VERDICT, Changed, Explanations
from egress_conformance.report.ledger import CaseRecord, Check, Environment, Ledger, Verdict
from egress_conformance.report.pairs import paired
from egress_conformance.report.words import reason, value
from egress_conformance.versions import in_force, in_range

CHECK = "check"
"""The observation that is a check which only one of the two made."""

NOTED = "noted"
"""What the name of an observation begins with that a case notes beside its checks."""

CLASSES = ((100, "at once"), (1000, "within 1 s"), (5000, "within 5 s"))
"""Classes of propagation, by milliseconds; from the last on a run says that it converged late."""

_ABSENT = "-"
_SHA256 = re.compile("sha256:([0-9a-f]{12})[0-9a-f]*")

_P, _F, _S = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED
_KINDS: dict[tuple[Verdict, ...], Kind | None] = {
    (_P, _P): Kind.CHANGED,
    (_P, _F): Kind.REGRESSION,
    (_P, _S): Kind.GONE,
    (_F, _P): Kind.NEW,
    (_F, _F): Kind.FAILING,
    (_F, _S): Kind.GONE,
    (_S, _P): Kind.NEW,
    (_S, _F): Kind.REGRESSION,
    (_S, _S): None,
}
"""What became of a case by its verdicts; one that is not in a ledger counts as skipped."""


def compare(old: Ledger, new: Ledger, explanations: Explanations, files: tuple[str, str] = ("old", "new")) -> Diff:
    """Hold a ledger against an older one.

    Args:
        old: the ledger before.
        new: the one after.
        explanations: what may explain a change.
        files: what the two are called.
    """
    before, after = ({case.id: case for case in ledger.cases} for ledger in (old, new))
    comparison = _Comparison(old.environment, new.environment, explanations)
    found = [comparison.case(before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys())]
    cases = sorted((case for case in found if case), key=lambda case: list(Kind).index(case.kind))
    obstacles = list(_obstacles(old, new))
    code, outcome = judged(cases, obstacles)
    return Diff(
        old=Side.of(old, files[0]),
        new=Side.of(new, files[1]),
        exit_code=code,
        outcome=outcome,
        not_comparable=obstacles,
        environment=list(_environment(old, new)),
        cases=cases,
        propagation=list(_moved(before, after)),
    )


class _Comparison:
    """Compares cases.

    Args:
        old: what ran before.
        new: what ran after.
        explanations: what may explain a change.
    """

    def __init__(self, old: Environment, new: Environment, explanations: Explanations) -> None:
        self._old = old
        self._new = new
        self._explanations = explanations

    def case(self, old: CaseRecord | None, new: CaseRecord | None) -> CaseDiff | None:
        """What became of a case; None where nothing did."""
        record = new or old
        kind = self._kind(old, new)
        if record is None or kind is None:
            return None
        if kind is Kind.CHANGED and old and new and new.verdict is Verdict.PASSED:
            changes = list(self._observations(old, new))
            if not changes:
                return None
        elif kind is Kind.FAILING:
            changes = []
        else:
            changes = [
                self._explained(record, Change(observation=VERDICT, old=_became(old), new=_became(new), checks=[]))
            ]
        told = new if new and new.reason else old
        return CaseDiff(
            id=record.id,
            area=record.area,
            title=record.title,
            statement=record.statement,
            source=record.source,
            kind=kind,
            old=old.verdict if old else None,
            new=new.verdict if new else None,
            reason=reason(told.reason).gist if told else "",
            changes=changes,
        )

    def _kind(self, old: CaseRecord | None, new: CaseRecord | None) -> Kind | None:
        verdicts = tuple(case.verdict if case else Verdict.SKIPPED for case in (old, new))
        if Verdict.INCONCLUSIVE in verdicts:
            return Kind.INCONCLUSIVE
        if verdicts[1] is Verdict.SKIPPED and new and _declared_out(new, self._new):
            # No longer promised: that is the change.
            return None if verdicts[0] is Verdict.SKIPPED else Kind.CHANGED
        return _KINDS[verdicts]

    def _observations(self, old: CaseRecord, new: CaseRecord) -> Iterator[Change]:
        """What changed in a case that passed in both; what shows in several checks alike is told once."""
        found: dict[tuple[str, str, str], list[str]] = {}
        expected = [_in_force(case, there) for case, there in ((old, self._old), (new, self._new))]
        if expected[0] != expected[1]:
            found[TABLE, expected[0], expected[1]] = []
        for before, after in paired(old.witnesses, new.witnesses):
            there = after or before
            name = _name(there) if there else ""
            for key in _differences(_flat(before), _flat(after)):
                found.setdefault(key, []).append(name)
        for key in _differences(_noted(old.observations), _noted(new.observations)):
            found.setdefault(key, [])
        for (observation, was, now), checks in found.items():
            yield self._explained(new, Change(observation=observation, old=was, new=now, checks=checks), old)

    def _explained(self, record: CaseRecord, change: Change, old: CaseRecord | None = None) -> Change:
        declared = _in_force(old or record, self._old) != _in_force(record, self._new)
        if change.observation == VERDICT:
            inside = [not _declared_out(record, there) for there in (self._old, self._new)]
            declared = inside[0] != inside[1] and not change.new.startswith(Verdict.FAILED)
        istios = self._old.istio, self._new.istio
        about = Changed(record.id, change.observation, *istios, declared, record.statement, record.source)
        explained = self._explanations.of(about)
        expired = "" if explained else self._explanations.expired(about)
        return change.model_copy(update={"explained": explained, "expired": expired})


def _version(case: CaseRecord, there: Environment) -> str:
    """The version that range and table of a case are about: istiod's or the proxy's."""
    return there.data_plane.version_for(there.istio, of_proxy=case.of_proxy)


def _declared_out(case: CaseRecord, there: Environment) -> bool:
    """Whether a case says nothing of what runs there, by its own word."""
    return not in_range(_version(case, there), case.since, case.until)


def _in_force(case: CaseRecord, there: Environment) -> str:
    try:
        return value(in_force(case.by_version, _version(case, there)))
    except KeyError:
        return _ABSENT


def _became(case: CaseRecord | None) -> str:
    if case is None:
        return "not in it"
    # Why a case failed is said beside it, of each row of a table in other words.
    return f"skipped: {reason(case.reason).gist}" if case.verdict is Verdict.SKIPPED else case.verdict.value


def _name(check: Check) -> str:
    return f"{check.role}: {check.observed.request or check.observed.expected}"


def _flat(check: Check | None) -> dict[str, str] | None:
    return check.observed.flat() if check else None


def _differences(old: dict[str, str] | None, new: dict[str, str] | None) -> Iterator[tuple[str, str, str]]:
    if old is None or new is None:
        # All it saw is new, or gone: that it is there says as much.
        was, now = (each["expected"] if each else _ABSENT for each in (old, new))
        yield CHECK, was, now
        return
    for name in [*new, *(name for name in old if name not in new)]:
        was, now = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if was != now:
            yield name, was, now


def _noted(observations: Mapping[str, Any]) -> dict[str, str]:
    """What a case noted, by name; what is an object, entry by entry."""
    found: dict[str, str] = {}
    for name, noted in observations.items():
        if isinstance(noted, dict):
            found |= {f"{NOTED}.{name}.{key}": value(each) for key, each in noted.items()}
        else:
            found[f"{NOTED}.{name}"] = value(noted)
    return found


def _obstacles(old: Ledger, new: Ledger) -> Iterator[str]:
    """Why two ledgers cannot be compared as a whole."""
    if old.suite_version != new.suite_version:
        yield f"suite {old.suite_version} and suite {new.suite_version}"
    elif old.suite_content != new.suite_content:
        commits = [ledger.suite_commit[:12] or "an unknown commit" for ledger in (old, new)]
        yield f"other cases: the suite at {commits[0]} and at {commits[1]}"
    if old.shard != new.shard:
        shares = [f"shard {ledger.shard}" if ledger.shard else "all cases" for ledger in (old, new)]
        yield f"{shares[0]} and {shares[1]}: merge the shards first"
    kinds = [ledger.environment.data_plane.kind for ledger in (old, new)]
    if kinds[0] != kinds[1]:
        yield f"data planes {kinds[0]} and {kinds[1]}"
    for ledger, name in ((old, "old"), (new, "new")):
        if any(case.proof for case in ledger.cases):
            yield f"the {name} run withheld the subjects of its cases (--prove)"
        if all(case.verdict is Verdict.SKIPPED for case in ledger.cases):
            yield f"no case was tried in the {name} run"


def _environment(old: Ledger, new: Ledger) -> Iterator[Fact]:
    before, after = _facts(old), _facts(new)
    for name in [*after, *(name for name in before if name not in after)]:
        was, now = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if was != now:
            yield Fact(name=name, old=was, new=now)


def _facts(ledger: Ledger) -> dict[str, str]:
    environment = ledger.environment
    plane = environment.data_plane
    images = {}
    for image, digest in sorted(environment.images.items()):
        name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
        images[f"image {name}"] = _SHA256.sub(r"sha256:\1", f"{tag} {digest}".strip())
    return {
        "Istio": environment.istio,
        "revision": environment.revision,
        "data plane": f"{plane.kind} {plane.version}",
        "Kubernetes": environment.kubernetes,
        "provider": environment.provider,
        "mesh config": environment.mesh_config,
        **images,
    }


def _moved(old: dict[str, CaseRecord], new: dict[str, CaseRecord]) -> Iterator[Moved]:
    for key in sorted(old.keys() & new.keys()):
        was, now = old[key].propagation_ms, new[key].propagation_ms
        if was is not None and now is not None and speed(was) != speed(now):
            yield Moved(id=key, old_ms=was, new_ms=now, old=speed(was), new=speed(now))


def speed(ms: float) -> str:
    """The class of a propagation time."""
    return next((name for limit, name in CLASSES if ms < limit), "late")
