"""A worker: one process of the run, with a namespace, a client and a share of the mesh of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import ReadWriteLock

from egress_conformance.case import Case, Mode
from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh import install
from egress_conformance.mesh.config import ISTIO_NAMESPACE, OWN_NAMESPACE, MeshConfig
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.platform import SECOND_REVISION, PlatformInfo
from egress_conformance.report.ledger import DataPlane
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.pods import is_ready, wait_for_pods
from egress_conformance.world.world import Server, World, find_servers

TRACER = "egress-conformance-zipkin"
"""Name of the tracing provider in the suite's Istio profile."""


class ModeLease:
    """The mesh's mode, shared between workers: many readers of one mode, one writer.

    Args:
        config: the mesh config.
        path: file of the lock, common to all workers of the run.
    """

    def __init__(self, config: MeshConfig, path: Path) -> None:
        self._config = config
        self._lock = ReadWriteLock(str(path))

    @contextmanager
    def hold(self, mode: Mode, *, alone: bool) -> Iterator[None]:
        """Hold the mesh in a mode, with others or alone; the mode is set if it is another."""
        while not alone:
            with self._lock.read_lock():
                if self._config.mode() == mode:
                    yield
                    return
            with self._lock.write_lock():
                self._set(mode)
        with self._lock.write_lock():
            self._set(mode)
            yield

    def _set(self, mode: Mode) -> None:
        if self._config.mode() != mode:
            self._config.set_mode(mode)


@dataclass(frozen=True)
class _Pod:
    namespace: str
    address: str


