"""istiod's own word: what it counts and logs of what it sent to proxies."""

from dataclasses import dataclass

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.mesh.config import ISTIO_NAMESPACE

REJECTS = "pilot_total_xds_rejects"
"""The counter of configurations that proxies rejected."""

LINES_SHOWN = 60
"""Lines of its log that are kept with a failure."""


@dataclass(frozen=True)
class Istiod:
    """istiod of one revision.

    Args:
        kube: the cluster.
        revision: revision of Istio, "" for the default one.
    """

    kube: Kube
    revision: str

    def pods(self) -> list[Doc]:
        """Its pods; those of a second Istio come and go with a case and are not among them."""
        return self.kube.find("v1", "Pod", ISTIO_NAMESPACE, f"app=istiod,istio.io/rev={self.revision or 'default'}")

    def rejections(self) -> int:
        """Configurations that proxies of this revision rejected so far (`pilot_total_xds_rejects`)."""
        return self._value(REJECTS)

    def connected(self) -> int:
        """Proxies connected to it (`pilot_xds`)."""
        return self._value("pilot_xds")

    def rejected(self, seconds: float) -> list[str]:
        """Lines of its log about rejected configuration; each names the proxy as `pod.namespace-number`.

        Args:
            seconds: how far back.
        """
        return [line for line in self._log(seconds) if "ACK ERROR" in line]

    def pushes(self, seconds: float, namespace: str) -> str:
        """Lines of its log about changes it took in, and about what it sent to the proxies of a namespace.

        Args:
            seconds: how far back.
            namespace: what the namespaces of those proxies begin with.
        """
        lines = [line for line in self._log(seconds) if "Push debounce" in line or f".{namespace}" in line]
        return "\n".join(lines[-LINES_SHOWN:])

    def _value(self, name: str) -> int:
        return sum(counted(self.kube, pod["metadata"]["name"], name) for pod in self.pods())

    def _log(self, seconds: float) -> list[str]:
        lines: list[str] = []
        for pod in self.pods():
            log = self.kube.logs(ISTIO_NAMESPACE, pod["metadata"]["name"], "discovery", since=seconds)
            lines += log.splitlines()
        return lines


def counted(kube: Kube, pod: str, name: str) -> int:
    """What one pod of istiod says of a gauge or counter of its own.

    Args:
        kube: the cluster.
        pod: its name.
        name: of the metric.

    Raises:
        Refused: the pod is gone.
        PlatformTrouble: it does not answer.
    """
    path = f"/api/v1/namespaces/{ISTIO_NAMESPACE}/pods/{pod}:15014/proxy/metrics"
    return value(kube.raw("GET", path).decode(), name)


def value(metrics: str, name: str) -> int:
    """The sum of a gauge or counter over its labels, of metrics in Prometheus' text format."""
    lines = [line for line in metrics.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines)


def by_others(lines: list[str], clients: tuple[str, ...], mine: set[str]) -> tuple[list[str], list[str]]:
    """Part lines about rejected configuration: those of clients that the case has nothing to do with, and the others.

    Another worker may run a case that provokes it; a client of this worker that is not in use may have been made for
    a case with other settings of the proxy.

    Args:
        lines: each names the proxy as `pod.namespace-number`.
        clients: what the namespaces of all workers' clients begin with.
        mine: `pod.namespace` of the clients the case uses.
    """
    ours = [line for line in lines if any(f".{client}" in line for client in clients)]
    others = [line for line in ours if not any(f" {client}-" in line for client in mine)]
    return others, [line for line in lines if line not in others]
