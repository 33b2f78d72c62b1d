"""What a case declares of itself: `@case("RES-01", mode=REGISTRY_ONLY, source="...")` above a pytest function."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeVar

import pytest

from egress_conformance.versions import in_force, in_range

Function = TypeVar("Function", bound=Callable[..., None])


class Mode(StrEnum):
    """The mesh's ``outboundTrafficPolicy.mode`` (https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/)."""

    ALLOW_ANY = "ALLOW_ANY"
    REGISTRY_ONLY = "REGISTRY_ONLY"
    ALLOW_ANY_DYNAMIC_DNS = "ALLOW_ANY_DYNAMIC_DNS"

    @property
    def other(self) -> "Mode":
        """The opposite."""
        return Mode.ALLOW_ANY if self is Mode.REGISTRY_ONLY else Mode.REGISTRY_ONLY


class Requirement(StrEnum):
    """What a case needs beyond a mesh; where it is missing the case is skipped with this text as the reason."""

    ISTIO_PROXY = "needs Istio's own proxy build; this data plane is upstream Envoy"
    MESH_CHANGES = "needs mesh-wide changes: pass --allow-mesh-changes"
    INSTALL = "needs to install a second Istio revision; only a cluster of the suite's own allows it"
    TRACER = "needs the tracing provider the suite's install configures; this mesh has none that leads to the world"
    EGRESS_GATEWAY = (
        "needs an egress gateway, a ready pod with the label istio=egressgateway in istio-system, and leave to put "
        "resources beside it (--allow-mesh-changes, no --namespaces)"
    )
    ISTIOCTL = "needs the istioctl of this Istio; only a cluster of the suite's own comes with it"
    CONTROL_PLANE = "needs to stop istiod for a while; only a cluster of the suite's own allows it"
    ADMISSION = "needs the admission of this Istio alone; another revision's webhook votes here too, or none may look"
    NAMESPACES = "needs a further namespace; with --namespaces none is made"
    LEADER = "needs this Istio alone; another revision's istiod may be the one that is elected to write statuses"


NO_OTHER_ISTIO = (Requirement.ADMISSION, Requirement.LEADER)
"""What is lacking while two revisions are side by side: each acts for the whole cluster."""


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
        since: the first Istio version that promises it; "" for all.
        until: the last Istio version that does; "" for all.
        by_version: what is expected, by the first Istio version that does so; {} where it does not depend on it.
        of_proxy: those three are versions of the client's proxy: what they tell of, Envoy does by itself.
        subject_is_mode: what the case is about is the mode itself: withheld, the mesh is in the other one.
        unprovable: why the case cannot be shown to fail with its subject withheld; "" if it can.
        row: which row of its table this is (`rows`); "" where it has none.
        scene: what set-up it shares with other rows (`mesh.shared`); "" for none.
    """

    id: str
    source: str
    mode: Mode
    flips: bool
    requires: tuple[Requirement, ...]
    title: str
    statement: str
    since: str = ""
    until: str = ""
    by_version: Mapping[str, object] = field(default_factory=dict)
    of_proxy: bool = False
    subject_is_mode: bool = False
    unprovable: str = ""
    row: str = ""
    scene: str = ""

    @property
    def key(self) -> str:
        """What its record is known by: the id, and the row in brackets if it is one of several."""
        return f"{self.id}[{self.row}]" if self.row else self.id

    def of_row(self, row: "Row") -> "Case":
        """One row of the case."""
        return replace(
            self,
            row=row.name,
            title=f"{self.title}: {row.name.replace('-', ' ')}",
            mode=row.mode or self.mode,
            subject_is_mode=row.subject_is_mode,
            scene=row.scene,
        )

    def mode_in_force(self, *, withheld: bool) -> Mode:
        """The mode it runs in: the other one where the mode is its subject and is withheld."""
        return self.mode.other if withheld and self.subject_is_mode else self.mode

    def scene_in_force(self, *, withheld: bool) -> str:
        """The set-up it shares; none where that is its subject and is withheld."""
        return "" if withheld and not self.subject_is_mode else self.scene

    def out_of_range(self, istio: str) -> str:
        """Why the case says nothing of a version of Istio; "" if it does."""
        this = "this proxy is of" if self.of_proxy else "this is"
        if not in_range(istio, self.since, ""):
            return f"promised since Istio {self.since}; {this} {istio}"
        if not in_range(istio, "", self.until):
            return f"promised until Istio {self.until}; {this} {istio}"
        return ""

    def expected(self, istio: str) -> object:
        """What a version of Istio is expected to do, of `by_version`.

        Raises:
            KeyError: the table begins with a later version.
        """
        try:
            return in_force(self.by_version, istio)
        except KeyError:
            raise KeyError(f"{self.id} says nothing of Istio {istio}: its table begins later") from None

    @property
    def table(self) -> dict[str, object]:
        """`by_version` as JSON has it."""
        return {first: plain(value) for first, value in self.by_version.items()}


def plain(value: object) -> object:
    """A value of a table as JSON has it: sets as sorted lists, so that it reads the same each time."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return {key: plain(each) for key, each in value.items()} if isinstance(value, dict) else value


