"""Why two runs may differ: reviewed explanations that come with the suite, and allowances of a team's own.

Both are YAML lists. An entry names a case, an observation of it (with `*` for any text), and the versions of Istio that
show the new behaviour: it is for a change from a version outside that range to one within it, or back.
"""

import datetime
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from egress_conformance.errors import UserError
from egress_conformance.report.model import Model
from egress_conformance.versions import in_range

VERDICT = "verdict"
"""The observation that is what became of a case."""

TABLE = "by_version"
"""The observation that is what a case expects, where it declares that this depends on the version."""

Words = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Version = Annotated[str, StringConstraints(pattern=r"^(\d+(\.\d+)*)?$")]


class _Entry(Model):
    """What every entry has."""

    case: Words = Field(description="id, which stands for all rows of a table too, or a pattern of ids")
    observation: Words = Field(description="name, or a pattern of names")
    since: Version = Field(default="", description="the first version of Istio that shows it; empty: no bound")
    until: Version = Field(default="", description="the last one")

    def names(self, case: str, observation: str) -> bool:
        """Whether it is about an observation of a case."""
        cases = {case, case.partition("[")[0]}
        return any(_like(each, self.case) for each in cases) and _like(observation, self.observation)

    @property
    def bounded(self) -> bool:
        """Whether it is about some versions only."""
        return bool(self.since or self.until)

    def crossed(self, old: str, new: str) -> bool:
        """Whether its range begins or ends between two versions."""
        return in_range(old, self.since, self.until) != in_range(new, self.since, self.until)


class Explanation(_Entry):
    """A reviewed one.

    Without versions, sentence and source it says where the version table of a case (`by_version`) shows, and the case
    says the rest.
    """

    says: str = Field(default="", description="what changed, in a sentence")
    source: str = Field(default="", description="release note, commit or changelog that says so")

    @model_validator(mode="after")
    def _is_whole(self) -> "Explanation":
        if len({self.bounded, bool(self.says), bool(self.source)}) > 1:
            raise ValueError("needs since or until, says and source, or none of them where the case declares it")
        return self


class Allowance(_Entry):
    """What a team puts up with for a while."""

    expires: datetime.date = Field(description="the last day it holds")
    who: Words = Field(description="who decided it")
    why: Words
    source: str = ""


@dataclass(frozen=True)
class Changed:
    """A change that wants an explanation.

    Attributes:
        case: id of the case, with its row.
        observation: what changed.
        old: the version of Istio before.
        new: the one after.
        declared: the case itself declares that it differs between the two.
        statement: of the case.
        source: of the case.
    """

    case: str
    observation: str
    old: str
    new: str
    declared: bool
    statement: str
    source: str


class Explained(Model):
    """Why a change is no surprise."""

    by: Literal["the case", "explanation", "allowance"]
    says: str
    source: str


class Explanations:
    """All there are for one comparison.

    Args:
        reviewed: those that come with the suite.
        allowed: those of a team's own.
        today: the day that decides which of these have expired.
    """

    def __init__(
        self,
        reviewed: Sequence[Explanation] = (),
        allowed: Sequence[Allowance] = (),
        today: datetime.date | None = None,
    ) -> None:
        self._reviewed = reviewed
        self._allowed = allowed
        self._today = today or datetime.datetime.now(datetime.UTC).date()

    def of(self, change: Changed) -> Explained | None:
        """Why something changed; None where nobody says."""
        by_case = Explained(by="the case", says=change.statement, source=change.source)
        if change.declared and change.observation in {VERDICT, TABLE}:
            return by_case
        for entry in self._reviewed:
            # What became of a case is its own word, or a team's: no explanation makes up for a broken promise.
            if change.observation == VERDICT or not entry.names(change.case, change.observation):
                continue
            if not entry.bounded and change.declared:
                return by_case
            if entry.bounded and entry.crossed(change.old, change.new):
                return Explained(by="explanation", says=entry.says, source=entry.source)
        return self.allowance(change)

    def allowance(self, change: Changed) -> Explained | None:
        """What a team says of it, while that holds."""
        for entry in self._about(change):
            if entry.expires >= self._today:
                says = f"{entry.why} (allowed by {entry.who} until {entry.expires})"
                return Explained(by="allowance", says=says, source=entry.source)
        return None

    def expired(self, change: Changed) -> str:
        """That it was allowed, and no longer is; "" if it never was."""
        entry = next(iter(self._about(change)), None)
        return f"allowed by {entry.who} until {entry.expires}, which is over: {entry.why}" if entry else ""

    def _about(self, change: Changed) -> list[Allowance]:
        """The allowances for it, whether they hold or not; of a verdict only those that name it."""
        found = [entry for entry in self._allowed if entry.names(change.case, change.observation)]
        if change.observation == VERDICT:
            found = [entry for entry in found if entry.observation == VERDICT]
        return [entry for entry in found if not entry.bounded or entry.crossed(change.old, change.new)]


def reviewed() -> list[Explanation]:
    """The explanations that come with the suite."""
    file = resources.files("egress_conformance.report").joinpath("explanations.yaml")
    return _entries(file.read_text(encoding="utf-8"), "explanations.yaml", Explanation)


def allowed(path: Path) -> list[Allowance]:
    """The allowances in a file.

    Raises:
        UserError: there is none, or it is not what it should be.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error})", "see docs/diff.md for what it should hold") from None
    return _entries(text, str(path), Allowance)


_Of = TypeVar("_Of", bound=_Entry)


def _entries(text: str, name: str, kind: type[_Of]) -> list[_Of]:
    try:
        return TypeAdapter(list[kind]).validate_python(yaml.safe_load(text) or [])  # type: ignore[valid-type]
    except yaml.YAMLError as error:
        raise UserError(f"{name} is no YAML ({' '.join(str(error).split())})", "mend it") from None
    except ValidationError as error:
        first = error.errors()[0]
        number, *field = first["loc"] or ("the list",)
        where = f"entry {number + 1}" if isinstance(number, int) else "it"
        said = ": ".join([", ".join([where, *map(str, field)]), first["msg"].removeprefix("Value error, ")])
        hint = "put versions in quotes" if {"since", "until"} & set(field) else "see docs/diff.md"
        raise UserError(f"{name}: {said}", hint) from None


def _like(text: str, pattern: str) -> bool:
    # A row stands in brackets behind its case's id: they are meant as they are.
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
