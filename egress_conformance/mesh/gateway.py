"""The egress gateway: a fourth witness of what passes through it."""

from dataclasses import dataclass

from egress_conformance.cluster.kube import Kube
from egress_conformance.mesh.proxy import Proxy

LOG_SECONDS = 60


@dataclass(frozen=True)
class Gateway:
    """One gateway pod.

    Args:
        kube: the cluster.
        namespace: where it is.
        pod: its name.
    """

    kube: Kube
    namespace: str
    pod: str

    @property
    def proxy(self) -> Proxy:
        """Its Envoy."""
        return Proxy(self._admin)

    def _admin(self, path: str, method: str = "GET") -> str:
        command = ["pilot-agent", "request", method, path]
        return self.kube.run(self.namespace, self.pod, "istio-proxy", command)

    def log(self) -> str:
        """What it logged of late, flushed first (`POST /reopen_logs`)."""
        self._admin("reopen_logs", "POST")
        return self.kube.logs(self.namespace, self.pod, "istio-proxy", since=LOG_SECONDS)