@dataclass(frozen=True)
class Row:
    """One row of a case that is a table: it has a record and a verdict of its own, and counts as no case of its own.

    Attributes:
        name: stands in brackets behind the case's id; words with hyphens between them.
        mode: the mesh's mode for this row; None: the case's.
        subject_is_mode: the row is about its mode; see `Case`.
        scene: rows of one name share a set-up, which `mesh.shared` applies once for all of them.
    """

    name: str
    mode: Mode | None = None
    subject_is_mode: bool = False
    scene: str = ""


def rows(table: Iterable[Row]) -> pytest.MarkDecorator:
    """Run a case once for each row of a table, which the function gets as `row`; put it below `@case`."""
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.name, marks=pytest.mark.row(row)) for row in table])


def declared(item: pytest.Item) -> Case | None:
    """The case, or the row of a case, that a test of pytest's is; None if it is none."""
    mark = item.get_closest_marker("case")
    if mark is None:
        return None
    case_: Case = mark.args[0]
    row = item.get_closest_marker("row")
    if row is not None:
        return case_.of_row(row.args[0])
    parameters = getattr(item, "callspec", None)
    return replace(case_, row=parameters.id) if parameters is not None else case_


_ID = re.compile(r"[A-Z]{3,4}-[0-9]{2}[a-z]?")


def case(
    id: str,  # noqa: A002  (the word of the design)
    *,
    source: str,
    mode: Mode = Mode.REGISTRY_ONLY,
    flips: bool = False,
    requires: tuple[Requirement, ...] = (),
    article: bool = False,
    since: str = "",
    until: str = "",
    by_version: Mapping[str, object] | None = None,
    of_proxy: bool = False,
    subject_is_mode: bool = False,
    unprovable: str = "",
) -> Callable[[Function], Function]:
    """Make a pytest function a case.

    Args:
        id: as in the catalogue.
        source: where Istio promises it.
        mode: the mesh's mode while the case runs.
        flips: the case changes the mode itself (`mesh.outbound_traffic_policy`).
        requires: what it needs beyond a mesh.
        article: the article that started this project shows it (`-m article`).
        since: the first Istio version that promises it, e.g. ``1.30`` or ``1.30.3``; on earlier ones it is skipped.
        until: the last that does, e.g. ``1.29``; on later ones it is skipped.
        by_version: what is expected (fixture `expected`), by the first Istio version that does so.
        of_proxy: these are versions of the proxy, which during an upgrade may be another than istiod's: set it where
            it is Envoy that behaves differently, whoever configures it.
        subject_is_mode: the case is about the mode it runs in: to prove it, it runs in the other one.
        unprovable: why `--prove` cannot make it fail; a handful at most.

    Raises:
        ValueError: the id is malformed, or the function has no MUST sentence.
    """
    if not _ID.fullmatch(id):
        raise ValueError(f"case id {id!r}: write it like POL-01")

    def declare(function: Function) -> Function:
        sentence = re.split(r"(?<=\.)\s", inspect.getdoc(function) or "", maxsplit=1)[0]
        if " MUST " not in sentence:
            raise ValueError(f"case {id}: the docstring's first sentence must say what MUST happen")
        declared_case = Case(
            id=id,
            source=source,
            mode=mode,
            flips=flips,
            requires=requires,
            title=function.__name__.removeprefix("test_").replace("_", " "),
            statement=" ".join(sentence.split()),
            since=since,
            until=until,
            by_version=by_version or {},
            of_proxy=of_proxy,
            subject_is_mode=subject_is_mode,
            unprovable=unprovable,
        )
        pytest.mark.case(declared_case)(function)
        if article:
            pytest.mark.article(function)
        return function

    return declare
