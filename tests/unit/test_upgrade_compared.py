"""Ledgers of two stations held against each other, and what a compatibility version brought back."""

import json
from pathlib import Path

from egress_conformance.case import Requirement
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import CaseRecord, Verdict
from egress_conformance.upgrade.compared import compared
from egress_conformance.upgrade.compatibility import behaves_alike, changed, compatibility, settings
from tests.unit.data.two_ledgers import ledger, reaches, record
from tests.unit.fakes import FakeKube


def test_a_diff_is_kept_beside_the_report_and_its_changes_are_told(tmp_path: Path) -> None:
    old, new = ledger("1.29.1"), ledger("1.31", record(witnesses=[reaches(flags="UH")]))
    found = compared(("before", "old beside canary"), (old, new), Explanations(), tmp_path)
    assert (found.old, found.new, found.exit_code) == ("before", "old beside canary", 1)
    assert found.changes == ["RSL-01 envoy.flags: - → UH (changed behaviour; unexplained)"]
    assert found.file == "diffs/before-old-beside-canary.html"
    assert "envoy.flags" in (tmp_path / found.file).read_text(encoding="utf-8")
    written = json.loads((tmp_path / found.file).with_suffix(".json").read_text(encoding="utf-8"))
    assert written["outcome"] == found.outcome


def skipped(name: str, reason: str) -> CaseRecord:
    return record(name, Verdict.SKIPPED, reason=reason)


def test_what_two_istios_keep_from_being_tried_is_left_out_and_nothing_else(tmp_path: Path) -> None:
    old = ledger("1.29.1", record("RSL-01"), record("VAL-06"), record("DNS-03"), record("POL-07"))
    new = ledger(
        "1.29.1",
        record("RSL-01"),
        skipped("VAL-06", str(Requirement.ADMISSION)),
        skipped("DNS-03", str(Requirement.LEADER)),
        skipped("POL-07", str(Requirement.INSTALL)),
    )
    found = compared(("before", "beside"), (old, new), Explanations(), tmp_path)
    assert found.left_out == ["DNS-03", "VAL-06"]
    assert [change.partition(":")[0] for change in found.changes] == ["POL-07 verdict"]


def with_flags(name: str, flags: str, verdict: Verdict = Verdict.PASSED) -> CaseRecord:
    return record(name, verdict, witnesses=[reaches(flags=flags)])


def test_what_came_back_what_did_not_and_what_else_changed() -> None:
    before = ledger("1.29.1", *(with_flags(name, "-") for name in ("A-1", "B-1", "C-1", "D-1")))
    after = ledger(
        "1.31", *(with_flags(name, flags) for name, flags in zip(("A-1", "B-1", "C-1", "D-1"), "NNN-", strict=True))
    )
    compatible = ledger(
        "1.31",
        # A case that expects the new behaviour fails where the old one is back.
        with_flags("A-1", "-", Verdict.FAILED),
        with_flags("B-1", "N"),
        with_flags("C-1", "X", Verdict.FAILED),
        with_flags("D-1", "X"),
    )
    found = compatibility("1.29", ["X: - → 1"], before, after, compatible)
    assert found.came_back == ["A-1"]
    assert found.did_not == ["B-1", "C-1"]
    assert found.others == ["D-1"]
    assert found.settings == ["X: - → 1"]


def test_two_cases_behave_alike_by_the_checks_that_both_have() -> None:
    first, second = reaches(), reaches(request="GET http://other/", role="control after")
    whole, begun = record(witnesses=[first, second]), record(witnesses=[reaches(expected="something else")])
    assert behaves_alike(whole, begun)
    assert not behaves_alike(whole, record(witnesses=[reaches(flags="UH")]))
    assert not behaves_alike(whole, record(witnesses=[]))
    assert not behaves_alike(whole, None)


def istiod(**env: str) -> FakeKube:
    container = {"env": [{"name": "POD", "valueFrom": {}}, *({"name": k, "value": v} for k, v in env.items())]}
    metadata = {"name": "istiod", "namespace": "istio-system"}
    spec = {"template": {"spec": {"containers": [container]}}}
    mesh = "defaultConfig:\n  proxyMetadata: {A: '1'}\nrootNamespace: istio-system\n"
    return FakeKube().add(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**metadata, "name": "istio"}, "data": {"mesh": mesh}},
    )


def test_settings_are_those_of_istiod_and_of_its_mesh_config() -> None:
    assert settings(istiod(PILOT_X="false")) == {
        "PILOT_X": "false",
        "meshConfig.defaultConfig.proxyMetadata.A": "1",
        "meshConfig.rootNamespace": "istio-system",
    }
    assert changed({"A": "1", "B": "2"}, {"A": "1", "B": "3", "C": "4"}) == ["B: 2 → 3", "C: - → 4"]
