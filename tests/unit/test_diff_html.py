"""The pages of a diff and of a matrix: whole, self-contained, safe."""

import base64
import hashlib
import re

import pytest

from egress_conformance.report.compare import compare
from egress_conformance.report.diff_html import render_diff, render_matrix
from egress_conformance.report.explain import Explanations
from egress_conformance.report.ledger import Ledger, Verdict
from egress_conformance.report.matrix import matrix
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.two_ledgers import ledger, reaches, record
from tests.unit.test_report_html import ELEMENTS, Page


def page(old: Ledger, new: Ledger) -> str:
    return render_diff(compare(old, new, Explanations()), old, new)


def changed() -> str:
    rows = [f"POL-12[row-{number}]" for number in range(3)]
    old = [record(), record("POL-01"), *map(record, rows)]
    new = [
        record(witnesses=[reaches(flags="UH")], propagation_ms=7000),
        record("POL-01", Verdict.FAILED),
        *(record(row, Verdict.SKIPPED, until="1.30") for row in rows),
    ]
    return page(ledger("1.29.1", *old), ledger("1.31", *new))


def test_the_two_stand_side_by_side() -> None:
    text = re.sub(r"\s+", " ", Page(changed()).text)
    assert "Istio 1.29.1 on envoy 1.39.3 → Istio 1.31 on envoy 1.39.3" in text
    assert "envoy.flags" in text
    assert "unexplained" in text
    assert "POL-12, 3 rows" in text
    assert "POL-12[row-2]" in text
    assert "curl: 200, server: envoy" in text
    assert "late (7.00 s)" in text


def test_nothing_changed_is_said() -> None:
    assert "Nothing changed." in Page(page(ledger(), ledger())).text


def matrix_of(*ledgers: Ledger) -> str:
    return render_matrix(matrix(ledgers, ["a"] * len(ledgers), Explanations()))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("shape", ["diff", "matrix"])
def test_what_ledgers_say_is_shown_and_not_obeyed(text: str, shape: str) -> None:
    old, new = hostile(text, Verdict.PASSED), hostile(text, Verdict.FAILED)
    told = Page(page(old, new) if shape == "diff" else matrix_of(old, new))
    assert {tag for tag, _ in told.elements} <= ELEMENTS - {"script"}
    for _, attributes in told.elements:
        assert not any(name.startswith("on") or name in {"src", "action"} for name in attributes)


@pytest.mark.parametrize("text", [changed(), matrix_of(ledger(), ledger("1.31"))])
def test_they_load_nothing_and_run_nothing(text: str) -> None:
    told = Page(text)
    assert "script" not in {tag for tag, _ in told.elements}
    assert {attributes["href"] for tag, attributes in told.elements if tag == "link"} == {"data:,"}
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in text


def test_a_matrix_has_a_column_for_each_ledger() -> None:
    text = re.sub(r"\s+", " ", Page(matrix_of(ledger("1.28.2"), ledger("1.29.1"), ledger("1.31"))).text)
    assert "Istio 1.28.2" in text
    assert "Istio 1.31" in text
    assert "RSL-01 MUST hold." in text
