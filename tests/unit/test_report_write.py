"""The folder of a run, the link to the newest, and the examples of docs/ledger.md."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from egress_conformance.errors import UserError
from egress_conformance.report import point_latest, write_reports
from egress_conformance.report.ledger import Ledger
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.sample_ledger import sample

DOCUMENT = Path(__file__).parents[2] / "docs" / "ledger.md"
EXAMPLES = re.findall(
    r"```sh\n(jq .*?)```\n+```(?:text|json)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL
)


def test_all_reports_are_written_and_written_again(tmp_path: Path) -> None:
    for _ in range(2):
        write_reports(sample(), tmp_path / "runs" / "one")
        assert {path.name for path in (tmp_path / "runs" / "one").iterdir()} == {
            "ledger.json",
            "junit.xml",
            "allure-results",
            "report.html",
        }
    assert Ledger.read(tmp_path / "runs" / "one" / "ledger.json") == sample()


@pytest.mark.parametrize("text", HOSTILE)
def test_a_ledger_of_any_text_is_read_as_it_was_written(text: str, tmp_path: Path) -> None:
    write_reports(hostile(text), tmp_path)
    assert Ledger.read(tmp_path / "ledger.json") == hostile(text)


def test_latest_points_to_the_newest_run_wherever_the_folder_moves(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run = tmp_path / "reports" / "runs" / name
        run.mkdir(parents=True)
        point_latest(run)
    (tmp_path / "reports").rename(tmp_path / "moved")
    latest = tmp_path / "moved" / "latest"
    assert latest.resolve() == tmp_path / "moved" / "runs" / "two"
    assert {path.name for path in (tmp_path / "moved").iterdir()} == {"latest", "runs"}


def test_latest_replaces_a_link_to_a_run_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("runs/gone")
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    point_latest(run)
    assert (tmp_path / "latest").resolve() == run


def test_latest_replaces_nothing_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    run = tmp_path / "runs" / "one"
    run.mkdir(parents=True)
    with pytest.raises(UserError, match="is in the way"):
        point_latest(run)
    assert (tmp_path / "latest").is_dir()


def test_the_document_has_examples() -> None:
    assert len(EXAMPLES) >= 3


@pytest.mark.skipif(shutil.which("jq") is None, reason="needs jq")
@pytest.mark.parametrize(("command", "output"), EXAMPLES)
def test_the_examples_of_the_document_print_what_it_says(command: str, output: str, tmp_path: Path) -> None:
    run = tmp_path / "reports" / "runs" / "one"
    write_reports(sample(), run)
    point_latest(run)
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == output


def test_every_field_is_in_the_document() -> None:
    told = DOCUMENT.read_text(encoding="utf-8")
    definitions = json.loads((DOCUMENT.parent / "ledger.schema.json").read_text(encoding="utf-8"))
    for model in (definitions, *definitions["$defs"].values()):
        for field in model.get("properties", {}):
            assert f"`{field}`" in told
