"""The report of an upgrade, made of its time line, its logs and its ledgers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from egress_conformance.report.explain import Explanations
from egress_conformance.report.upgrade import Event, Upgrade, judged
from egress_conformance.report.upgrade_html import render
from egress_conformance.upgrade import names
from egress_conformance.upgrade.cases import judge
from egress_conformance.upgrade.compared import compared
from egress_conformance.upgrade.compatibility import compatibility
from egress_conformance.upgrade.load import Load
from egress_conformance.upgrade.seen import Seen
from egress_conformance.upgrade.sent import series
from egress_conformance.upgrade.timeline import Timeline
from egress_conformance.versions import Version

PAIRS = (
    (names.BEFORE, names.AFTER),
    (names.BEFORE, names.SKEW),
    (names.BEFORE, names.BESIDE),
    (names.AFTER, names.CANARY_STATION),
    (names.AFTER, names.COMPATIBLE),
)
"""Stations whose ledgers are held against each other, where there are both."""

LOST_SHOWN = 200


@dataclass
class Outcome:
    """What an upgrade has come to when its traffic is over.

    Attributes:
        provider: where the cluster came from.
        old: the version before, as the tag of images has it.
        new: the one after.
        routes: that were to be taken.
        control: why a loss would not have been noticed; nothing if it would.
        settings: what the compatibility version made others of.
        trouble: what ended it early; "" if nothing.
    """

    provider: str
    old: str
    new: str
    routes: Sequence[str]
    control: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)
    trouble: str = ""


def write(
    outcome: Outcome,
    timeline: Timeline,
    load: Load,
    events: Sequence[Event],
    *,
    explanations: Explanations,
    folder: Path,
) -> Upgrade:
    """Judge an upgrade and write `upgrade.json`, `report.html` and the diffs.

    Args:
        outcome: what it came to.
        timeline: what was done.
        load: what was sent.
        events: what was seen to change.
        explanations: what may explain a change.
        folder: where to.
    """
    evidence, started, ledgers = load.evidence.read(), timeline.started, timeline.ledgers
    spans = timeline.spans()
    # What is lost in the control is lost on purpose.
    purpose = [(begins, ends) for name, begins, ends in spans if name == names.CONTROL]
    requests = [each for each in evidence.requests if not any(begins <= each.at < ends for begins, ends in purpose)]
    ends = max([part.ends for part in timeline.parts] + [request.at for request in requests] + [started])
    pairs = [pair for pair in PAIRS if all(name in ledgers for name in pair)]
    comparisons = [compared((old, new), (ledgers[old], ledgers[new]), explanations, folder) for old, new in pairs]
    three = [ledgers[name] for name in (names.BEFORE, names.AFTER, names.COMPATIBLE) if name in ledgers]
    brought_back = None
    if len(three) == 3:
        before, after, compatible = three
        version = ".".join(before.environment.istio.split(".")[:2])
        brought_back = compatibility(version, outcome.settings, before, after, compatible)
    segments = timeline.segments(evidence)
    seen = Seen(
        old=outcome.old,
        new=outcome.new,
        routes=outcome.routes,
        segments=segments,
        comparisons=comparisons,
        control=outcome.control,
        compatibility=brought_back,
        trouble=outcome.trouble,
    )
    cases = judge(seen)
    lost = sorted((each for each in requests if not each.ok), key=lambda each: each.at)
    length, over_time = series(requests, load.destinations, started, ends)
    code, told = judged(cases, len(lost), len(requests))
    upgrade = Upgrade(
        started=datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        seconds=round(ends - started, 1),
        provider=outcome.provider,
        old=outcome.old,
        new=outcome.new,
        routes=list(outcome.routes),
        load=load.facts(),
        segments=segments,
        events=list(events),
        lost_requests=len(lost),
        lost=[evidence.lost(each, spans, started) for each in lost[:LOST_SHOWN]],
        bucket_seconds=length,
        series=over_time,
        comparisons=comparisons,
        compatibility=brought_back,
        cases=cases,
        notes=notes(outcome),
        exit_code=code,
        outcome=told,
    )
    folder.mkdir(parents=True, exist_ok=True)
    upgrade.write(folder / "upgrade.json")
    (folder / "report.html").write_text(render(upgrade), encoding="utf-8")
    return upgrade


def notes(outcome: Outcome) -> list[str]:
    """What a reader must know to take the verdicts for what they are."""
    found = []
    old, new = (Version.of(version).numbers for version in (outcome.old, outcome.new))
    if old[:1] == new[:1] and len(old) > 1 and len(new) > 1 and new[1] - old[1] > 1:
        found.append(
            f"From {outcome.old} to {outcome.new} are {new[1] - old[1]} minor versions. Istio supports a control plane "
            "one minor version ahead of its proxies, so that route in-place goes further than is promised."
        )
    if names.IN_PLACE in outcome.routes:
        found.append(
            "At station skew the suite's clients are made with the injection of the old istiod, put back under the "
            "new one: old proxy, old template. The clients of the load were made by the old istiod itself. The egress "
            "gateway is upgraded together with istiod, as istioctl does it."
        )
    if outcome.trouble:
        found.append(f"It ended early: {outcome.trouble}")
    return found
