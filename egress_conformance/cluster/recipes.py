"""The recipes: what each thing a cluster is made of is built from. The scripts are under images/."""

from collections.abc import Iterable
from dataclasses import dataclass

from egress_conformance.cluster.images import ISTIO_IMAGES, istio_images
from egress_conformance.cluster.recipe import HUB, Recipe
from egress_conformance.cluster.versions import IstioRow, Versions

SMALL_DEBIAN = "bash,ca-certificates,conntrack,curl,iproute2,iptables,kmod,netbase,nftables,procps"
NODE_DEBIAN = (
    "bash,ca-certificates,conntrack,containerd,containernetworking-plugins,e2fsprogs,ethtool,iproute2,iptables,jq,"
    "kmod,libseccomp2,mount,netbase,nftables,pigz,procps,runc,systemd,systemd-sysv,util-linux"
)


@dataclass(frozen=True)
class Recipes:
    """What is wanted for one version of Istio; all else follows from their needs.

    Attributes:
        base: a node with Kubernetes, the same for every Istio.
        node: the same with everything preloaded for this Istio.
    """

    kind: Recipe
    istio: Recipe
    istio_images: Recipe
    client: Recipe
    world: Recipe
    base: Recipe
    node: Recipe


def recipes(versions: Versions, istio: str) -> Recipes:
    """The recipes for one version of Istio.

    Raises:
        UserError: that version cannot be built here.
    """
    row = versions.row(istio)
    debian = debian_image(versions, "debian-base", SMALL_DEBIAN)
    kind = _compiled(versions, "kind", f"compile kind {versions.kind}", 60, KIND=versions.kind)
    compiled, of_istio = _istio(versions, row, istio, debian)
    client = Recipe("client", "make the client's image", 2, "client", needs=(debian,), repositories=("client",))
    world = Recipe(
        name="world",
        what="compile the world",
        typical=15,
        script="world-image",
        sources=("world",),
        inputs={"GO": versions.go},
        tools=("go",),
        repositories=("world",),
    )
    base = _kubernetes_node(versions, debian, kind)
    node = _preloaded(
        f"node-{istio}",
        f"preload a node with Istio {row.version}",
        base,
        (of_istio, client, world),
        # The CNI node agent, 100 MB, is loaded into the nodes that want it (Node.load).
        (*istio_images(HUB, of_istio.tag, cni=False), *client.images, *world.images),
    )
    return Recipes(kind, compiled, of_istio, client, world, base, node)


def fortio(versions: Versions) -> Recipe:
    """The load of an upgrade; no run needs it, and nothing else is made of it."""
    return Recipe(
        name="fortio",
        what="compile Fortio",
        typical=60,
        script="fortio",
        inputs={"GO": versions.go},
        needs=(debian_image(versions, "debian-base", SMALL_DEBIAN),),
        tools=("go",),
        repositories=("fortio",),
    )


def _istio(versions: Versions, row: IstioRow, istio: str, debian: Recipe) -> tuple[Recipe, Recipe]:
    """Istio's programs, and the images of istiod, the proxy and the CNI node agent with one tag."""
    compiled = _compiled(
        versions,
        f"istio-{istio}",
        f"compile Istio {row.version}",
        330,
        VERSION=row.version,
        MODULE=row.module,
        REQUIRES="\n".join(row.requires),
        HUB=HUB,
    )
    envoy = Recipe(
        f"envoy-{istio}",
        f"fetch Envoy {row.envoy}",
        15,
        "envoy",
        inputs={"ENVOY_VERSION": row.envoy, "SHA256": row.envoy_sha256},
    )
    images = Recipe(
        f"istio-images-{istio}",
        f"make the images of Istio {row.version}",
        15,
        "istio-images",
        inputs={"VERSION": row.version},
        needs=(debian, compiled, envoy),
        repositories=ISTIO_IMAGES,
    )
    return compiled, images


def _kubernetes_node(versions: Versions, debian: Recipe, kind: Recipe) -> Recipe:
    """A node with all that Kubernetes itself runs in pods."""
    kubernetes = _compiled(
        versions, "kubernetes", f"compile Kubernetes {versions.kubernetes}", 480, KUBERNETES=versions.kubernetes
    )
    pods = Recipe(
        "kube-image",
        "make the image of Kubernetes' own pods",
        10,
        "kube-image",
        needs=(debian, kubernetes),
        repositories=("kubernetes",),
    )
    etcd = _compiled(versions, "etcd", f"compile etcd {versions.etcd}", 90, image="etcd", ETCD=versions.etcd)
    coredns = _compiled(
        versions, "coredns", f"compile CoreDNS {versions.coredns}", 150, image="coredns", COREDNS=versions.coredns
    )
    pause = _compiled(versions, "pause", "compile the pause process", 5, image="pause")
    node = Recipe(
        "node",
        "make the node's root file system",
        15,
        "node",
        inputs={"KUBERNETES_VERSION": versions.kubernetes, "PAUSE_VERSION": versions.pause},
        needs=(debian_image(versions, "debian-node", NODE_DEBIAN), kind, kubernetes),
        repositories=("node-base",),
    )
    commands = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy")
    needs = (pods, etcd, coredns, pause)
    names = (
        " ".join(f"registry.k8s.io/{name}:{versions.kubernetes}" for name in commands),
        f"registry.k8s.io/etcd:{versions.etcd_image}",
        f"registry.k8s.io/coredns/coredns:{versions.coredns}",
        f"registry.k8s.io/pause:{versions.pause}",
    )
    return _preloaded(
        "node-kubernetes",
        f"preload a node with Kubernetes {versions.kubernetes}",
        node,
        needs,
        [f"{need.images[0]} {more}" for need, more in zip(needs, names, strict=True)],
    )


def _compiled(versions: Versions, name: str, what: str, typical: float, *, image: str = "", **inputs: str) -> Recipe:
    """Something Go compiles: the script has the same name, less a version at its end."""
    # The compiler of this machine is no input, only the least that will do: a newer Go rebuilds nothing.
    go = {"GO": versions.go}
    script = name.partition("-")[0]
    return Recipe(
        name, what, typical, script, inputs={**go, **inputs}, tools=("go",), repositories=(image,) if image else ()
    )


def debian_image(versions: Versions, name: str, packages: str) -> Recipe:
    """A Debian root file system, as an image."""
    return Recipe(
        name,
        f"install {name.replace('-', ' ')} ({versions.debian})",
        70,
        "debian",
        inputs={"DEBIAN": versions.debian, "PACKAGES": packages},
        tools=("mmdebstrap",),
        repositories=(name,),
    )


def _preloaded(name: str, what: str, node: Recipe, needs: tuple[Recipe, ...], images: Iterable[str]) -> Recipe:
    """A node image with images of `needs` in it; after each come the names it has besides, in the node."""
    return Recipe(
        name,
        what,
        45,
        "preload",
        inputs={"FROM": node.images[0], "PRELOAD": "\n".join(images)},
        needs=(node, *needs),
        repositories=(name,),
    )
