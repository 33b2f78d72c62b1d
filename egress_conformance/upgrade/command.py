"""The command `upgrade`: on a kind cluster of its own, or around a change that somebody else makes."""

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import ExitCode, PlatformTrouble, UserError
from egress_conformance.options import Options
from egress_conformance.report.explain import Explanations, allowed, reviewed
from egress_conformance.report.ledger import Verdict
from egress_conformance.report.summary import near
from egress_conformance.report.upgrade import Upgrade
from egress_conformance.signals import uninterrupted
from egress_conformance.upgrade import names
from egress_conformance.upgrade.evidence import NAMESPACE
from egress_conformance.upgrade.in_force import NONE, control_planes, proxies
from egress_conformance.upgrade.injector import Injector
from egress_conformance.upgrade.load import Load, Settings
from egress_conformance.upgrade.on_existing import after_ledger, cluster_of
from egress_conformance.upgrade.on_kind import OnKind
from egress_conformance.upgrade.timeline import Say, Timeline
from egress_conformance.upgrade.watch import Watch
from egress_conformance.upgrade.written import Outcome, write

COLOUR = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.SKIPPED: "dim",
    Verdict.INCONCLUSIVE: "bold yellow",
}


@dataclass(frozen=True)
class Traffic:
    """How much is sent: clients, and requests a second of each to each destination."""

    clients: int
    qps: int


@dataclass(frozen=True)
class Report:
    """Where the report goes, and what it is made with.

    Args:
        root: where reports/ is.
        allow: a team's allowances.
        console: where it is told what goes on.
    """

    root: Path
    allow: Path | None
    console: Console

    def explanations(self) -> Explanations:
        """What may explain a change.

        Raises:
            UserError: the allow-list cannot be read.
        """
        return Explanations(reviewed(), allowed(self.allow) if self.allow else [])

    def folder(self, name: str) -> Path:
        """Where this upgrade's report lies."""
        return self.root / "reports" / "runs" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-upgrade-{name}"

    def say(self, line: str, style: str = "") -> None:
        """Tell a line."""
        self.console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    def end(self, upgrade: Upgrade, folder: Path) -> ExitCode:
        """Tell what an upgrade came to."""
        self.console.print()
        for case in upgrade.cases:
            reason = f": {case.reason}" if case.reason else ""
            self.say(f"{case.verdict.upper():12} {case.id} {case.statement}{reason}", COLOUR[case.verdict])
        for note in upgrade.notes:
            self.say(note)
        self.say(f"Istio {upgrade.old} → {upgrade.new}: {upgrade.outcome}")
        self.say(f"report: {near(folder)}/report.html")
        return ExitCode(upgrade.exit_code)


def on_kind(
    options: Options,
    versions: tuple[str, str],
    traffic: Traffic,
    report: Report,
    *,
    routes: Sequence[str] = (),
    arguments: Sequence[str] = (),
    keep: bool = False,
) -> ExitCode:
    """Upgrade a kind cluster of its own from one version of Istio to another, by several routes, under traffic.

    Args:
        options: the user's choices, as of a run.
        versions: from, and to.
        traffic: how much is sent.
        report: where the report goes.
        routes: of `names.ROUTES`; all if none is named.
        arguments: of pytest, for the suite at each station.
        keep: leave the cluster up.

    Raises:
        UserError: something the user has to put right.
        PlatformTrouble: cluster or load did not come up.
    """
    routes = [route for route in names.ROUTES if route in (routes or names.ROUTES)]
    if versions[0] == versions[1]:
        raise UserError(f"from {versions[0]} to {versions[1]} is no upgrade", "name two versions")
    if names.COMPATIBILITY in routes and names.IN_PLACE not in routes:
        raise UserError(f"route {names.COMPATIBILITY} begins where {names.IN_PLACE} ends", "name both")
    explanations, folder = report.explanations(), report.folder("-".join(versions))
    place = OnKind(options, *versions, arguments, report.say, keep=keep)
    with place.up() as kube:
        old, new = (place.release(version).full_version for version in versions)
        settings = Settings(place.load_image, place.world_image, traffic.clients, traffic.qps)
        outcome = Outcome("kind", old, new, routes)
        load = Load(kube, settings, "", secrets.token_hex(3))

        def go(timeline: Timeline) -> None:
            place.go(routes, kube, load, timeline)
            outcome.settings = place.settings

        upgrade = _under_traffic(kube, load, outcome, go, explanations=explanations, folder=folder, say=report.say)
    return report.end(upgrade, folder)


def on_existing(
    options: Options, ledgers: tuple[Path, Path], load_image: str, traffic: Traffic, report: Report
) -> ExitCode:
    """Send traffic in an existing cluster while somebody else upgrades Istio, until there is a ledger of after it.

    Args:
        options: the user's choices, as of a run.
        ledgers: of before, and where that of after will be.
        load_image: image of the load's clients.
        traffic: how much is sent.
        report: where the report goes.

    Raises:
        UserError: something the user has to put right; nothing was changed.
        PlatformTrouble: the load did not come up.
    """
    explanations, folder = report.explanations(), report.folder("existing")
    cluster, before = cluster_of(options, ledgers, load_image)
    kube = Kube(cluster.kubeconfig, cluster.context)
    try:
        settings = Settings(load_image, cluster.world_image, traffic.clients, traffic.qps)
        load = Load(kube, settings, cluster.revision, secrets.token_hex(3))
        old = ", ".join(sorted(set(control_planes(kube).values())))
        outcome = Outcome("existing", old, old, [names.EXISTING])

        def go(timeline: Timeline) -> None:
            timeline.ledgers[names.BEFORE] = before
            with timeline.step(names.CHANGE, names.EXISTING, f"until {ledgers[1]} is there: make the change now"):
                timeline.ledgers[names.AFTER] = after_ledger(ledgers[1])
            outcome.new = ", ".join(sorted(set(control_planes(kube).values())))
            if Injector(kube, NAMESPACE).proxy() not in {NONE, *proxies(kube)}:
                # Else nothing would come of it: the same proxies are injected, or the revision is gone.
                with timeline.step(names.RESTART, names.EXISTING, "rollout restart of the load's clients"):
                    load.restart()

        upgrade = _under_traffic(kube, load, outcome, go, explanations=explanations, folder=folder, say=report.say)
    finally:
        kube.close()
    return report.end(upgrade, folder)


def _under_traffic(
    kube: Kube,
    load: Load,
    outcome: Outcome,
    go: Callable[[Timeline], None],
    *,
    explanations: Explanations,
    folder: Path,
    say: Say,
) -> Upgrade:
    """Do something while the load goes on, and write the report. Whatever happens, the load is taken away."""
    with _stopped(load, say):
        say("starting the load")
        load.start()
        timeline = Timeline(kube, load, folder, say)
        watch = Watch(kube, timeline.started)
        watch.start()
        try:
            # Envoy closes connections of the listener that was another meanwhile, and those are lost on purpose too.
            with timeline.step(names.CONTROL, "", "the load alone, in REGISTRY_ONLY for a moment", drain=True):
                outcome.control = load.control()
            go(timeline)
        except PlatformTrouble as trouble:
            outcome.trouble = str(trouble)
        finally:
            watch.stop()
    return write(outcome, timeline, load, watch.events, explanations=explanations, folder=folder)


@contextmanager
def _stopped(load: Load, say: Say) -> Iterator[None]:
    """The load is stopped on leaving."""
    try:
        yield
    finally:
        try:
            with uninterrupted():
                load.stop()
        except PlatformTrouble as trouble:
            say(f"not all of the load could be taken away ({trouble}); the next upgrade will")
