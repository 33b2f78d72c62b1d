"""allure-results/ says what the ledger says, in the files Allure looks for."""

import json
from pathlib import Path
from typing import Any

import pytest

from egress_conformance.report.allure import write_allure
from egress_conformance.report.ledger import Ledger
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.sample_ledger import sample


def results(ledger: Ledger, directory: Path) -> dict[str, dict[str, Any]]:
    """Written, read again, by case id."""
    write_allure(ledger, directory)
    read = [json.loads(path.read_text(encoding="utf-8")) for path in directory.glob("*-result.json")]
    assert len(read) == len(ledger.cases)
    return {result["fullName"].rsplit(".", 1)[-1]: result for result in read}


def labels(result: dict[str, Any], name: str) -> list[str]:
    return [label["value"] for label in result["labels"] if label["name"] == name]


def test_verdicts_are_allures_statuses(tmp_path: Path) -> None:
    read = results(sample(), tmp_path)
    statuses = {id_: read[id_]["status"] for id_ in ("RES-01", "RES-04", "TCP-05", "TEL-03")}
    assert statuses == {"RES-01": "passed", "RES-04": "failed", "TCP-05": "broken", "TEL-03": "skipped"}
    assert "client pod gone" in read["TCP-05"]["statusDetails"]["message"]


def test_a_result_says_what_the_case_says(tmp_path: Path) -> None:
    read = results(sample(), tmp_path)
    assert labels(read["RES-01"], "suite") == ["resolution"]
    assert labels(read["HDR-01"], "tag") == ["HDR-01", "emulated"]
    assert labels(read["HDR-04"], "tag") == ["HDR-04"]
    assert "送信元 Pod の metadata" in read["HDR-01"]["description"]
    assert read["RES-01"]["stop"] - read["RES-01"]["start"] == 1900


def test_checks_are_steps_and_attempts_are_steps_within(tmp_path: Path) -> None:
    before, subject, after = results(sample(), tmp_path)["RES-04"]["steps"]
    assert (before["status"], subject["status"], after["status"]) == ("passed", "failed", "passed")
    assert [attempt["status"] for attempt in subject["steps"]] == ["passed", "failed", "failed"]
    assert "answered by decoy" in subject["steps"][1]["statusDetails"]["message"]
    assert [parameter["name"] for parameter in subject["steps"][0]["parameters"]] == [
        "curl",
        "caller's Envoy",
        "server in the world",
    ]


def test_yaml_and_evidence_are_attached_as_they_were(tmp_path: Path) -> None:
    ledger = sample()
    (case,) = [case for case in ledger.cases if case.id == "RES-04"]
    attached = {one["name"]: tmp_path / one["source"] for one in results(ledger, tmp_path)["RES-04"]["attachments"]}
    assert attached["applied 1"].read_text(encoding="utf-8") == case.applied[0]
    for name, text in case.evidence.items():
        assert attached[name].read_text(encoding="utf-8") == text


def test_history_is_the_versions_own(tmp_path: Path) -> None:
    ledger = sample()
    older = ledger.model_copy(update={"environment": ledger.environment.model_copy(update={"istio": "1.29.1"})})
    first, again = results(ledger, tmp_path / "a"), results(ledger, tmp_path / "b")
    other = results(older, tmp_path / "c")
    assert first["RES-01"]["historyId"] == again["RES-01"]["historyId"] != other["RES-01"]["historyId"]
    assert first["RES-01"]["testCaseId"] == other["RES-01"]["testCaseId"]


def test_the_environment_is_in_its_file(tmp_path: Path) -> None:
    write_allure(sample(), tmp_path)
    lines = (tmp_path / "environment.properties").read_text(encoding="utf-8").splitlines()
    assert "Istio = 1.31.0" in lines
    assert "Data.plane = envoy 1.39.3" in lines


def test_what_an_earlier_run_left_is_gone(tmp_path: Path) -> None:
    write_allure(sample(), tmp_path)
    results(sample(), tmp_path)  # counts them


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_shown_and_not_obeyed(text: str, tmp_path: Path) -> None:
    directory = tmp_path / "results"
    write_allure(hostile(text), directory)
    assert list(tmp_path.iterdir()) == [directory]  # a name in the ledger is never a path
    for path in directory.glob("*-result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        assert "<script" not in result["descriptionHtml"]
        assert "<img" not in result["descriptionHtml"]
        assert "\x1b" not in json.dumps(result, ensure_ascii=False)
    facts = (directory / "environment.properties").read_text(encoding="utf-8")
    assert len(facts.splitlines()) == 8
