"""Where the images of a cluster come from: pulled where a registry answers, else built."""

from typing import Protocol

from rich.console import Console

from egress_conformance.cluster import pull
from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.images import ImageSet


class Source(Protocol):
    """Gets images."""

    def base(self, istio: str) -> str:
        """What nodes are made of, less the images that can be loaded while they run. Gets nothing.

        Raises:
            UserError: there is no such version.
        """
        ...

    def image_set(self, istio: str, *, node: bool) -> ImageSet:
        """Get everything for one version of Istio.

        Args:
            istio: the version.
            node: whether a node image is wanted too, to make a cluster of.

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

    def image_set(self, istio: str, *, node: bool) -> ImageSet:  # noqa: ARG002  (a published node image is small to check)
        """Pull what is missing; client and world are published nowhere, so they are built."""
        client, world = self.builder.client_and_world()
        return pull.pull(istio, self.engine, client_image=client, world_image=world, console=self.console)


def source_of(images: str, engine: Engine, console: Console, *, install: bool) -> Source:
    """The source a user asked for.

    Args:
        images: "pull", "build", or "auto": pull where a registry answers within seconds, else build.
        engine: gets the images.
        console: where progress is shown.
        install: whether build tools may be installed.
    """
    builder = Builder(engine, console, install=install)
    if images == "pull" or (images == "auto" and pull.registry_answers()):
        return Puller(engine, console, builder)
    return builder
