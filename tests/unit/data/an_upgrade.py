"""An upgrade as it might have been, and parts of one."""

from typing import Any

from egress_conformance.report.ledger import Verdict
from egress_conformance.report.upgrade import (
    Comparison,
    Compatibility,
    Event,
    InForce,
    Judged,
    Load,
    Lost,
    Segment,
    Sent,
    Series,
    Upgrade,
)
from egress_conformance.upgrade import names
from egress_conformance.upgrade.seen import Seen

OLD, NEW = "1.29.1", "1.31-20260827"
DESTINATIONS = ("http-registered", "tcp-unregistered")
ORDER = (
    (names.CONTROL, "step", ""),
    (names.BEFORE, "station", ""),
    (names.INSTALL, "step", names.CANARY),
    (names.BESIDE, "station", names.CANARY),
    (names.CANARY_STATION, "station", names.CANARY),
    (names.MOVE, "step", names.CANARY),
    (names.ROLL_BACK, "step", names.CANARY),
    (names.REMOVE, "step", names.CANARY),
    (names.CONTROL_PLANE, "step", names.IN_PLACE),
    (names.SKEW, "station", names.IN_PLACE),
    (names.RESTART, "step", names.IN_PLACE),
    (names.AFTER, "station", names.IN_PLACE),
    (names.COMPATIBILITY_VERSION, "step", names.COMPATIBILITY),
    (names.COMPATIBLE, "station", names.COMPATIBILITY),
)
NEW_PROXIES = (names.MOVE, names.RESTART, names.AFTER, names.COMPATIBILITY_VERSION, names.COMPATIBLE)
PAIRS = (
    (names.BEFORE, names.AFTER),
    (names.BEFORE, names.SKEW),
    (names.BEFORE, names.BESIDE),
    (names.AFTER, names.CANARY_STATION),
    (names.AFTER, names.COMPATIBLE),
)


def in_force(version: str) -> InForce:
    return InForce(
        control_planes={"istiod": f"{version}-0123abcd"},
        crds=f"{version} (sha256 0123456789ab)",
        admission={"istio-validator-istio-system": f"istiod {version}"},
        injection={"istio-sidecar-injector": version},
        proxies={f"{version}-0123abcd": 3},
    )


def segment(name: str = names.CONTROL_PLANE, **changes: Any) -> Segment:  # noqa: ANN401
    """A segment in which all went well; `lost` is how many requests to the first destination were lost."""
    place = next(number for number, each in enumerate(ORDER) if each[0] == name)
    _, kind, route = ORDER[place]
    lost = changes.pop("lost", 0)
    made: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "route": route,
        "what": f"what is done in {name}",
        "begins": place * 60.0,
        "ends": place * 60.0 + 55,
        "problem": "",
        "sent": [sent(destination, lost if n == 0 else 0) for n, destination in enumerate(DESTINATIONS)],
        "rejected": 0,
        "rejected_by_load": [],
        "in_force": in_force(NEW if name in NEW_PROXIES else OLD),
        "ledger": f"stations/{name}/ledger.json" if kind == "station" else "",
        "exit_code": 0 if kind == "station" else None,
        **changes,
    }
    return Segment(**made)


def sent(destination: str, lost: int = 0, stalled: int = 0) -> Sent:
    return Sent(
        destination=destination,
        registered=destination == DESTINATIONS[0],
        requests=100,
        lost=lost,
        stalled=stalled,
        slow=0,
        slowest_ms=12.5,
    )


def segments(*others: Segment) -> list[Segment]:
    """All segments, some of them replaced."""
    named = {each.name: each for each in others}
    return [named.get(name) or segment(name) for name, _, _ in ORDER]


def comparison(old: str, new: str, exit_code: int = 0, changes: tuple[str, ...] = ()) -> Comparison:
    outcome = {0: "no change", 1: "1 unexplained change", 2: "not comparable: RES-01 inconclusive"}[exit_code]
    return Comparison(
        old=old,
        new=new,
        exit_code=exit_code,
        outcome=outcome,
        changes=list(changes),
        left_out=["VAL-06"],
        file=f"diffs/{old}-{new}.html",
    )


def seen(**changes: Any) -> Seen:  # noqa: ANN401
    """An upgrade in which all went well."""
    made: dict[str, Any] = {
        "old": OLD,
        "new": NEW,
        "routes": names.ROUTES,
        "segments": segments(),
        "comparisons": [comparison(*pair) for pair in PAIRS],
        "control": [],
        "compatibility": compatibility(),
        "trouble": "",
        **changes,
    }
    return Seen(**made)


def compatibility(*others: str) -> Compatibility:
    return Compatibility(
        version="1.29",
        settings=["PILOT_X: - → false"],
        came_back=["HDR-07c"],
        did_not=["TLS-12"],
        others=list(others),
    )


def upgrade(text: str = "", **changes: Any) -> Upgrade:  # noqa: ANN401
    """A report with everything in it; `text` is what others may have put into it."""
    lost = Lost(
        at=500.25,
        segment=names.CONTROL_PLANE,
        destination=DESTINATIONS[0],
        client="load-1",
        ms=5000.0,
        outcome=f"-1 {text}",
        past_the_mesh_ms=2400.0,
        fortio=["Unable to connect: refused"],
        envoy=[f"[2026-08-28T03:41:07.000Z] UF {text}"],
        istiod=[f"2026-08-28T03:41:07.000000Z info ads {text}"],
    )
    made: dict[str, Any] = {
        "started": "2026-08-28T03:41:07+00:00",
        "seconds": 840.0,
        "provider": "kind",
        "old": OLD,
        "new": NEW,
        "routes": list(names.ROUTES),
        "load": Load(generator="Fortio", clients=3, requests_per_second=5, timeout_seconds=5, slow_ms=1000),
        "segments": segments(segment(names.MOVE, problem=f"timed out {text}", rejected_by_load=["ACK ERROR"])),
        "events": [Event(at=1.0, what=f"istiod ready {text}")],
        "lost_requests": 1,
        "lost": [lost],
        "bucket_seconds": 4.0,
        "series": [
            Series(destination=name, registered=True, slowest_ms=[1.0, None, 5000.0], lost=[0, 1, 0])
            for name in DESTINATIONS
        ],
        "comparisons": [comparison(*PAIRS[0], 1, (f"RES-01 envoy.flags: - → UH {text}",))],
        "compatibility": compatibility("RES-02"),
        "cases": [
            Judged(
                id=f"UPG-0{number}",
                title="this",
                statement="It MUST be so.",
                source="there",
                verdict=verdict,
                reason="" if verdict is Verdict.PASSED else f"because {text}",
            )
            for number, verdict in enumerate(Verdict, start=1)
        ],
        "notes": [f"This must be known. {text}"],
        "exit_code": 1,
        "outcome": "1 passed, 1 failed; 1 of 2800 requests lost",
        **changes,
    }
    return Upgrade(**made)
