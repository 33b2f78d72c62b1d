"""Where the suite's things are in a cluster: in namespaces that it makes and removes, or in some that it was given."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from egress_conformance.cluster.kube import Doc, Kube, describe
from egress_conformance.cluster.lease import OWN_NAMESPACE
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.own_namespace import MANAGED, have_namespace
from egress_conformance.waiting import wait_for
from egress_conformance.world.pods import SECONDS

PUT_THERE = (
    *(("v1", kind) for kind in ("Pod", "Service", "ConfigMap", "Secret", "ServiceAccount")),
    *(("rbac.authorization.k8s.io/v1", kind) for kind in ("RoleBinding", "Role")),
    *(("networking.istio.io/v1", kind) for kind in ("ServiceEntry", "WorkloadEntry", "VirtualService")),
    *(("networking.istio.io/v1", kind) for kind in ("DestinationRule", "Gateway", "Sidecar")),
    ("networking.istio.io/v1alpha3", "EnvoyFilter"),
    ("telemetry.istio.io/v1", "Telemetry"),
)
"""Kinds of what is put into the namespace of a client or of the world, in the order of its removal."""


@dataclass(frozen=True)
class Names:
    """What the namespaces are called.

    Args:
        given: the world's, and one for the client of each worker; () where they are made.
    """

    given: tuple[str, ...] = ()

    @classmethod
    def parse(cls, typed: str | None) -> "Names":
        """From what was typed for `--namespaces`.

        Raises:
            UserError: there are less than two, or one twice.
        """
        if typed is None:
            return cls()
        names = tuple(typed.split(","))
        if len(names) < 2 or "" in names or len(set(names)) < len(names):
            raise UserError(
                f"--namespaces {typed} does not name one namespace for the world and others for clients",
                "--namespaces egress-world,egress-client-1,egress-client-2",
            )
        return cls(names)

    @property
    def own(self) -> str:
        """The world's, where the run's Lease and the saved mesh config are too."""
        return self.given[0] if self.given else OWN_NAMESPACE

    @property
    def clients(self) -> tuple[str, ...]:
        """Those that were given for clients."""
        return self.given[1:]

    def of_worker(self, run: str, member: str, worker: str) -> str:
        """Where the client of a worker is.

        Args:
            run: id of the run.
            member: of the shards that share the cluster; "" where it is this run's alone.
            worker: its name; those of xdist end in a number, from 0 on.

        Raises:
            PlatformTrouble: the given ones are in use, as a worker crashed and this one is in its place.
        """
        if not self.given:
            return "-".join(["egress", run, *([member] if member else []), worker])
        number = int(worker.removeprefix("gw")) if worker.startswith("gw") else 0
        if number >= len(self.clients):
            raise PlatformTrouble("no namespace", f"{len(self.clients)} were given, and none is left for {worker}")
        return self.clients[number]


class Namespaces(Protocol):
    """The namespaces of a run."""

    def have_own(self) -> None:
        """Have the world's."""

    def left(self) -> list[str]:
        """Names of those in which clients of earlier runs are."""

    def of_run(self, run: str, prefix: str) -> list[str]:
        """Names of those with clients of a run that begin like this."""

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

    def of_run(self, run: str, prefix: str) -> list[str]:
        """Names of those with clients of a run that begin like this."""
        found = self.kube.find("v1", "Namespace", labels=f"{MANAGED},{OWNER_LABEL}={run}")
        names = [str(item["metadata"]["name"]) for item in found]
        return [name for name in names if name.startswith(prefix)]

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
    names: Names = field(default_factory=Names)

    def have_own(self) -> None:
        """Nothing: it is there."""

    def left(self) -> list[str]:
        """Names of those with something of an earlier run in them."""
        return [name for name in self.names.clients if any(self._ours(name))]

    def of_run(self, run: str, prefix: str) -> list[str]:  # noqa: ARG002  (one run has all of them)
        """Names of those for clients."""
        return list(self.names.clients)

    def remove(self, names: Iterable[str]) -> None:
        """Remove what is ours from these.

        Raises:
            PlatformTrouble: pods do not go.
        """
        pods = [doc for name in names for doc in self._remove_from(name) if doc["kind"] == "Pod"]
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

    def _ours(self, name: str) -> Iterable[Doc]:
        for api_version, kind in PUT_THERE:
            yield from self.kube.find(api_version, kind, name, labels=MANAGED)

    def _remove_from(self, name: str) -> Sequence[Doc]:
        docs = list(self._ours(name))
        for doc in docs:
            self.kube.delete(doc)
        return docs

    def _is_there(self, pod: Doc) -> bool:
        found = self.kube.get("v1", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])
        return found is not None and found["metadata"].get("uid") == pod["metadata"].get("uid")


def namespaces(kube: Kube, names: Names) -> Namespaces:
    """The namespaces of a run, made or given."""
    return Given(kube, names) if names.given else Made(kube)
