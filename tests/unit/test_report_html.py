"""report.html: whole, self-contained, safe, readable."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from egress_conformance.report.html import problems_of, render
from egress_conformance.report.ledger import Attempt, Ledger, Verdict
from egress_conformance.report.words import reason
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.sample_ledger import sample

VOID = {"meta", "link", "input"}
# The parser does not know SVG: these close themselves.
SELF_CLOSING = {"use", "path", "circle", "line"}
WORDS = """
html head title style body header main footer section h1 h2 h3 h4 p small b i strong code pre a span div ul ol li dl dt
dd details summary table caption thead tbody tr th td form fieldset legend label select option button output svg symbol
g text script
"""
ELEMENTS = VOID | SELF_CLOSING | set(WORDS.split())


class Page(HTMLParser):
    """A page taken apart; refuses one whose elements do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SELF_CLOSING
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text += data

    def cases(self) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag == "details" and "data-verdict" in attrs]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(sample()))


def test_it_says_what_came_of_the_run(page: Page) -> None:
    text = page.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Istio 1.31.0 on envoy 1.39.3: 2 failed, 1 inconclusive, 18 of 21 cases passed" in text
    assert "28 August 2026, 03:41 UTC, in 1 min 15 s" in text


def test_a_row_for_each_case_worst_first(page: Page) -> None:
    verdicts = [case["data-verdict"] for case in page.cases()]
    assert len(verdicts) == len(sample().cases)
    order = ["failed", "inconclusive", "passed", "skipped"]
    assert verdicts == sorted(verdicts, key=lambda verdict: order.index(verdict or ""))
    assert sum("data-emulated" in case for case in page.cases()) == 2


def test_a_case_says_everything_the_ledger_says(page: Page) -> None:
    said = " ".join(page.text.split())
    for case in sample().cases:
        checks = [text for check in case.witnesses for text in (check.expected, *check.envoy_counted)]
        attempts = [attempt for check in case.witnesses for attempt in check.attempts]
        saw = [line for attempt in attempts for line in (attempt.curl, *attempt.envoy, *attempt.server)]
        why = reason(case.reason)
        words = (case.id, case.statement, case.source, why.lead, *why.points, why.rest)
        for text in (*words, *checks, *saw, *case.applied):
            assert " ".join(text.split()) in said
        for name, text in case.evidence.items():
            assert name in said
            assert " ".join(text.split()) in said


def test_what_did_not_hold_is_open_and_what_held_before_is_not(page: Page) -> None:
    checks = [attrs for tag, attrs in page.elements if tag == "details" and "check" in (attrs["class"] or "")]
    assert all("open" in check for check in checks if "broke" in (check["class"] or ""))
    assert any("open" not in check for check in checks)


def test_it_needs_nothing_from_anywhere(page: Page) -> None:
    for tag, attrs in page.elements:
        assert tag in ELEMENTS
        assert "src" not in attrs
        assert (attrs.get("href") or "#").startswith(("#", "data:,")), attrs
    style = (files("egress_conformance.report") / "templates" / "report.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_the_browser_runs_the_packages_script_and_no_other() -> None:
    page = render(hostile("<script>alert(1)</script>"))
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    for directive, text in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_any_text_is_shown_and_not_obeyed(text: str, verdict: Verdict) -> None:
    rendered = render(hostile(text, verdict))
    page = Page(rendered)
    assert {tag for tag, _ in page.elements} <= ELEMENTS
    assert sum(tag == "script" for tag, _ in page.elements) == 1
    assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\ufffe]", rendered)


def test_the_plot_is_a_row_a_case_and_a_row_an_area_when_there_are_many() -> None:
    few, case = sample(), sample().cases[1]
    timed = [case.model_copy(update={"id": f"RES-{n:02}", "propagation_ms": 40.0 + n * n}) for n in range(130)]
    many = few.model_copy(update={"cases": timed})
    assert sum(case.propagation_ms is not None for case in few.cases) == render(few).count('class="stem"')
    assert render(many).count('<g class="dot') == 130
    assert 'class="stem"' not in render(many)
    assert "Every case, slowest first" in Page(render(many)).text


def test_a_run_of_nothing_makes_a_page() -> None:
    nothing = sample().model_copy(update={"cases": []})
    text = Page(render(nothing)).text
    assert "nothing was tried" in text
    assert "No case was run." in text
    assert "Propagation" not in text


def test_a_dump_too_long_for_a_page_is_cut_and_says_so() -> None:
    ledger = sample()
    case = ledger.cases[0].model_copy(update={"evidence": {"config dump": "x" * 300_000}})
    page = render(ledger.model_copy(update={"cases": [case]}))
    assert len(page) < 200_000
    assert "200000 more characters are in ledger.json" in page


def test_a_problem_is_put_to_its_witness() -> None:
    attempt = Attempt(
        curl="", envoy=[], server=[], agrees=False, problems=["envoy: no route: NR", "server silent: so it seems"]
    )
    assert problems_of(attempt) == {
        "curl": [],
        "envoy": ["no route: NR"],
        "server": [],
        "": ["server silent: so it seems"],
    }


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_colour_of_text_has_contrast(theme: int) -> None:
    style = (files("egress_conformance.report") / "templates" / "report.css").read_text(encoding="utf-8")
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})", re.findall(r":root \{(.*?)\}", style, re.DOTALL)[theme]))
    for ground in ("page", "raised"):
        for ink in ("ink", "quiet", "link", "passed", "failed", "inconclusive", "skipped", "emulated"):
            assert contrast(colours[ink], colours[ground]) >= 4.5, (ink, ground)
    assert contrast(colours["failed"], colours["wrong"]) >= 4.5
    assert contrast(colours["ink"], colours["wrong"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
        red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_nothing_but_the_ledger_is_needed(page: Page) -> None:
    assert isinstance(Ledger.model_validate_json(sample().model_dump_json(by_alias=True)), Ledger)
    assert render(Ledger.model_validate_json(sample().model_dump_json(by_alias=True))) == render(sample())


def test_a_row_of_a_table_is_told_by_what_is_its_own() -> None:
    ledger = sample()
    first = ledger.cases[0].model_copy(update={"id": "POL-12[allow-any-vip-http-tls]", "statement": "It MUST be so."})
    page = render(ledger.model_copy(update={"cases": [first]}))
    assert '<code class="id">POL-12</code>' in page
    assert '<span class="statement">allow any vip http tls' in page
    assert "<p>It MUST be so.</p>" in page
