"""`egress-conformance diff` and `matrix`: files in, exit code, table, JSON and page out."""

import io
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from egress_conformance import cli
from egress_conformance.errors import ExitCode, UserError
from egress_conformance.report.compare import compare
from egress_conformance.report.diff_terminal import print_diff
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import Ledger, Verdict
from tests.unit.data.two_ledgers import ledger, reaches, record

ALLOW = "- {{case: RSL-01, observation: envoy.flags, expires: {}, who: the mesh team, why: ticket 7}}\n"


class Files:
    """Ledgers in files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, name: str, run: Ledger) -> str:
        path = self.folder / name
        run.write(path)
        return str(path)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def old(files: Files) -> str:
    return files.put("old.json", ledger("1.29.1"))


@pytest.fixture
def doctored(files: Files) -> str:
    """The same run, but for one observation."""
    return files.put("doctored.json", ledger("1.29.1", record(witnesses=[reaches(flags="UH")])))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, arguments, env={"COLUMNS": "200"})


def refusal(*arguments: str) -> str:
    error = invoke(*arguments).exception
    assert isinstance(error, UserError)
    return str(error)


def test_two_runs_of_one_version_open_the_gate(old: str, files: Files) -> None:
    done = invoke("diff", old, files.put("again.json", ledger("1.29.1")))
    assert done.exit_code == ExitCode.PASSED
    line = "Istio 1.29.1 on envoy 1.39.3 → Istio 1.29.1 on envoy 1.39.3: no change"
    assert done.output.strip() == line


def test_a_ledger_doctored_in_one_observation_shuts_it(old: str, doctored: str) -> None:
    done = invoke("diff", old, doctored)
    assert done.exit_code == ExitCode.FAILED
    assert "RSL-01: envoy.flags: - → UH; unexplained\n" in done.output
    assert done.output.strip().endswith("1 unexplained change, 0 explained; cases: 1 changed behaviour")


def test_what_a_team_allows_opens_it_for_a_while(old: str, doctored: str, files: Files) -> None:
    allow = files.folder / "allow.yaml"
    allow.write_text(ALLOW.format("2999-01-01"))
    done = invoke("diff", old, doctored, "--allow", str(allow))
    assert done.exit_code == ExitCode.PASSED
    assert "ticket 7 (allowed by the mesh team until 2999-01-01)" in done.output
    allow.write_text(ALLOW.format("2026-01-01"))
    done = invoke("diff", old, doctored, "--allow", str(allow))
    assert done.exit_code == ExitCode.FAILED
    assert "unexplained: allowed by the mesh team until 2026-01-01, which is over: ticket 7" in done.output


def test_what_cannot_be_compared_ends_with_2(old: str, files: Files) -> None:
    other = files.put("other.json", ledger("1.29.1", suite_version="0.2.0"))
    done = invoke("diff", old, other)
    assert (done.exit_code, "not comparable: suite 0.1.0 and suite 0.2.0" in done.output) == (2, True)


def test_as_json_it_is_all_there_and_nothing_else_is_printed(old: str, doctored: str, files: Files) -> None:
    done = invoke("diff", old, doctored, "--json", "-")
    told = json.loads(done.output)
    assert done.exit_code == told["exit_code"] == ExitCode.FAILED
    assert told["schema"] == "istio-egress-conformance/diff/v1"
    assert told["cases"][0]["changes"] == [
        {
            "observation": "envoy.flags",
            "old": "-",
            "new": "UH",
            "checks": ["subject: GET http://rsl-01.world.test/headers"],
            "explained": None,
            "expired": "",
        }
    ]
    path = files.folder / "diff.json"
    assert "unexplained" in invoke("diff", old, doctored, "--json", str(path)).output
    assert json.loads(path.read_text()) == told


def test_the_folder_of_a_run_is_as_good_as_its_ledger(old: str, files: Files) -> None:
    folder = files.folder / "run"
    folder.mkdir()
    files.put("run/ledger.json", ledger("1.29.1"))
    assert invoke("diff", old, str(folder)).exit_code == ExitCode.PASSED


def test_a_published_ledger_comes_first(old: str, doctored: str, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    (files.folder / "reports" / "1.28").mkdir(parents=True)
    files.put("reports/1.28/ledger.json", ledger("1.28.2"))
    monkeypatch.setattr(cli, "ROOT", files.folder)
    done = invoke("diff", doctored, "--published", "1.28")
    assert "Istio 1.28.2 on envoy 1.39.3 → Istio 1.29.1" in done.output
    assert refusal("diff", old, "--published", "1.27") == "no ledger of Istio 1.27 is published: there are: 1.28"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is no JSON"),
        ("[]", "is no ledger"),
        ('{"schema": "istio-egress-conformance/ledger/v1"}', "is of schema istio-egress-conformance/ledger/v1, not"),
        ('{"schema": "istio-egress-conformance/ledger/v2"}', "is no ledger (started: Field required)"),
    ],
)
def test_what_is_no_ledger_is_one_clear_line(old: str, files: Files, content: str, problem: str) -> None:
    path = files.folder / "new.json"
    path.write_text(content)
    said = refusal("diff", old, str(path))
    assert problem in said
    assert "\n" not in said


def test_nor_is_a_file_that_is_not_there(old: str, files: Files) -> None:
    assert "cannot be read (No such file or directory)" in refusal("diff", old, str(files.folder / "none.json"))


def test_a_regression_says_why(old: str, files: Files) -> None:
    failed = record(verdict=Verdict.FAILED, reason="subject: it must arrive:\n  - server: 0 receipts")
    done = invoke("diff", old, files.put("new.json", ledger("1.29.1", failed)))
    assert done.exit_code == ExitCode.FAILED
    assert "failed: subject: it must arrive: server: 0 receipts" in re.sub(r"\s+", " ", done.output)


def test_two_ledgers_are_needed(old: str) -> None:
    assert refusal("diff", old) == "two ledgers are needed: name their files, or --published VERSION"
    assert refusal("diff", old, old, old).startswith("3 ledgers were named, and a diff has two")


def test_a_report_that_cannot_be_written_is_said(old: str, doctored: str, files: Files) -> None:
    assert "cannot be written" in refusal("diff", old, doctored, "--html", str(files.folder / "none" / "diff.html"))


def test_a_matrix_shows_what_is_not_the_same_in_all(old: str, doctored: str, files: Files) -> None:
    rows = [record(f"POL-12[{name}]") for name in "abc"]
    failed = [rows[0], record("POL-12[b]", Verdict.FAILED), rows[2]]
    first = files.put("first.json", ledger("1.28.2", record(), *rows))
    last = files.put("last.json", ledger("1.31", record(witnesses=[reaches(flags="UH")]), *failed))
    done = invoke("matrix", first, last)
    assert done.exit_code == ExitCode.PASSED
    assert re.search(r"^POL-12 +3 passed +1 failed, 2 passed, 1 changed *$", done.output, re.MULTILINE)
    assert re.search(r"^RSL-01 +passed +passed, changed *$", done.output, re.MULTILINE)
    assert done.output.strip().endswith("1 case of 3 the same in all")
    told = json.loads(invoke("matrix", first, last, "--json", "-").output)
    assert [row["id"] for row in told["rows"]] == ["ALL-01", "POL-12", "RSL-01"]
    assert told["rows"][1]["cells"][1] == {"verdicts": {"failed": 1, "passed": 2}, "changed": 1, "unexplained": 1}


def test_rows_of_a_table_are_told_together(files: Files) -> None:
    names = [f"POL-12[row-{number}]" for number in range(5)]
    old = files.put("old.json", ledger("1.29.1", *map(record, names)))
    changed = (record(name, witnesses=[reaches(flags="UH")]) for name in names)
    done = invoke("diff", old, files.put("new.json", ledger("1.29.1", *changed)))
    assert "POL-12, 5 rows: row-0, row-1, row-2, and 2 more: envoy.flags: - → UH; unexplained\n" in done.output
    assert done.output.count("envoy.flags") == 1


def test_for_a_person_it_is_a_table() -> None:
    old, new = ledger("1.29.1"), ledger("1.29.1", record(witnesses=[reaches(flags="UH")]))
    out = io.StringIO()
    print_diff(compare(old, new, Explanations()), Console(file=out, force_terminal=True, width=100, color_system=None))
    assert re.search(r"^RSL-01 +envoy\.flags +- +UH +unexplained *$", out.getvalue(), re.MULTILINE)
