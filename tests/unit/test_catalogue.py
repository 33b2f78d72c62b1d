"""The catalogue of the real suites, and what keeps suites and manifests together."""

import re
from collections import Counter
from pathlib import Path

import pytest

from egress_conformance.case import Case, Mode, Requirement
from egress_conformance.catalogue import Entry, collect
from egress_conformance.errors import UserError
from egress_conformance.report.explain import reviewed
from tests.unit.fakes import SUITE


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return collect(SUITE, SUITE / "suites")


def test_each_id_is_used_once(entries: list[Entry]) -> None:
    assert [id_ for id_, count in Counter(entry.case.id for entry in entries).items() if count > 1] == []


def test_each_area_has_an_id_of_its_own(entries: list[Entry]) -> None:
    areas = {(entry.case.id.partition("-")[0], entry.area) for entry in entries}
    assert len({prefix for prefix, _ in areas}) == len({area for _, area in areas}) == len(areas)


def test_every_file_of_the_suites_is_collected(entries: list[Entry]) -> None:
    files = {path.parent.name for path in (SUITE / "suites").rglob("*.py")}
    assert {entry.area for entry in entries} == files


def test_the_articles_behaviours_are_all_there(entries: list[Entry]) -> None:
    policy = ["POL-01", "POL-03", "POL-04", "POL-06", "POL-07"]
    protocols = ["HTTP-01", "TLS-01", "TLS-02", "TLS-03", "TCP-01"]
    others = ["RES-01", "RES-04", "RES-05", "HDR-01", "HDR-02", "HDR-04", "HDR-05", "RSL-01", "RSL-02"]
    assert {entry.case.id for entry in entries if entry.article} == {*policy, *protocols, *others}


def test_each_case_says_what_must_happen_and_where_that_is_promised(entries: list[Entry]) -> None:
    for entry in entries:
        assert entry.case.statement.count(" MUST ") >= 1, entry
        assert entry.case.statement.endswith("."), entry
        assert entry.case.source, entry


def manifests() -> list[Path]:
    """What cases apply: not the platform, nor the load of an upgrade."""
    found = sorted((SUITE / "manifests").rglob("*.yaml"))
    return [path for path in found if path.parent.name not in {"platform", "upgrade"}]


def suite_text() -> dict[str, str]:
    """The text of each area's suites."""
    return {
        folder.name: "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
        for folder in (SUITE / "suites").iterdir()
        if folder.is_dir() and not folder.name.startswith("__")
    }


def named(text: str) -> set[str]:
    """Manifests a text names, one by one or by their folder."""
    folders = re.findall(r'mesh\.folder\("([a-z_0-9/-]+)"\)', text)
    inside = {name(path) for path in manifests() for folder in folders if name(path).startswith(f"{folder}/")}
    return set(re.findall(r'"([a-z_0-9-]+/[a-z_0-9.-]+\.yaml)"', text)) | inside


def name(path: Path) -> str:
    """A manifest as cases name it."""
    return str(path.relative_to(SUITE / "manifests"))


def test_each_manifest_is_named_by_a_case() -> None:
    all_named = named("\n".join(suite_text().values()))
    assert [path for path in manifests() if name(path) not in all_named] == []


@pytest.mark.parametrize("area", suite_text())
def test_each_manifest_a_case_names_is_there(area: str) -> None:
    there = {name(path) for path in manifests()}
    assert named(suite_text()[area]) - there == set()


def test_manifests_lie_in_the_folder_of_an_area() -> None:
    assert {name(path).partition("/")[0] for path in manifests()} <= suite_text().keys()


def test_no_case_writes_yaml_of_its_own() -> None:
    assert [area for area, text in suite_text().items() if "apiVersion" in text] == []


def test_an_entry_is_told_as_json() -> None:
    case = Case("TST-01", "there", Mode.ALLOW_ANY, True, (Requirement.TRACER,), "this", "It MUST be so.")
    assert Entry("area", case, article=True, controls="before").as_dict() == {
        "id": "TST-01",
        "area": "area",
        "title": "this",
        "statement": "It MUST be so.",
        "mode": "ALLOW_ANY",
        "requires": ["tracer"],
        "since": "",
        "until": "",
        "by_version": {},
        "of_proxy": False,
        "controls": "before",
        "article": True,
        "source": "there",
        "rows": 1,
        "command": "run",
    }


def project(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = ['--import-mode=importlib']\n")
    (folder / "conftest.py").write_text('pytest_plugins = ["egress_conformance.plugin"]\n')
    suites = folder / "suites" / "area"
    suites.mkdir(parents=True)
    # A name of its own: a module of that name that was imported before would be taken for it.
    (suites / f"test_{folder.name}.py").write_text(text)
    return suites.parent


TWO = '''
from egress_conformance.case import case

@case("TST-02", source="x")
def test_b(mesh):
    """B MUST be so."""

@case("TST-01", source="x", article=True)
def test_a(mesh):
    """A MUST be so."""

def test_no_case():
    pass
'''


def test_cases_are_listed_by_area_and_id_and_nothing_else_is(tmp_path: Path) -> None:
    found = collect(tmp_path, project(tmp_path, TWO))
    assert [(entry.area, entry.case.id, entry.article) for entry in found] == [
        ("area", "TST-01", True),
        ("area", "TST-02", False),
    ]


TABLE = '''
from egress_conformance.case import Mode, Row, case, rows

@case("TST-01", source="x")
@rows([Row("a", Mode.ALLOW_ANY), Row("b")])
def test_table(mesh, row):
    """Each MUST be so."""
'''


def test_a_table_is_one_case_with_so_many_rows(tmp_path: Path) -> None:
    (entry,) = collect(tmp_path, project(tmp_path, TABLE))
    assert (entry.case.id, entry.case.key, entry.case.mode, entry.rows) == (
        "TST-01",
        "TST-01",
        Mode.REGISTRY_ONLY,
        2,
    )


BROKEN = {
    "a file that cannot be imported": "import nothing_of_that_name\n",
    "no case at all": "",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_suites_that_cannot_be_collected_are_the_users_to_mend(tmp_path: Path, text: str) -> None:
    suites = project(tmp_path, text)
    with pytest.raises(UserError, match=f"the cases in {suites} cannot be collected: see: pytest --collect-only"):
        collect(tmp_path, suites)


def test_where_a_table_of_versions_shows_is_said_and_nowhere_else(entries: list[Entry]) -> None:
    """`egress-conformance diff` then finds each of these changes explained, and no other change by mistake."""
    differ = {entry.case.id for entry in entries if len({str(value) for value in entry.case.table.values()}) > 1}
    assert {entry.case for entry in reviewed() if not entry.bounded} == differ


def test_an_explanation_is_about_a_case_there_is(entries: list[Entry]) -> None:
    ids = [entry.case.id for entry in entries]
    for each in reviewed():
        assert any(each.names(case, each.observation) for case in ids), each
