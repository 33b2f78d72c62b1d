"""What a case declares of itself: `@case("RES-01", mode=REGISTRY_ONLY, source="...")` above a pytest function."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

import pytest

Function = TypeVar("Function", bound=Callable[..., None])


class Mode(StrEnum):
    """The mesh's ``outboundTrafficPolicy.mode`` (https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/)."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"


class Requirement(StrEnum):
    """What a case needs beyond a mesh; where it is missing the case is skipped with this text as the reason."""

    ISTIO_PROXY = "needs Istio's own proxy build; this data plane is upstream Envoy"
    MESH_CHANGES = "needs mesh-wide changes: pass --allow-mesh-changes"
    INSTALL = "needs to install a second Istio revision; only a cluster of the suite's own allows it"
    TRACER = "needs the tracing provider the suite's install configures; this mesh has none of that name"


@dataclass(frozen=True)
class Case:
    """A behaviour with an id.

    Attributes:
        id: as in the catalogue, e.g. ``RES-01``; never reused.
        source: where Istio promises it, or where it was observed.
        mode: the mesh's mode while the case runs, outside of what it flips itself.
        flips: whether the case changes the mesh's mode itself and so needs the mesh alone.
        requires: what else it needs.
        title: a few words, from the function's name.
        statement: the MUST sentence, from the docstring.
    """

    id: str
    source: str
    mode: Mode
    flips: bool
    requires: tuple[Requirement, ...]
    title: str
    statement: str


_ID = re.compile(r"[A-Z]{3,4}-[0-9]{2}[a-z]?")


def case(
    id: str,  # noqa: A002  (the word of the design)
    *,
    source: str,
    mode: Mode = Mode.REGISTRY_ONLY,
    flips: bool = False,
    requires: tuple[Requirement, ...] = (),
    article: bool = False,
) -> Callable[[Function], Function]:
    """Make a pytest function a case.

    Args:
        id: as in the catalogue.
        source: where Istio promises it.
        mode: the mesh's mode while the case runs.
        flips: the case changes the mode itself (`mesh.outbound_traffic_policy`).
        requires: what it needs beyond a mesh.
        article: the article that started this project shows it (`-m article`).

    Raises:
        ValueError: the id is malformed, or the function has no MUST sentence.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"case id {id!r}: write it like POL-01")

    def declare(function: Function) -> Function:
        sentence = re.split(r"(?<=\.)\s", inspect.getdoc(function) or "", maxsplit=1)[0]
        if " MUST " not in sentence:
            raise ValueError(f"case {id}: the docstring's first sentence must say what MUST happen")
        declared = Case(
            id=id,
            source=source,
            mode=mode,
            flips=flips,
            requires=requires,
            title=function.__name__.removeprefix("test_").replace("_", " "),
            statement=" ".join(sentence.split()),
        )
        pytest.mark.case(declared)(function)
        if article:
            pytest.mark.article(function)
        return function

    return declare
