"""junit.xml says what the ledger says, and is XML whatever the ledger says."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from egress_conformance.report.junit import write_junit
from egress_conformance.report.ledger import Ledger, Verdict
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.sample_ledger import sample


def written(ledger: Ledger, directory: Path) -> ET.Element:
    write_junit(ledger, directory / "junit.xml")
    return ET.parse(directory / "junit.xml").getroot()  # noqa: S314  (written a line above)


def properties(element: ET.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.attrib["value"] for one in element.findall("properties/property")}


def case(root: ET.Element, id_: str) -> ET.Element:
    (found,) = [one for one in root.iter("testcase") if one.attrib["name"].startswith(id_)]
    return found


@pytest.fixture
def root(tmp_path: Path) -> ET.Element:
    return written(sample(), tmp_path)


def test_a_suite_for_each_area_with_its_counts(root: ET.Element) -> None:
    ledger = sample()
    suites = {suite.attrib["name"]: suite for suite in root.findall("testsuite")}
    assert list(suites) == list(dict.fromkeys(case.area for case in ledger.cases))
    headers = suites["headers"].attrib
    assert (headers["tests"], headers["failures"], headers["errors"], headers["skipped"]) == ("6", "1", "0", "2")
    assert headers["timestamp"] == "2026-08-28T03:41:07+00:00"
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == (str(len(ledger.cases)), "3", "1")


def test_the_environment_is_in_the_properties(root: ET.Element) -> None:
    for suite in root.findall("testsuite"):
        assert properties(suite)["istio"] == "1.31.0"
        assert properties(suite)["data plane"] == "envoy 1.39.3"


def test_a_failure_says_why_with_the_witnesses(root: ET.Element) -> None:
    failed = case(root, "RES-04").find("failure")
    assert failed is not None
    assert failed.attrib["message"].startswith(
        "subject: it must be so that GET http://res-04.world.test/headers reaches site"
    )
    assert failed.text is not None
    assert "    ! curl: answered by decoy, expected site" in failed.text
    assert "blocked: 502 from the proxy: held after 31 ms, 3 attempts" in failed.text
    assert failed.text.count("decoy") == 4  # each said once, in the reason or of the attempt


def test_inconclusive_is_an_error_and_skipped_says_why(root: ET.Element) -> None:
    error = case(root, "TCP-05").find("error")
    assert error is not None
    assert error.attrib["type"] == "inconclusive"
    assert "client pod gone" in error.attrib["message"]
    skipped = case(root, "TEL-03").find("skipped")
    assert skipped is not None
    assert "needs Istio's own proxy build" in skipped.attrib["message"]


def test_a_case_carries_statement_source_and_whether_it_is_emulated(root: ET.Element) -> None:
    facts = properties(case(root, "HDR-01"))
    assert "送信元 Pod の metadata" in facts["statement"]
    assert "istio.io ServiceEntry.Resolution" in facts["source"]
    assert facts["emulated"].startswith("true")
    assert "emulated" not in properties(case(root, "HDR-04"))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_any_text_makes_valid_xml(text: str, verdict: Verdict, tmp_path: Path) -> None:
    root = written(hostile(text, verdict), tmp_path)
    assert len(list(root.iter("testcase"))) == 2
    assert {child.tag for one in root.iter("testcase") for child in one} <= {
        "properties",
        "failure",
        "error",
        "skipped",
    }


def test_control_characters_can_be_seen(tmp_path: Path) -> None:
    root = written(hostile("a\x00b\x1bc"), tmp_path)
    failure = next(root.iter("failure"))
    assert failure.attrib["message"] == "a␀b␛c"
