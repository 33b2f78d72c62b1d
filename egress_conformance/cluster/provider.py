"""What the suite asks of whoever gives it a Kubernetes cluster."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class IstioRelease:
    """An Istio that can be installed here.

    Attributes:
        version: the short version the user asks for, e.g. ``1.31``.
        full_version: what `istioctl version` says of itself.
        istioctl: the binary of that version.
        hub: hub of its images.
        tag: their tag.
        upstream_envoy: whether proxyv2 holds the upstream Envoy instead of Istio's own build, so that the
            install must leave out what upstream Envoy lacks.
        cni: whether its CNI node agent redirects traffic, in the place of an init container in each pod.
    """

    version: str
    full_version: str
    istioctl: Path
    hub: str
    tag: str
    upstream_envoy: bool
    cni: bool = False


@dataclass(frozen=True)
class Cluster:
    """A Kubernetes cluster that is up.

    Attributes:
        kubeconfig: file with the credentials.
        context: the context in that file.
        client_image: image of the pods in the mesh that send requests (curl).
        world_image: image of servers and DNS outside the mesh.
        images: every image of the platform with its digest, for the ledger.
        release: the Istio to install, or None where Istio is already there.
        revision: the revision of Istio to use, "" for the default one.
        may_change_mesh: whether mesh-wide settings may be changed.
        node_containers: container names of the nodes, where nodes are containers of ours.
        engine: environment for the container engine's command line, e.g. DOCKER_HOST.
    """

    kubeconfig: Path
    context: str
    client_image: str
    world_image: str
    images: dict[str, str]
    release: IstioRelease | None
    revision: str = ""
    may_change_mesh: bool = True
    node_containers: tuple[str, ...] = ()
    engine: dict[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """Where Kubernetes comes from."""

    @property
    def name(self) -> str:
        """The provider's name, for the ledger."""
        ...

    def up(self) -> Cluster:
        """Bring the cluster up, or find it up; idempotent.

        Raises:
            UserError: something the user has to put right; nothing was changed.
        """
        ...

    def down(self) -> None:
        """Remove what `up` made; idempotent."""
        ...

    def escaped_packets(self) -> int | None:
        """Packets that pods tried to send out of the cluster since it came up; None where nobody counts."""
        ...
