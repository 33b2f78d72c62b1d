"""The page of an upgrade: whole, self-contained, safe."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from egress_conformance.report.schema import UPGRADE
from egress_conformance.report.upgrade import Series, Upgrade
from egress_conformance.report.upgrade_html import HEIGHT, render, ticks, track
from tests.unit.data.an_upgrade import DESTINATIONS, upgrade
from tests.unit.data.hostile_ledger import HOSTILE
from tests.unit.test_report_html import ELEMENTS, Page


def test_all_of_it_is_there() -> None:
    text = re.sub(r"\s+", " ", Page(render(upgrade("what Envoy says"))).text)
    for words in (
        "Istio 1.29.1 → 1.31-20260827 under traffic",
        "3 clients with sidecars",
        "This must be known.",
        "It MUST be so.",
        "what is done in move to canary",
        "1 by the load",
        "what Envoy says",
        "Unable to connect: refused",
        "before → after: 1 unexplained change",
        "RES-01 envoy.flags: - → UH",
        "as two Istios were there: VAL-06",
        "compatibilityVersion 1.29",
        "PILOT_X: - → false",
        "istio-validator-istio-system: istiod 1.29.1",
        "istiod ready",
        *DESTINATIONS,
    ):
        assert words in text, words


def test_one_in_which_nothing_happened_makes_a_page() -> None:
    bare = upgrade(segments=[], events=[], lost_requests=0, lost=[], comparisons=[], compatibility=None, notes=[])
    text = Page(render(bare)).text
    assert "No two ledgers to compare." in text
    assert "None." in text


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_shown_and_not_obeyed(text: str) -> None:
    told = Page(render(upgrade(text)))
    assert {tag for tag, _ in told.elements} <= (ELEMENTS - {"script"}) | {"rect"}
    for _, attributes in told.elements:
        assert not any(name.startswith("on") or name in {"src", "action"} for name in attributes)


def test_it_loads_nothing_and_runs_nothing() -> None:
    text = render(upgrade())
    told = Page(text)
    assert "script" not in {tag for tag, _ in told.elements}
    links = {str(attributes["href"]) for tag, attributes in told.elements if tag in {"a", "link"}}
    assert not any(":" in link.removeprefix("data:,") or link.startswith("/") for link in links)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in text


def test_a_destination_is_drawn_as_a_bar_a_bucket() -> None:
    found = track(Series(destination="x", registered=True, slowest_ms=[1.0, None, 1e4], lost=[0, 2, 0]), 10, 30)
    assert found.slowest == f"M0.0 {HEIGHT}v-1.0h333.3v1.0zM666.7 {HEIGHT}v-{HEIGHT}.0h333.3v{HEIGHT}.0z"
    assert found.lost == f"M333.3 {HEIGHT}v-{HEIGHT}.0h333.3v{HEIGHT}.0z"
    assert found.note == "2 requests lost, slowest 10 s"


@pytest.mark.parametrize("seconds", [0, 5, 90, 1700, 20_000])
def test_the_axis_has_a_handful_of_times(seconds: float) -> None:
    found = ticks(seconds)
    assert 1 <= len(found) <= 11
    assert found[0] == (0, "0")


def test_it_is_written_and_read_as_its_schema_says(tmp_path: Path) -> None:
    made = upgrade("x")
    made.write(tmp_path / "upgrade.json")
    assert Upgrade.read(tmp_path / "upgrade.json") == made
    written = json.loads((tmp_path / "upgrade.json").read_text(encoding="utf-8"))
    Draft202012Validator(UPGRADE.schema()).validate(written)
    changes: tuple[dict[str, object], ...] = ({"schema": "another/v1"}, {"extra": 1}, {"segments": [{}]})
    for change in changes:
        with pytest.raises(ValidationError):
            Draft202012Validator(UPGRADE.schema()).validate(written | change)
