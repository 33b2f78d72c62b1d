"""Where the suite's things are in a cluster: in namespaces that it makes and removes, or in some that it was given."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from egress_conformance.cluster.kube import Doc, Kube, describe
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.cluster.names import Names, prefix
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.own_namespace import MANAGED, have_namespace
from egress_conformance.waiting import wait_for
from egress_conformance.world.pods import SECONDS

CLIENT_NAMESPACES = "egress-r"
"""What the names of all workers' namespaces begin with; they are removed whole."""

SWEPT = (
    *(("networking.istio.io/v1", kind) for kind in ("DestinationRule", "Gateway", "ServiceEntry", "VirtualService")),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
    ("telemetry.istio.io/v1", "Telemetry"),
    ("v1", "Secret"),
)
"""Kinds of which cases put something into other namespaces than their own."""

PUT_THERE = (
    *(("v1", kind) for kind in ("Pod", "Service", "ConfigMap", "Secret", "ServiceAccount")),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("RoleBinding", "Role")),
    *(("networking.istio.io/v1", kind) for kind in ("ServiceEntry", "WorkloadEntry", "VirtualService")),
    *(("networking.istio.io/v1", kind) for kind in ("DestinationRule", "Gateway", "Sidecar")),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
    ("telemetry.istio.io/v1", "Telemetry"),
)
"""Kinds of what is put into the namespace of a client or of the world, in the order of its removal."""


class Namespaces(Protocol):
    """The namespaces of a run."""

    def have_own(self) -> None:
        """Have the world's."""

    def left(self) -> list[str]:
        """Names of those in which clients of earlier runs are."""

    def of_run(self, run: str, member: str = "") -> list[str]:
        """Names of those with clients of a run, or of one of its shards."""

    def remove(self, names: Iterable[str]) -> None:
        """Remove what is ours of these."""

    def remove_own(self) -> None:
        """Remove what is ours of the world's."""


@dataclass(frozen=True)
class Made:
    """Namespaces that the suite makes, and removes whole."""

    kube: Kube

    def have_own(self) -> None:
        """Have the world's."""
        have_namespace(self.kube)

    def left(self) -> list[str]:
        """Names of those in which clients of earlier runs are."""
        return [
            item["metadata"]["name"]
            for item in self.kube.find("v1", "Namespace", labels=f"{MANAGED},{OWNER_LABEL}")
            # One that is on its way out was removed by its own run; that takes a moment.
            if item["status"].get("phase") != "Terminating"
        ]

    def of_run(self, run: str, member: str = "") -> list[str]:
        """Names of those with clients of a run, or of one of its shards."""
        found = self.kube.find("v1", "Namespace", labels=f"{MANAGED},{OWNER_LABEL}={run}")
        names = [str(item["metadata"]["name"]) for item in found]
        return [name for name in names if name.startswith(prefix(run, member))]

    def remove(self, names: Iterable[str]) -> None:
        """Remove these."""
        for name in names:
            self.kube.delete({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def remove_own(self) -> None:
        """Remove the world's."""
        self.remove([OWN_NAMESPACE])


@dataclass(frozen=True)
class Given:
    """Namespaces that are somebody else's: what the suite puts there has its label, and nothing else is touched.

    That they are there and as they must be the provider has seen (`cluster.existing`).
    """

    kube: Kube
    names: Names

    def have_own(self) -> None:
        """Nothing: it is there."""

    def left(self) -> list[str]:
        """Names of those with something of an earlier run in them."""
        return [name for name in self.names.clients if any(self._ours(name))]

    def of_run(self, run: str, member: str = "") -> list[str]:  # noqa: ARG002  (one run has all of them)
        """Names of those for clients."""
        return list(self.names.clients)

    def remove(self, names: Iterable[str]) -> None:
        """Remove what is ours from these.

        Raises:
            PlatformTrouble: pods do not go.
        """
        docs = [doc for name in names for doc in self._ours(name)]
        for doc in docs:
            self.kube.delete(doc)
        pods = [doc for doc in docs if doc["kind"] == "Pod"]
        last: list[str] = []

        def look() -> bool | None:
            last[:] = [describe(pod) for pod in pods if self._is_there(pod)]
            return None if last else True

        # Whoever comes next would take one that is going for its own.
        hint = "kubectl describe pod"
        wait_for("pods to go", look, seconds=SECONDS, hint=hint, every=0.2, seen=lambda: ", ".join(last))

    def remove_own(self) -> None:
        """Remove what is ours from the world's."""
        self.remove([self.names.own])

    def ours(self, name: str) -> list[str]:
        """What is ours in a namespace, in words."""
        return [describe(doc) for doc in self._ours(name)]

    def _ours(self, name: str) -> Iterator[Doc]:
        for api_version, kind in PUT_THERE:
            yield from self.kube.find(api_version, kind, name, labels=MANAGED)

    def _is_there(self, pod: Doc) -> bool:
        found = self.kube.get("v1", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        return found is not None and found["metadata"].get("uid") == pod["metadata"].get("uid")


def namespaces(kube: Kube, names: Names) -> Namespaces:
    """The namespaces of a run, made or given."""
    return Given(kube, names) if names.given else Made(kube)


def elsewhere(kube: Kube, kinds: Iterable[tuple[str, str]], labels: str) -> Iterator[Doc]:
    """What cases put elsewhere than into namespaces of their own, e.g. beside the egress gateway.

    Args:
        kube: the cluster.
        kinds: API version and kind of what is looked for.
        labels: of it.
    """
    for api_version, kind in kinds:
        for doc in kube.find(api_version, kind, labels=labels):
            if not doc["metadata"].get("namespace", "").startswith(CLIENT_NAMESPACES):
                yield doc
