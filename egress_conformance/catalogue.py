"""The catalogue: every case there is, collected by pytest without a cluster."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from egress_conformance.case import Case
from egress_conformance.controls import controls_of
from egress_conformance.errors import UserError


@dataclass(frozen=True)
class Entry:
    """One case of the catalogue.

    Attributes:
        area: the folder it lies in.
        case: what it declares.
        article: whether the article that started this project shows it.
        controls: its controls in words.
        rows: how many rows its table has.
        command: the command of `egress-conformance` that tries it.
    """

    area: str
    case: Case
    article: bool
    controls: str
    rows: int = 1
    command: str = "run"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "id": self.case.id,
            "area": self.area,
            "title": self.case.title,
            "statement": self.case.statement,
            "mode": str(self.case.mode),
            "requires": [need.name.lower() for need in self.case.requires],
            "since": self.case.since,
            "until": self.case.until,
            "by_version": self.case.table,
            "of_proxy": self.case.of_proxy,
            "controls": self.controls,
            "article": self.article,
            "source": self.case.source,
            "rows": self.rows,
            "command": self.command,
        }


class _Collector:
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        functions: dict[str, list[pytest.Item]] = {}
        for item in session.items:
            if item.get_closest_marker("case") is not None:
                functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
        self.entries += [_entry(items) for items in functions.values()]


def _entry(items: list[pytest.Item]) -> Entry:
    """The entry of a case: of its only test, or of the tests that are the rows of its table."""
    item = items[0]
    (mark, *_) = item.iter_markers("case")
    article = item.get_closest_marker("article") is not None
    controls = controls_of(item.function)  # type: ignore[attr-defined]
    return Entry(item.path.parent.name, mark.args[0], article, controls, len(items))


def collect(root: Path, suites: Path) -> list[Entry]:
    """Collect the cases below a folder, by area and id.

    Args:
        root: pytest's root directory.
        suites: the folder.

    Raises:
        UserError: a file there cannot be imported.
    """
    collector = _Collector()
    arguments = ["--collect-only", "-p", "no:terminal", "--rootdir", str(root), "-c", str(root / "pyproject.toml")]
    code = pytest.main([*arguments, str(suites)], plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise UserError(f"the cases in {suites} cannot be collected", f"see: pytest --collect-only {suites}")
    return sorted(collector.entries, key=lambda entry: (entry.area, entry.case.id))
