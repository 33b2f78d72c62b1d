"""istiod, stopped for a while and started again: what a mesh does without its control plane."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from egress_conformance.cluster.kube import Doc, Kube, Refused
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.mesh.istiod import Istiod
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.waiting import wait_for

SECONDS = 90
"""How long istiod may take to go, to come back, and to have every proxy back."""


class ControlPlane:
    """istiod of one revision.

    Args:
        kube: the cluster.
        revision: revision of Istio, "" for the default one.
    """

    def __init__(self, kube: Kube, revision: str = "") -> None:
        self._kube = kube
        self._name = f"istiod-{revision}" if revision else "istiod"
        self._istiod = Istiod(kube, revision)

    @contextmanager
    def away(self) -> Iterator[None]:
        """No istiod within this; on leaving it is back, admits resources, and has its proxies connected again.

        A run that is killed meanwhile leaves none behind: the next one on a cluster of the suite's own installs it.

        Raises:
            PlatformTrouble: it does not go, or does not come back.
        """
        deployment = self._deployment()
        replicas = int(deployment["spec"]["replicas"])
        connected = self._istiod.connected()
        try:
            self._scale(0)
            # It may drain for seconds; the longer it is away, the less often do the proxies try to reach it.
            for pod in self._istiod.pods():
                self._kube.delete(pod, grace=1)
            self._wait("istiod to go", lambda: not self._istiod.pods())
            yield
        finally:
            self._scale(replicas)
            self._wait("istiod to be back", lambda: self._ready() >= replicas and self._admits())
            self._wait("the proxies to be connected again", lambda: self._connected() >= connected)

    def _deployment(self) -> Doc:
        found = self._kube.get("apps/v1", "Deployment", self._name, ISTIO_NAMESPACE)
        if found is None:
            raise PlatformTrouble("istiod gone", f"no Deployment {self._name} in {ISTIO_NAMESPACE}")
        return found

    def _scale(self, replicas: int) -> None:
        doc = {"apiVersion": "apps/v1", "kind": "Deployment"}
        metadata = {"name": self._name, "namespace": ISTIO_NAMESPACE}
        self._kube.patch(
            {**doc, "metadata": metadata}, [{"op": "replace", "path": "/spec/replicas", "value": replicas}]
        )

    def _ready(self) -> int:
        return int(self._deployment().get("status", {}).get("readyReplicas") or 0)

    def _admits(self) -> bool:
        """Whether the webhook answers; it is a moment later than the pod is ready."""
        (doc,) = fill(ROOT / "platform/admission-probe.yaml", {})
        try:
            self._kube.apply(doc, dry_run=True)
        except PlatformTrouble:
            return False
        return True

    def _connected(self) -> int:
        """Proxies connected to it; none while its metrics cannot be had."""
        try:
            return self._istiod.connected()
        except (PlatformTrouble, Refused):
            return 0

    def _wait(self, what: str, is_so: Callable[[], bool]) -> None:
        hint = f"kubectl -n {ISTIO_NAMESPACE} get deployment {self._name}"
        wait_for(what, lambda: True if is_so() else None, seconds=SECONDS, hint=hint, every=0.1)