class Worker:
    """Brings up a namespace with a client, and hands cases their mesh, client and world.

    Args:
        info: the platform.
        name: of this worker, e.g. ``gw0``.
        scratch: folder common to all workers of the run.
    """

    def __init__(self, info: PlatformInfo, name: str, scratch: Path) -> None:
        self.info = info
        self.kube: Kube = info.kube()
        self.config = MeshConfig(self.kube, info.revision)
        self._namespace = f"egress-{info.run}-{name}"
        self._lease = ModeLease(self.config, scratch / "mode.lock")
        self._servers: dict[str, Server] = find_servers(self.kube, OWN_NAMESPACE)
        self._dns = self._dns_address()
        self._ca = self.kube.get("v1", "Secret", "world-ca", OWN_NAMESPACE)
        self._pod = self._make_client(self._namespace, info.revision or "default")
        self.data_plane: DataPlane = self._proxy(self._pod).data_plane()

    def _dns_address(self) -> str:
        service = self.kube.get("v1", "Service", "dns", OWN_NAMESPACE)
        if service is None:
            raise PlatformTrouble("world gone", "the world's DNS Service is not there")
        return str(service["spec"]["clusterIP"])

    def _make_client(self, namespace: str, revision: str) -> _Pod:
        if self._ca is None:
            raise PlatformTrouble("world gone", "the world's CA is not there")
        values = {
            "namespace": namespace,
            "run": self.info.run,
            "revision": revision,
            "ca_certificate": str(self._ca["data"]["tls.crt"]),
            "client_image": self.info.client_image,
            "dns": self._dns,
        }
        for manifest in ("client-namespace.yaml", "client.yaml"):
            for doc in fill(ROOT / "platform" / manifest, values):
                self.kube.apply(doc)
        pod = wait_for_pods(self.kube, namespace, "app=client")[0]
        if not _has_sidecar(pod):
            raise PlatformTrouble(
                "no sidecar", f"Istio injected none into {namespace}: is revision {revision!r} there?"
            )
        return _Pod(namespace, str(pod["status"]["podIP"]))

    def _proxy(self, pod: _Pod) -> Proxy:
        return self._client(pod, self.world("none"), Recorder()).proxy

    def _client(self, pod: _Pod, world: World, recorder: Recorder) -> Client:
        return Client(self.kube, pod.namespace, pod.address, world, recorder)

    def world(self, label: str) -> World:
        """The world for one case.

        Args:
            label: what the case's host names start with.
        """
        return World(self.kube, OWN_NAMESPACE, self._servers, label.lower())

    def client(self, world: World, recorder: Recorder) -> Client:
        """The worker's client for one case."""
        return self._client(self._pod, world, recorder)

    def mesh(self, case: Case, manifests: Path, client: Client, recorder: Recorder) -> Mesh:
        """The mesh for one case."""
        return Mesh(
            self.kube,
            self.config,
            self._pod.namespace,
            self.info.run,
            manifests,
            case,
            client.proxy,
            recorder,
        )

    @contextmanager
    def hold(self, case: Case) -> Iterator[None]:
        """Hold the mesh as a case needs it: in its mode, obeyed by this worker's client."""
        with self._lease.hold(case.mode, alone=case.flips):
            # Another worker may have flipped the mode and back since this one looked: ask the proxy, not memory.
            self._proxy(self._pod).wait_for_mode(case.mode)
            yield

    @contextmanager
    def second_istio(self, mode: Mode, world: World, recorder: Recorder) -> Iterator[Client]:
        """A second revision of Istio, installed with a mode, and a client of it: the subject of the case."""
        release = self.info.istio_release()
        cluster = self.info.cluster()
        if release is None:
            raise PlatformTrouble("no Istio to install", "the cluster's Istio is somebody else's")
        namespace = f"egress-{self.info.run}-second-{secrets.token_hex(2)}"
        recorder.applied.append(
            f"# istioctl install --revision {SECOND_REVISION}\nmeshConfig.outboundTrafficPolicy.mode: {mode}\n"
        )
        try:
            # Withheld, the mode is not given, and Istio's default ALLOW_ANY is in force.
            values = {} if recorder.withheld else {"meshConfig.outboundTrafficPolicy.mode": str(mode)}
            install.install(cluster, release, revision=SECOND_REVISION, values=values)
            pod = self._make_client(namespace, SECOND_REVISION)
            with recorder.subject():
                yield self._client(pod, world, recorder)
        finally:
            self.kube.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
            install.uninstall(cluster, release, SECOND_REVISION)

    def istiod_rejections(self) -> int:
        """Configurations that proxies of this revision rejected, as istiod counts them (`pilot_total_xds_rejects`)."""
        label = f"app=istiod,istio.io/rev={self.info.revision or 'default'}"
        total = 0
        for pod in self.kube.find("v1", "Pod", ISTIO_NAMESPACE, label):
            path = f"/api/v1/namespaces/{ISTIO_NAMESPACE}/pods/{pod['metadata']['name']}:15014/proxy/metrics"
            lines = self.kube.raw("GET", path).decode().splitlines()
            total += sum(int(float(line.split()[-1])) for line in lines if line.startswith("pilot_total_xds_rejects{"))
        return total

    def has_tracer(self) -> bool:
        """Whether the mesh config has the tracing provider of the suite's Istio profile."""
        providers = self.config.parsed().get("extensionProviders", [])
        return any(provider.get("name") == TRACER for provider in providers)

    def trouble(self) -> str:
        """What is wrong with the pods a case leans on, so that its failure says nothing about Istio; "" if nothing.

        Raises:
            PlatformTrouble: the API server or a pod of the world does not answer.
        """
        pod = self.kube.get("v1", "Pod", "client", self._pod.namespace)
        if pod is None or pod["status"].get("podIP") != self._pod.address:
            return "client pod gone: it is not the pod the run started with"
        if not is_ready(pod):
            return "client pod not ready"
        if find_servers(self.kube, OWN_NAMESPACE) != self._servers:
            return "world pod restarted: its servers are not those the run started with"
        return ""


def _has_sidecar(pod: Doc) -> bool:
    spec = pod["spec"]
    return any(c["name"] == "istio-proxy" for c in spec["containers"] + spec.get("initContainers", []))
