"""Building all that a cluster is made of from package registries alone, each thing once."""

import platform
import re
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from egress_conformance.cluster.cache import Store, cache_dir
from egress_conformance.cluster.commands import CommandFailed, Runner, run
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.images import ImageSet, istio_images
from egress_conformance.cluster.packages import ensure_packages
from egress_conformance.cluster.progress import Steps
from egress_conformance.cluster.recipe import HUB, IMAGES, Recipe, missing, missing_tools
from egress_conformance.cluster.recipes import fortio, recipes
from egress_conformance.cluster.suite_image import suite_image
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import UserError

# Free disk needed, in GB: for modules, object files and images of everything; and where only small things are missing.
DISK_TO_COMPILE = 20
DISK_TO_PACK = 4
PACKAGES = {"mmdebstrap": ("mmdebstrap", "debian-archive-keyring")}
GO_SETTINGS = {"GOFLAGS": "-buildvcs=false", "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}


class Builder:
    """Builds what is missing and gives an `ImageSet`.

    Args:
        engine: the container engine that gets the images.
        console: where progress is shown.
        install: whether missing Debian packages may be installed.
        store: where artefacts are kept.
        runner: runs programs.
    """

    def __init__(
        self,
        engine: Engine,
        console: Console,
        *,
        install: bool,
        store: Store | None = None,
        runner: Runner = run,
    ) -> None:
        self.engine = engine
        self.console = console
        self.install = install
        self.store = store or Store(cache_dir() / "artefacts")
        self.runner = runner

    def base(self, istio: str) -> str:
        """What nodes are made of, less the images that can be loaded while they run. Builds nothing.

        Raises:
            UserError: that version cannot be built.
        """
        return recipes(versions(), istio).base.images[0]

    def image_set(self, istio: str, *, node: bool = True, cni: bool = False) -> ImageSet:
        """Have everything for one version of Istio, building what is missing.

        Args:
            istio: the version.
            node: whether a node image is wanted too, with everything in it.
            cni: whether Istio's CNI node agent is wanted too.

        Raises:
            UserError: that version cannot be built, or something a build needs is missing, or a build failed.
        """
        wanted = recipes(versions(), istio)
        loaded = (wanted.istio_images, wanted.client, wanted.world)
        self.build(*([wanted.node] if node else []), wanted.base, wanted.kind, wanted.istio, *loaded)
        of_istio = istio_images(HUB, wanted.istio_images.tag, cni=cni)
        images = [*wanted.base.images, *of_istio, *wanted.client.images, *wanted.world.images]
        return ImageSet(
            istio=istio,
            full_version=versions().row(istio).version,
            node_image=wanted.node.images[0],
            own_network=True,
            kind=self.path(wanted.kind) / "kind",
            istioctl=self.path(wanted.istio) / "istioctl",
            hub=HUB,
            tag=wanted.istio_images.tag,
            upstream_envoy=True,
            client_image=wanted.client.images[0],
            world_image=wanted.world.images[0],
            digests={image: self.engine.image_id(image) or "" for image in images},
            to_load=tuple(images[1:]),
        )

    def client_and_world(self) -> tuple[str, str]:
        """Have the two images that no version of Istio makes a difference to.

        Raises:
            UserError: something a build needs is missing, or a build failed.
        """
        wanted = recipes(versions(), versions().newest)
        self.build(wanted.client, wanted.world)
        return wanted.client.images[0], wanted.world.images[0]

    def fortio(self) -> str:
        """Have the image of the load of an upgrade, and give its name.

        Raises:
            UserError: something a build needs is missing, or a build failed.
        """
        wanted = fortio(versions())
        self.build(wanted)
        return wanted.images[0]

    def for_existing(self) -> dict[str, str]:
        """Have the images that an existing cluster, and a Job in it, need.

        Returns:
            Their names in the engine, by what they are: client, world, fortio (the load of an upgrade), suite.

        Raises:
            UserError: something a build needs is missing, or a build failed.
        """
        client, world = self.client_and_world()
        suite = suite_image(versions())
        self.build(suite)
        return {"client": client, "world": world, "fortio": self.fortio(), "suite": suite.images[0]}

    def path(self, recipe: Recipe) -> Path:
        """Where the files of an artefact are."""
        return self.store.path(recipe.name, recipe.key)

    def is_done(self, recipe: Recipe) -> bool:
        """Whether nothing has to be built to use this artefact."""
        if recipe.repositories:
            return all(self.engine.image_id(image) is not None for image in recipe.images)
        return self.path(recipe).is_dir()

    def build(self, *wanted: Recipe) -> None:
        """Build what is missing of some artefacts.

        Raises:
            UserError: something a build needs is missing, or a build failed.
        """
        todo = list(dict.fromkeys(recipe for each in wanted for recipe in missing(each, self.is_done)))
        if not todo:
            return
        self._check(todo)
        log = cache_dir() / "logs" / f"build-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        steps = Steps(self.console, len(todo))
        for recipe in todo:
            with steps.step(recipe.what, recipe.typical):
                self._make(recipe, steps, log)

    def _make(self, recipe: Recipe, steps: Steps, log: Path) -> None:
        def script(out: Path) -> None:
            with tempfile.TemporaryDirectory(prefix="work-", dir=self.store.root) as work:
                with log.open("a") as file:
                    file.write(f"\n==> {recipe.name} {recipe.key}: {recipe.what}\n")
                argv = ("bash", str(IMAGES / recipe.script / "build.sh"))
                self.runner(argv, env=self._env(recipe, out, Path(work)), log=log, seconds=None)

        try:
            self.store.make(
                recipe.name,
                recipe.key,
                script,
                is_done=lambda _: self.is_done(recipe),
                waiting=lambda: steps.say(f"waiting for another process that builds {recipe.name}"),
            )
        except CommandFailed as failure:
            for line in failure.output.splitlines()[-15:]:
                steps.say(f"  {line}")
            raise UserError(f"could not {recipe.what}", f"see its last words above and all of it in {log}") from None

    def _env(self, recipe: Recipe, out: Path, work: Path) -> dict[str, str]:
        needs = {need.variable: need.images[0] if need.images else str(self.path(need)) for need in recipe.needs}
        return {
            **GO_SETTINGS,
            **self.engine.env,
            "DOCKER_BUILDKIT": "0",
            "LC_ALL": "C.UTF-8",
            "PYTHON": sys.executable,
            **recipe.inputs,
            **needs,
            "HERE": str(IMAGES / recipe.script),
            "IMAGE": next(iter(recipe.images), ""),
            "IMAGES": " ".join(recipe.images),
            "OUT": str(out),
            "WORK": str(work),
        }

    def _check(self, todo: list[Recipe]) -> None:
        """Everything that can be known to be missing is found before the first step."""
        if platform.machine() != "x86_64":
            raise UserError(f"images can be built on x86_64 only, not on {platform.machine()}", "use --images pull")
        tools = missing_tools(todo)
        check_disk(cache_dir(), disk_needed(todo))
        if any("go" in recipe.tools for recipe in todo):
            check_go(versions().go, self.runner)
        packages = [package for tool in tools for package in PACKAGES.get(tool, ())]
        if packages:
            ensure_packages(
                packages, why="a tool to build images", console=self.console, install=self.install, runner=self.runner
            )


def disk_needed(todo: list[Recipe]) -> int:
    """The free disk that building these takes, in GB."""
    return DISK_TO_COMPILE if any("go" in recipe.tools and recipe.typical >= 60 for recipe in todo) else DISK_TO_PACK


def check_disk(directory: Path, needed_gb: int) -> None:
    """See that a build will not fill the disk.

    Raises:
        UserError: there is less free than a build takes.
    """
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    if free_gb < needed_gb:
        raise UserError(
            f"the disk is nearly full: {free_gb:.1f} GB free at {existing}, a build takes up to {needed_gb} GB",
            "free some, or set EGRESS_CONFORMANCE_CACHE to a directory on another disk",
        )


def check_go(least: str, runner: Runner = run) -> None:
    """See that Go is there and new enough.

    Raises:
        UserError: it is not.
    """
    advice = f"install Go >= {least}"
    try:
        found = runner(("go", "env", "GOVERSION"), env=GO_SETTINGS).strip()
    except CommandFailed:
        raise UserError("Go is missing and a build is needed", advice) from None
    numbers = [int(number) for number in re.findall(r"\d+", found)[:2]]
    if numbers < [int(number) for number in least.split(".")]:
        raise UserError(f"Go is too old for the build that is needed: {found}", advice)
