"""An upgrade on a kind cluster of its own: three routes from the old version to the new one, one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from filelock import Timeout
from rich.console import Console

from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.cache import upgrade_lock
from egress_conformance.cluster.engine import ensure_engine
from egress_conformance.cluster.kube import Kube
from egress_conformance.cluster.node import Node
from egress_conformance.cluster.provider import Cluster, IstioRelease
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh import install
from egress_conformance.options import Options
from egress_conformance.platform import Platform, make_provider
from egress_conformance.signals import uninterrupted
from egress_conformance.upgrade import names
from egress_conformance.upgrade.compatibility import changed, settings
from egress_conformance.upgrade.evidence import NAMESPACE
from egress_conformance.upgrade.injector import Injector
from egress_conformance.upgrade.load import Load
from egress_conformance.upgrade.suite_run import run_suite
from egress_conformance.upgrade.timeline import Say, Timeline

CLUSTER = "istio-egress-upgrade"
"""Name of the kind cluster; those of runs are never touched."""

REVISION = "canary"


class OnKind:
    """The cluster of an upgrade, and what is done to it.

    Args:
        options: the user's choices, as of a run.
        old: version of Istio to begin with.
        new: version to upgrade to.
        arguments: of pytest, for the suite at each station.
        say: tells the user what goes on.
        keep: leave the cluster up at the end, to look at it.

    Attributes:
        load_image: image of the load's clients; known once the cluster is up.
        settings: what `compatibilityVersion` made others of; empty until that was tried.
    """

    def __init__(
        self, options: Options, old: str, new: str, arguments: Sequence[str], say: Say, *, keep: bool = False
    ) -> None:
        self._options = replace(options, cluster=options.cluster or CLUSTER)
        self._versions = (old, new)
        self._arguments = list(arguments)
        self._say = say
        self._keep = keep
        self._clusters: dict[str, Cluster] = {}
        self.settings: list[str] = []
        self.load_image = ""

    @contextmanager
    def up(self) -> Iterator[Kube]:
        """The cluster with the old version on it and the images of the new one; it goes on leaving.

        Raises:
            UserError: another upgrade is under way on this machine, or something a build needs is missing.
        """
        lock = upgrade_lock(self._options.cluster or CLUSTER)
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise UserError("another upgrade is under way on this machine", "wait for it to end, or stop it") from None
        try:
            kube = self._make()
            try:
                yield kube
            finally:
                kube.close()
        finally:
            try:
                if not self._keep:
                    with uninterrupted():
                        make_provider(self._of(self._versions[0])).down()
            finally:
                lock.release()

    def _of(self, istio: str, revision: str = "") -> Options:
        return replace(self._options, istio=istio, revision=revision or None)

    def _make(self) -> Kube:
        old, new = self._versions
        self._platform(old, fresh=True)
        # Now, so that no step takes as long as loading does.
        self._clusters[new] = make_provider(self._of(new)).up()
        console, may_install = Console(stderr=True), not self._options.no_install
        engine = ensure_engine(console, install=may_install)
        self.load_image = Builder(engine, console, install=may_install).fortio()
        cluster = self._clusters[old]
        for container in cluster.node_containers:
            Node(engine, container).load([self.load_image])
        return Kube(cluster.kubeconfig, cluster.context)

    def _platform(self, istio: str, *, revision: str = "", fresh: bool = False) -> None:
        """Have this Istio installed and the world up, as a run would find them."""
        platform = Platform(replace(self._of(istio, revision), fresh=fresh), self._say)
        try:
            platform.up()
            self._clusters[istio] = platform.cluster
        finally:
            platform.finish()

    @property
    def world_image(self) -> str:
        """Image of servers and DNS."""
        return self._clusters[self._versions[0]].world_image

    def release(self, istio: str) -> IstioRelease:
        """One of the two Istios."""
        release = self._clusters[istio].release
        if release is None:
            raise PlatformTrouble("no release", istio)
        return release

    def _suite(self, istio: str, folder: Path, revision: str = "") -> int:
        options = replace(self._of(istio, revision), wait=True)
        return run_suite([*options.arguments(), *self._arguments], folder)

    def go(self, routes: Sequence[str], kube: Kube, load: Load, timeline: Timeline) -> None:
        """Take the routes.

        Args:
            routes: which.
            kube: the cluster.
            load: what is sent meanwhile.
            timeline: where each step and station is noted.

        Raises:
            PlatformTrouble: a step could not be done; those after it are not tried.
        """
        old, _ = self._versions
        timeline.station(names.BEFORE, "", f"Istio {old} alone", lambda folder: self._suite(old, folder))
        take = {names.CANARY: self._canary, names.IN_PLACE: self._in_place, names.COMPATIBILITY: self._compatibility}
        for route in routes:
            take[route](kube, load, timeline)

    def _canary(self, _: Kube, load: Load, timeline: Timeline) -> None:
        old, new = self._versions
        route = names.CANARY
        with timeline.step(names.INSTALL, route, f"istioctl install --revision {REVISION}, of {new}", drain=True):
            self._platform(new, revision=REVISION)
        timeline.station(
            names.BESIDE, route, f"clients of {old}, with {new} beside it", lambda folder: self._suite(old, folder)
        )
        timeline.station(
            names.CANARY_STATION,
            route,
            f"clients of {new}, with {old} beside it",
            lambda folder: self._suite(new, folder, REVISION),
        )
        with timeline.step(names.MOVE, route, f"label istio.io/rev={REVISION}, rollout restart"):
            load.move(REVISION)
            load.restart()
        with timeline.step(names.ROLL_BACK, route, "label istio.io/rev=default, rollout restart"):
            load.move("")
            load.restart()
        what = f"istioctl uninstall --revision {REVISION}; the CRDs stay"
        with timeline.step(names.REMOVE, route, what, drain=True):
            install.uninstall(self._clusters[new], self.release(new), REVISION)

    def _in_place(self, kube: Kube, load: Load, timeline: Timeline) -> None:
        _, new = self._versions
        route = names.IN_PLACE
        injector = Injector(kube, NAMESPACE)
        before = injector.now()
        what = f"istioctl install of {new}, egress gateway included"
        with timeline.step(names.CONTROL_PLANE, route, what, drain=True):
            self._platform(new)
        after = injector.now()

        def skewed(folder: Path) -> int:
            injector.put(before)
            return self._suite(new, folder)

        timeline.station(names.SKEW, route, f"istiod of {new}, sidecars as the old one injects them", skewed)
        with timeline.step(names.RESTART, route, "the injection of the new istiod again; rollout restart"):
            injector.put(after)
            load.restart()
        timeline.station(names.AFTER, route, f"Istio {new} alone", lambda folder: self._suite(new, folder))

    def _compatibility(self, kube: Kube, load: Load, timeline: Timeline) -> None:
        old, new = self._versions
        minor = ".".join(self.release(old).full_version.split(".")[:2])
        before = settings(kube)
        what = f"istioctl install of {new} with compatibilityVersion={minor}, rollout restart"
        with timeline.step(names.COMPATIBILITY_VERSION, names.COMPATIBILITY, what, drain=True):
            values = {"values.compatibilityVersion": minor}
            install.install(self._clusters[new], self.release(new), values=values)
            load.restart()
        self.settings = changed(before, settings(kube))
        timeline.station(
            names.COMPATIBLE,
            names.COMPATIBILITY,
            f"Istio {new} with compatibilityVersion={minor}",
            lambda folder: self._suite(new, folder),
        )
