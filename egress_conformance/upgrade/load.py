"""The load: clients with sidecars that send steadily, and a world of their own that they send to.

Its world is not the suite's: on an existing cluster a run of the suite takes its own away when it ends.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from egress_conformance.case import Mode
from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.cluster.lease import RunLease
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.own_namespace import have_ca, have_namespace, the_suites
from egress_conformance.report.upgrade import Load as LoadFacts
from egress_conformance.traffic.pods import has_sidecar
from egress_conformance.upgrade.evidence import NAMESPACE, Evidence
from egress_conformance.upgrade.logs import Logs
from egress_conformance.upgrade.rollout import rollout
from egress_conformance.upgrade.sent import SLOW_MS, UNREGISTERED, lacking
from egress_conformance.waiting import persist, wait_for
from egress_conformance.world.outside import Outside
from egress_conformance.world.pods import SECONDS, make_world, wait_for_pods
from egress_conformance.world.world import DOMAIN, World

WORLD = "egress-load-world"
"""Namespace of the servers and the DNS that the load is sent to, and of the lease of an upgrade."""

TIMEOUT_SECONDS = 5
"""After so long without an answer a request is lost (images/fortio/load)."""

LONGEST_SECONDS = 3 * 3600
"""When clients end by themselves, whatever became of whoever started them."""

SETTLED = 20
"""Requests of each client to each destination after a step, before it counts as done."""

ROLLOUT_SECONDS = 180
_LABELS = "app=load"


@dataclass(frozen=True)
class Settings:
    """How much is sent, and by what.

    Attributes:
        load_image: Fortio (images/fortio).
        world_image: servers and DNS.
        clients: pods.
        qps: requests a second of each to each destination.
    """

    load_image: str
    world_image: str
    clients: int
    qps: int


class Load:
    """The load of one upgrade.

    Args:
        kube: the cluster.
        settings: how much is sent.
        revision: of Istio, whose sidecars the clients have.
        run: id of the upgrade.
    """

    def __init__(self, kube: Kube, settings: Settings, revision: str, run: str) -> None:
        self._kube = kube
        self._settings = settings
        self._revision = revision or "default"
        self._lease = RunLease(kube, WORLD, run)
        self._logs = Logs(kube)
        self._is_ours = False
        self.evidence = Evidence(self._logs)
        self.destinations: list[str] = []

    def facts(self) -> LoadFacts:
        """What the report says of it."""
        return LoadFacts(
            generator=f"Fortio ({self._settings.load_image.rpartition('/')[2]})",
            clients=self._settings.clients,
            requests_per_second=self._settings.qps,
            timeout_seconds=TIMEOUT_SECONDS,
            slow_ms=SLOW_MS,
        )

    def start(self) -> None:
        """Start to send, and wait until each client is served by each destination.

        Raises:
            UserError: another upgrade is under way on this cluster.
            PlatformTrouble: something does not come up.
        """
        self._take()
        # What an upgrade that was killed left; its clients would be counted with ours.
        self._remove(NAMESPACE)
        make_world(self._kube, WORLD, self._settings.world_image)
        for doc in self._filled("load-server.yaml", namespace=WORLD):
            self._kube.apply(doc)
        # By itself, not by its Service: a probe that is late on a busy machine would take the names away from the load.
        (dns,) = wait_for_pods(self._kube, WORLD, "world=dns")
        wait_for_pods(self._kube, WORLD, "app=world")
        (echo,) = wait_for_pods(self._kube, WORLD, "app=echo")
        outside = Outside(self._kube, WORLD, self._settings.world_image)
        values = {
            "ca_certificate": outside.ca_certificate(),
            "dns": str(dns["status"]["podIP"]),
            "echo_address": str(echo["status"]["podIP"]),
        }
        (deployment,) = self._filled("load.yaml", **values)
        self.destinations = [each["name"] for each in deployment["spec"]["template"]["spec"]["containers"]]
        self._answer(outside, values["echo_address"])
        self.evidence.watch(WORLD)
        for doc in self._filled("load-namespace.yaml", **values):
            # istiod is ready some moments before its webhook is.
            persist(lambda doc=doc: self._kube.apply(doc))  # type: ignore[misc]
        self.mode(Mode.ALLOW_ANY)
        self._kube.apply(deployment)
        self._logs.start()
        self._wait_for_rollout()
        self.settle(served=True)

    def _take(self) -> None:
        """Make the namespace of the world, and take the lease in it."""
        the_suites(self._kube, NAMESPACE)
        have_namespace(self._kube, WORLD)
        self._lease.take()
        self._is_ours = True
        have_ca(self._kube, WORLD)

    def _answer(self, outside: Outside, echo: str) -> None:
        """Let the load's DNS know where the destinations are."""
        world = World(self._kube, WORLD, outside.servers, "load")
        for name in self.destinations:
            address = echo if name.startswith("tcp-") else outside.servers["alpha"].address
            world.answer(f"{name}.{DOMAIN}", [address], ttl=30)

    def _filled(self, manifest: str, **values: str) -> list[Doc]:
        common = {
            "namespace": NAMESPACE,
            "revision": self._revision,
            "load_image": self._settings.load_image,
            "clients": str(self._settings.clients),
            "qps": str(self._settings.qps),
            "until": str(int(time.time()) + LONGEST_SECONDS),
        }
        return fill(ROOT / "upgrade" / manifest, {**common, **values})

    def mode(self, mode: Mode) -> None:
        """Set the mode for the load alone, whatever the mesh's is."""
        for doc in self._filled("load-sidecar.yaml", mode=str(mode)):
            persist(lambda doc=doc: self._kube.apply(doc))  # type: ignore[misc]

    def move(self, revision: str) -> None:
        """Move the namespace to another revision; the clients follow when they are restarted."""
        self._revision = revision or "default"
        label = {"op": "replace", "path": "/metadata/labels/istio.io~1rev", "value": self._revision}
        self._kube.patch(_namespace(NAMESPACE), [label])

    def restart(self) -> None:
        """Restart the clients one after the other, as `kubectl rollout restart` does."""
        path = "/spec/template/metadata/annotations/kubectl.kubernetes.io~1restartedAt"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._kube.patch(_deployment(), [{"op": "replace", "path": path, "value": now}])
        self._wait_for_rollout()

    def _wait_for_rollout(self) -> None:
        last = "nothing yet"

        def look() -> bool | None:
            nonlocal last
            deployment = self._kube.get("apps/v1", "Deployment", "load", NAMESPACE) or {}
            pods = self._kube.find("v1", "Pod", NAMESPACE, _LABELS)
            last = rollout(deployment, pods)
            return None if last else True

        hint = f"kubectl -n {NAMESPACE} describe pods"
        wait_for("the clients of the load", look, seconds=ROLLOUT_SECONDS, hint=hint, every=0.5, seen=lambda: last)
        bare = [pod["metadata"]["name"] for pod in self.pods() if not has_sidecar(pod)]
        if bare:
            raise PlatformTrouble("no sidecar", f"Istio injected none into {', '.join(bare)}: is there a revision?")

    def pods(self) -> list[Doc]:
        """The clients as they are."""
        return self._kube.find("v1", "Pod", NAMESPACE, _LABELS)

    def settle(self, seconds: int = 0, *, served: bool = False) -> None:
        """Wait until each client has sent some more to each destination.

        Args:
            seconds: as much as it sends in this time, if that is more.
            served: only what came out well counts.

        Raises:
            Timeout: one did not; it says which.
        """
        since, names = time.time(), [pod["metadata"]["name"] for pod in self.pods()]
        pairs = [(client, destination) for client in names for destination in self.destinations]
        wanted = max(SETTLED, seconds * self._settings.qps)
        last: list[str] = []

        def look() -> bool | None:
            fresh = [request for request in self.evidence.read().requests if request.at >= since]
            last[:] = lacking(fresh, pairs, wanted, served=served)
            return None if last else True

        wait_for(
            f"{wanted} requests of each client to each destination",
            look,
            seconds=2 * seconds + SECONDS,
            hint=f"kubectl -n {NAMESPACE} logs deployment/load --all-containers --tail 20",
            every=0.5,
            seen=lambda: f"fewer by {', '.join(last[:4])}",
        )

    def control(self) -> list[str]:
        """See that losses are noticed, and that the mesh sees the load: REGISTRY_ONLY must block what is unregistered.

        Returns:
            What was not as it must be; nothing if the control held.
        """
        begins = time.time()
        lost: set[str] = set()
        blocked = f"http{UNREGISTERED}"  # a connection for each request: one that is open stays open

        def look() -> bool | None:
            seen = [each for each in self.evidence.read().requests if each.at >= begins and not each.ok]
            lost.update(each.destination for each in seen)
            return True if blocked in lost else None

        what = f"{blocked} to be lost in REGISTRY_ONLY"
        hint = f"istioctl proxy-config routes deployment/load -n {NAMESPACE}"
        try:
            self.mode(Mode.REGISTRY_ONLY)
            wait_for(what, look, seconds=SECONDS, hint=hint, every=0.5, seen=lambda: f"lost: {lost or 'none'}")
        except Timeout as timeout:
            return [str(timeout)]
        finally:
            self.mode(Mode.ALLOW_ANY)
        self.settle(served=True)
        look()
        return sorted(f"{name} was lost in REGISTRY_ONLY" for name in lost if not name.endswith(UNREGISTERED))

    def stop(self) -> None:
        """Send nothing more, read the last lines, and take everything away. Does nothing if it is not ours."""
        if not self._is_ours:
            return
        try:
            # The clients first: while the namespace goes they would send without its entries, and in another mode.
            persist(lambda: self._kube.delete(_deployment()))
            self._wait_until_gone("clients of the load", self.pods)
            persist(lambda: self._remove(NAMESPACE))
            self._logs.close(SECONDS)
            self.evidence.read()
        finally:
            self._lease.release()
            self._is_ours = False
            self._remove(WORLD)

    def _remove(self, namespace: str) -> None:
        if self._kube.get("v1", "Namespace", namespace) is None:
            return
        self._kube.delete(_namespace(namespace))
        self._wait_until_gone(f"namespace {namespace}", lambda: self._kube.get("v1", "Namespace", namespace))

    def _wait_until_gone(self, what: str, look: Callable[[], object]) -> None:
        hint = f"kubectl get namespaces {NAMESPACE} {WORLD} -o yaml"
        wait_for(f"{what} to go", lambda: None if look() else True, seconds=SECONDS, hint=hint)


def _namespace(name: str) -> Doc:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _deployment() -> Doc:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "load", "namespace": NAMESPACE}}
