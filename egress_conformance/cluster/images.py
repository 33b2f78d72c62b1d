"""What a cluster is made of: the seam between getting images (pull or build) and making a cluster of them."""

from dataclasses import dataclass, field
from pathlib import Path

CNI_NODE_AGENT = "install-cni"
ISTIO_IMAGES = ("pilot", "proxyv2", CNI_NODE_AGENT)
"""Istio's images, by name; the CNI node agent is in use where it is asked for."""


@dataclass(frozen=True)
class ImageSet:
    """Everything needed to make a kind cluster for one version of Istio.

    Attributes:
        istio: the short version the user asks for, e.g. ``1.31``.
        full_version: what `istioctl version` says of itself.
        node_image: the image to make kind nodes of, as the engine knows it.
        kind: the kind binary.
        istioctl: the istioctl binary of that version.
        hub: hub of Istio's images.
        tag: their tag.
        upstream_envoy: whether proxyv2 holds the upstream Envoy instead of Istio's own build.
        client_image: image of the pods in the mesh that send requests (curl).
        world_image: image of servers and DNS outside the mesh.
        digests: every image of the platform with its digest, for the ledger.
        to_load: images the engine has and nodes need, loaded into each node that does not have them.
        own_network: whether the node image brings its pod network with it, so that kind must not install its own.
    """

    istio: str
    full_version: str
    node_image: str
    kind: Path
    istioctl: Path
    hub: str
    tag: str
    upstream_envoy: bool
    client_image: str
    world_image: str
    digests: dict[str, str] = field(default_factory=dict)
    to_load: tuple[str, ...] = ()
    own_network: bool = False


def istio_images(hub: str, tag: str, *, cni: bool) -> tuple[str, ...]:
    """The images that an Istio runs.

    Args:
        hub: where they are.
        tag: of all of them.
        cni: whether its CNI node agent is among them.
    """
    return tuple(f"{hub}/{name}:{tag}" for name in ISTIO_IMAGES if cni or name != CNI_NODE_AGENT)
