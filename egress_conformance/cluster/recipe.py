"""What is built, of what: a recipe is a script under images/ with its inputs, and is named by the content of both."""

import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from egress_conformance.cluster.cache import key_of, tree_digest

IMAGES = Path(__file__).parents[2] / "images"
HUB = "localhost/istio-egress-conformance"
# What a directory under images/ may hold that makes no difference to what is built from it.
NOT_INPUTS = ("*_test.go", "*.md")


@dataclass(frozen=True, eq=False)
class Recipe:
    """How one artefact is made.

    Attributes:
        name: its name in the cache, and as the prefix of variables in scripts that need it.
        what: what is done, for the progress display.
        typical: seconds it takes on two cores.
        script: directory under images/ whose build.sh makes it.
        inputs: variables of the script; part of the key.
        needs: artefacts it is made of.
        sources: further directories under images/ the script reads.
        tools: programs the script runs that a machine may lack.
        repositories: names of the images it makes; none where it makes files.
    """

    name: str
    what: str
    typical: float
    script: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    needs: "tuple[Recipe, ...]" = ()
    sources: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()

    @cached_property
    def key(self) -> str:
        """Changes when anything does that the artefact depends on."""
        needs = {f"need {need.name}": need.key for need in self.needs}
        sources = {f"source {name}": tree_digest(IMAGES / name, NOT_INPUTS) for name in (self.script, *self.sources)}
        return key_of({**self.inputs, **needs, **sources})

    @property
    def images(self) -> tuple[str, ...]:
        """References of the images it makes."""
        return tuple(f"{HUB}/{repository}:{self.tag}" for repository in self.repositories)

    @property
    def tag(self) -> str:
        """The tag of the images it makes: the version in it, for people, and the key."""
        version = self.inputs.get("VERSION")
        return f"{version}-{self.key[:8]}" if version else self.key

    @property
    def variable(self) -> str:
        """The name of the variable under which scripts that need it find it: an image, or a directory."""
        return re.sub(r"-\d.*", "", self.name).upper().replace("-", "_")


def missing(wanted: Recipe, is_done: Callable[[Recipe], bool]) -> list[Recipe]:
    """What has to be built to have `wanted`, in the order of building.

    What is only needed by something that is there already is not built.
    """

    def walk(recipe: Recipe) -> Iterator[Recipe]:
        if not is_done(recipe):
            for need in recipe.needs:
                yield from walk(need)
            yield recipe

    return list(dict.fromkeys(walk(wanted)))


def missing_tools(recipes: list[Recipe]) -> list[str]:
    """Programs that building these needs and this machine lacks."""
    tools = dict.fromkeys(tool for recipe in recipes for tool in recipe.tools)
    return [tool for tool in tools if shutil.which(tool) is None]
