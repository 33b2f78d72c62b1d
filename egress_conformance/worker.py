"""A worker: one process of the run, with a namespace, a client and a share of the mesh of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from egress_conformance.case import Case, Mode, Requirement
from egress_conformance.cluster.board import MODE_BOARD, TURNS_BOARD, Board
from egress_conformance.cluster.kube import Doc, Kube, NoRight, Refused
from egress_conformance.cluster.names import prefix
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh import install, pod_security
from egress_conformance.mesh.analyze import Finding, analyze
from egress_conformance.mesh.config import ISTIO_NAMESPACE, MeshConfig
from egress_conformance.mesh.gateway import Gateway
from egress_conformance.mesh.istiod import Istiod, by_others
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.mesh.mode_lease import ModeLease
from egress_conformance.mesh.proxy import MODE_SECONDS, Proxy
from egress_conformance.mesh.scene import Scene
from egress_conformance.mesh.turns import Turns
from egress_conformance.platform import SECOND_REVISION, PlatformInfo
from egress_conformance.report.ledger import DataPlane
from egress_conformance.shared_mode import SharedModeLease
from egress_conformance.shared_turns import SharedTurns
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.pods import ClientPods, Pod
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.waiting import wait_for
from egress_conformance.world.image_pull import image_pull
from egress_conformance.world.outside import Outside
from egress_conformance.world.pods import is_going, is_ready, pod_state
from egress_conformance.world.world import World

READY_SECONDS = 120
"""How long the platform may take to be ready again after something broke under the last case."""

STILL_BROKEN_SECONDS = 10
"""How long once it did not become ready in all of that: a hundred cases must not wait for what is gone for good."""

TRACER = "egress-conformance-zipkin"
"""Name of the tracing provider in the suite's Istio profile."""


