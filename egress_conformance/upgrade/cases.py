"""The cases of an upgrade. They are declared like any other and judged when it is over; `run` does not know them."""

import inspect
from collections.abc import Callable

from egress_conformance.case import Case, Mode, case
from egress_conformance.catalogue import Entry
from egress_conformance.errors import PlatformTrouble
from egress_conformance.report.ledger import Verdict
from egress_conformance.report.upgrade import Judged
from egress_conformance.upgrade import names
from egress_conformance.upgrade.seen import NotTried, Seen

AREA = "upgrade"
CONTROLS = "before: what is unregistered is lost in REGISTRY_ONLY"


@case(
    "UPG-01",
    source="Istio architecture: proxies go on without istiod; stricter than In-place Upgrades (istio/istio#53827)",
    mode=Mode.ALLOW_ANY,
)
def test_in_place(seen: Seen) -> None:
    """While Istio is upgraded in place, and the proxies are restarted after it, egress traffic MUST lose no request."""
    seen.take(names.IN_PLACE, names.EXISTING)
    if names.IN_PLACE in seen.routes:
        seen.loses_nothing(names.CONTROL_PLANE, names.RESTART)
        seen.has_proxies(names.RESTART, seen.new)
    else:
        seen.loses_nothing(*(each.name for each in seen.segments if each.route == names.EXISTING))


@case("UPG-02", source="Istio supported releases: Control Plane/Data Plane Skew", mode=Mode.ALLOW_ANY)
def test_skew(seen: Seen) -> None:
    """Proxies of the old version MUST reject nothing the new istiod sends, lose nothing, and treat egress as before."""
    seen.take(names.IN_PLACE)
    seen.has_proxies(names.SKEW, seen.old)
    seen.rejects_nothing(names.CONTROL_PLANE)
    seen.rejects_nothing(names.SKEW)
    seen.loses_nothing(names.SKEW)
    seen.is_explained(names.BEFORE, names.SKEW)


@case("UPG-03", source="Istio setup, Canary Upgrades: each revision is a full control plane", mode=Mode.ALLOW_ANY)
def test_two_revisions(seen: Seen) -> None:
    """With two revisions side by side each MUST give the results of its own version, as if it were alone."""
    seen.take(names.CANARY)
    seen.is_explained(names.BEFORE, names.BESIDE)
    if names.IN_PLACE not in seen.routes:
        raise NotTried(f"the old revision did; there is no ledger of the new one alone without route {names.IN_PLACE}")
    seen.is_explained(names.AFTER, names.CANARY_STATION)


@case("UPG-04", source="Istio setup, Canary Upgrades: data plane, uninstall old control plane", mode=Mode.ALLOW_ANY)
def test_canary(seen: Seen) -> None:
    """Moving a namespace to a new revision, and back again, MUST lose no request of its egress traffic."""
    seen.take(names.CANARY)
    seen.loses_nothing(names.INSTALL, names.MOVE, names.ROLL_BACK, names.REMOVE)
    seen.has_proxies(names.MOVE, seen.new)
    seen.has_proxies(names.ROLL_BACK, seen.old)


@case("UPG-05", source="Istio setup, Compatibility Versions", mode=Mode.ALLOW_ANY)
def test_compatibility_version(seen: Seen) -> None:
    """A compatibilityVersion MUST bring back behaviours of that version, and change nothing else."""
    seen.take(names.COMPATIBILITY)
    seen.named(names.COMPATIBLE)
    if seen.compatibility is None:
        raise PlatformTrouble("not comparable", f"{names.BEFORE}, {names.AFTER} and {names.COMPATIBLE}")
    others = seen.compatibility.others
    assert not others, f"it changed what the upgrade had not: {', '.join(others)}"  # noqa: S101


@case("UPG-06", source="Istio release notes; explanations.yaml", mode=Mode.ALLOW_ANY)
def test_explained(seen: Seen) -> None:
    """Each behaviour that is another after the upgrade MUST be explained by a source."""
    seen.take(names.IN_PLACE, names.EXISTING)
    seen.is_explained(names.BEFORE, names.AFTER)


CASES: tuple[Callable[[Seen], None], ...] = (
    test_in_place,
    test_skew,
    test_two_revisions,
    test_canary,
    test_compatibility_version,
    test_explained,
)


def declared(function: Callable[[Seen], None]) -> Case:
    """What a case declares of itself."""
    marks = function.pytestmark  # type: ignore[attr-defined]
    found: Case = next(mark.args[0] for mark in marks if mark.name == "case")
    return found


def entries() -> list[Entry]:
    """The cases as the catalogue lists them."""
    return [
        Entry(AREA, declared(function), article=False, controls=controls(function), command=AREA) for function in CASES
    ]


def controls(function: Callable[[Seen], None]) -> str:
    """The controls of a case: those that lean on losses being noticed have one."""
    return CONTROLS if f".{Seen.loses_nothing.__name__}(" in inspect.getsource(function) else ""


def judge(seen: Seen) -> list[Judged]:
    """The verdict of each case."""
    return [_judge(function, seen) for function in CASES]


def _judge(function: Callable[[Seen], None], seen: Seen) -> Judged:
    verdict, reason = Verdict.PASSED, ""
    try:
        function(seen)
    except NotTried as not_tried:
        verdict, reason = Verdict.SKIPPED, str(not_tried)
    except PlatformTrouble as trouble:
        verdict, reason = Verdict.INCONCLUSIVE, str(trouble)
    except AssertionError as error:
        verdict, reason = Verdict.FAILED, str(error)
    what = declared(function)
    return Judged(
        id=what.id, title=what.title, statement=what.statement, source=what.source, verdict=verdict, reason=reason
    )
