"""Where the images of a cluster come from: pulled where a registry answers, else built."""

from typing import Protocol

from rich.console import Console

from egress_conformance.cluster import pull
from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.images import ImageSet
from egress_conformance.cluster.versions import versions


class Source(Protocol):
    """Gets images."""

    def base(self, istio: str) -> str:
        """What nodes are made of, less the images that can be loaded while they run. Gets nothing.

        Raises:
            UserError: there is no such version.
        """
        ...

    def image_set(self, istio: str, *, node: bool, cni: bool) -> ImageSet:
        """Get everything for one version of Istio.

        Args:
            istio: the version.
            node: whether a node image is wanted too, to make a cluster of.
            cni: whether Istio's CNI node agent is wanted too.

        Raises:
            UserError: something could not be had; what and why is said.
        """
        ...


class Puller:
    """Pulls what is published and builds the rest; see `Source`."""

    def __init__(self, engine: Engine, console: Console, builder: Builder) -> None:
        self.engine = engine
        self.console = console
        self.builder = builder

    def base(self, istio: str) -> str:
        """The published node image, once it is known that there may be such a version."""
        pull.release_of(istio)
        return pull.Sites.from_env().node_image

    def image_set(self, istio: str, *, node: bool, cni: bool) -> ImageSet:  # noqa: ARG002  (a published node image is small to check)
        """Pull what is missing; client and world are published nowhere, so they are built."""
        client, world = self.builder.client_and_world()
        return pull.pull(istio, self.engine, client_image=client, world_image=world, cni=cni, console=self.console)


def source_of(images: str, istio: str, used: str | None, engine: Engine, console: Console, *, install: bool) -> Source:
    """The source a user asked for.

    Args:
        images: "pull", "build", or "auto": as the cluster that is there, else pull where a registry answers
            within seconds, else build.
        istio: the version that is wanted.
        used: the base of the cluster that is there.
        engine: gets the images.
        console: where progress is shown.
        install: whether build tools may be installed.
    """
    builder = Builder(engine, console, install=install)
    puller = Puller(engine, console, builder)
    if images != "auto":
        return puller if images == "pull" else builder
    # A registry that answers now and then must not cost a cluster each time it changes its mind.
    if used and used == pull.Sites.from_env().node_image:
        return puller
    if used and istio in versions().istio and used == builder.base(istio):
        return builder
    return puller if pull.registry_answers() else builder