class Worker:
    """Brings up a namespace with a client, and hands cases their mesh, client and world.

    Args:
        info: the platform.
        name: of this worker, e.g. ``gw0``.
        scratch: folder common to all workers of the run.

    Attributes:
        is_in_doubt: whether something went wrong in the last case, so that nothing is taken for ready at its word.
        counted: configurations rejected until the end of the last case, and when that was (monotonic seconds).
    """

    is_in_doubt = False
    counted: tuple[dict[str, int], float] | None = None

    def __init__(self, info: PlatformInfo, name: str, scratch: Path) -> None:
        self.info = info
        self.kube: Kube = info.kube()
        own = info.names.own
        self.config = MeshConfig(self.kube, info.revision, own)
        me = self._namespace = info.names.of_worker(info.run, info.member, name)
        self._lease: ModeLease | SharedModeLease
        if info.member:
            self._lease = SharedModeLease(self.config, Board(self.kube, own, MODE_BOARD, me), me)
            self._turns: Turns = SharedTurns(Board(self.kube, own, TURNS_BOARD, me), me)
        else:
            self._lease = ModeLease(self.config, scratch / "mode.lock")
            self._turns = Turns(scratch, name)
        self._pull = image_pull(self.kube, info.image_pull_secret)
        self._outside = Outside(self.kube, own, info.world_image, self._pull)
        self._pods = self._client_pods(info.revision or "default")
        self.istiod = Istiod(self.kube, info.revision)
        self._obeyed: tuple[str, Mode, str] | None = None
        self._scene = Scene()
        self._istiod = self._istiod_states()
        self._ready_seconds = READY_SECONDS
        self.data_plane: DataPlane = self._proxy().data_plane()

    def _client_pods(self, revision: str) -> ClientPods:
        values = {
            "run": self.info.run,
            "revision": revision,
            "pod_security": pod_security.level(self.kube, "" if revision == "default" else revision),
            "ca_certificate": self._outside.ca_certificate(),
            "client_image": self.info.client_image,
            "dns": self._outside.dns_address(),
            **self._pull,
        }
        return ClientPods(self.kube, values, self._turns, given=bool(self.info.names.given))

    def _proxy(self) -> Proxy:
        return self.client(self.world("none"), Recorder()).proxy

    def make_ready(self) -> None:
        """Have client, world and istiod ready for the next case, whatever became of them in the last one.

        Raises:
            PlatformTrouble: they do not become ready.
        """
        last = ""
        self._pods.next_case()

        def look() -> bool | None:
            nonlocal last
            try:
                self._outside.make_ready()
                self._pods.ready(self._namespace)
                if self.is_in_doubt:
                    # Kubernetes may call a pod ready for a moment after it broke; one that answers is.
                    self._proxy().configured_at()
                last = self._istiod_is_back()
            except (PlatformTrouble, Refused) as trouble:
                last = str(trouble)
            return None if last else True

        hint, seconds = "egress-conformance status", self._ready_seconds
        self._ready_seconds = STILL_BROKEN_SECONDS
        wait_for("client, world and istiod to be ready", look, seconds=seconds, hint=hint, seen=lambda: last)
        self._ready_seconds, self.is_in_doubt = READY_SECONDS, False

    def _istiod_states(self) -> dict[str, str]:
        return _states(self.istiod.pods())

    def _istiod_is_back(self) -> str:
        """What is wrong with istiod, "" if nothing. One that changed must be ready, and the client know of it."""
        pods = self.istiod.pods()
        now = _states(pods)
        if now == self._istiod:
            return ""
        if not pods or not all(is_ready(pod) for pod in pods):
            return f"istiod is not ready: {'; '.join(now.values()) or 'no pod'}"
        if not self._follows(f"probe-{min(pod['metadata']['uid'] for pod in pods)}.test"):
            return "the client's proxy does not follow istiod since that restarted"
        self._istiod = now
        return ""

    def _follows(self, host: str) -> bool:
        """Whether the client's proxy gets to know a host.

        Until then it obeys the mesh as it was: an istiod that is on its way out may still send it things for a while.
        """
        values = {"namespace": self._namespace, "run": self.info.run, "host": host}
        (probe,) = fill(ROOT / "platform/propagation-probe.yaml", values)
        self.kube.apply(probe)
        if not self._proxy().clusters(host):
            return False
        self.kube.delete(probe)
        return True

    def world(self, label: str) -> World:
        """The world for one case.

        Args:
            label: what the case's host names start with.
        """
        return World(self.kube, self.info.names.own, self._outside.servers, label.lower())

    def client(self, world: World, recorder: Recorder, *, patch: Path | None = None, elsewhere: bool = False) -> Client:
        """A client for one case: the worker's own, or a further one that is made when it is first asked for.

        Args:
            world: the case's.
            recorder: the case's.
            patch: a manifest laid over the client's own.
            elsewhere: in another namespace, which sees none of what is exported to the first alone; one that is
                patched is alone in it, as istiod may hand the routes of one proxy to others of its namespace.
        """
        namespace = self._namespace
        if elsewhere:
            if self.info.names.given:
                raise ValueError(f"a client elsewhere needs a namespace: declare {Requirement.NAMESPACES!r}")
            namespace = f"{self._namespace}-{patch.stem}" if patch else self.other_namespace
        return _client(self.kube, self._pods.ready(namespace, patch), world, recorder)

    @property
    def other_namespace(self) -> str:
        """The worker's second namespace; it is there once a client in it was asked for."""
        return f"{self._namespace}-other"

    def mesh(self, case: Case, manifests: Path, client: Client, recorder: Recorder) -> Mesh:
        """The mesh for one case."""
        return Mesh(
            self.kube,
            self.config,
            self._namespace,
            self.info.run,
            manifests,
            case,
            client.proxy,
            recorder,
            self._scene,
            self._turns,
            may_make_namespaces=not self.info.names.given,
        )

    def leave_scene(self, *, unless: str) -> None:
        """Take away what rows of a table shared, unless the next case shares it too."""
        if self._scene.name not in {"", unless}:
            with self._turns.removal():
                self._scene.leave(self.kube)

    @contextmanager
    def hold(self, mode: Mode, *, alone: bool) -> Iterator[None]:
        """Hold the mesh in a mode, obeyed by this worker's client, with others or alone."""
        with self._lease.hold(mode, alone=alone):
            # Another worker may have flipped the mode and back since this one looked; then there is another version.
            in_force = (self.config.version, mode, self._pods.ready(self._namespace).uid)
            if in_force != self._obeyed:
                # One that does not follow is Istio's fault, not the platform's: the case's own controls will say so.
                with suppress(Timeout):
                    self._proxy().wait_for_mode(mode, min(MODE_SECONDS, self.info.deadline))
                # It is not waited for again, either, until something changes.
                self._obeyed = in_force
            yield

    @contextmanager
    def second_istio(self, mode: Mode, world: World, recorder: Recorder) -> Iterator[Client]:
        """A second revision of Istio, installed with a mode, and a client of it: the subject of the case."""
        release = self.info.istio_release()
        cluster = self.info.cluster()
        if release is None:
            raise PlatformTrouble("no Istio to install", "the cluster's Istio is somebody else's")
        namespace = f"{prefix(self.info.run)}second-{secrets.token_hex(2)}"
        recorder.applied.append(
            f"# istioctl install --revision {SECOND_REVISION}\nmeshConfig.outboundTrafficPolicy.mode: {mode}\n"
        )
        try:
            # Withheld, the mode is not given, and Istio's default ALLOW_ANY is in force.
            values = {} if recorder.withheld else {"meshConfig.outboundTrafficPolicy.mode": str(mode)}
            install.install(cluster, release, revision=SECOND_REVISION, values=values)
            pod = self._client_pods(SECOND_REVISION).ready(namespace)
            with recorder.subject():
                yield _client(self.kube, pod, world, recorder)
        finally:
            self.kube.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            install.uninstall(cluster, release, SECOND_REVISION)

    def analyze(self) -> list[Finding]:
        """What `istioctl analyze` finds in the worker's namespace.

        Raises:
            PlatformTrouble: there is no istioctl of this Istio, or it came to no result.
        """
        release = self.info.istio_release()
        if release is None:
            raise PlatformTrouble("no istioctl", "the cluster's Istio is somebody else's")
        return analyze(self.info.cluster(), release, self._namespace)

    def rejections(self) -> int:
        """Configurations that proxies of this revision rejected, as istiod counts them."""
        return self.istiod.rejections()

    def rejected(self, seconds: float) -> tuple[list[str], list[str]]:
        """What istiod logged of rejected configurations: by clients that the case does not use, and all others.

        Args:
            seconds: how far back.
        """
        mine = {f"{pod.name}.{pod.namespace}" for pod in self._pods.in_use()}
        return by_others(self.istiod.rejected(seconds), self.info.names.of_run(self.info.run), mine)

    def pushes(self, seconds: float) -> str:
        """What istiod logged of changes it took in, and of what it sent to this worker's proxies.

        Args:
            seconds: how far back.
        """
        return self.istiod.pushes(seconds, self._namespace)

    def has_tracer(self) -> bool:
        """Whether the mesh config has the tracing provider of the suite's Istio profile, and it leads to this world.

        That of the profile leads to where the world is by default: not to one in a namespace that was given.
        """
        providers = self.config.parsed().get("extensionProviders", [])
        named = [provider.get("zipkin", {}) for provider in providers if provider.get("name") == TRACER]
        collector = f"tracing.{self.info.names.own}.svc.cluster.local"
        return any(provider.get("service") == collector for provider in named)

    def may_use_gateway(self) -> bool:
        """Whether what a gateway needs may be put beside it: in its own namespace, which may be somebody else's."""
        return self.info.may_change_mesh and not self.info.names.given

    def egress_gateway(self) -> Gateway | None:
        """The mesh's egress gateway; None where there is none that is ready."""
        pods = self.kube.find("v1", "Pod", ISTIO_NAMESPACE, "istio=egressgateway")
        ready = [pod for pod in pods if is_ready(pod)]
        return Gateway(self.kube, ISTIO_NAMESPACE, ready[0]["metadata"]["name"]) if len(ready) == 1 else None

    def votes_alone(self) -> bool:
        """Whether no other revision's webhook validates Istio's resources: admission is cluster-wide.

        False as well where nobody lets this user look.
        """
        try:
            webhooks = self.kube.find("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
        except NoRight:
            return False
        ours = [hook for hook in webhooks if hook["metadata"]["name"].startswith("istio")]
        return len({hook["metadata"].get("labels", {}).get("istio.io/rev") for hook in ours}) <= 1

    def leads_alone(self) -> bool:
        """Whether no other revision has an istiod: one of them all allocates addresses and writes them into statuses.

        One that is on its way out does not count, as after a case with a second Istio: the default revision takes
        what the others lead, and what is stopped lets go of it.

        Source: pilot/pkg/bootstrap/server.go, initIPAutoallocateController: leaderelection.NewLeaderElection;
        pilot/pkg/leaderelection/k8sleaderelection/README.md: the default revision wins and steals locks.
        """
        pods = self.kube.find("v1", "Pod", ISTIO_NAMESPACE, "app=istiod")
        return len({pod["metadata"]["labels"].get("istio.io/rev") for pod in pods if not is_going(pod)}) <= 1

    def trouble(self) -> str:
        """What is wrong with the pods a case leans on, so that its failure says nothing about Istio; "" if nothing.

        Raises:
            PlatformTrouble: the API server or a pod of the world does not answer.
        """
        if problem := self._pods.problems() or self._outside.problem():
            return problem
        if self._istiod != self._istiod_states():
            return "istiod restarted: it is not the one the case started with"
        return ""


def _states(pods: list[Doc]) -> dict[str, str]:
    return {pod["metadata"]["name"]: pod_state(pod) for pod in pods}


def _client(kube: Kube, pod: Pod, world: World, recorder: Recorder) -> Client:
    return Client(kube, pod.namespace, pod.address, world, recorder, pod.name)
