"""Why two runs may differ: what comes with the suite, what a team allows, and for how long."""

import datetime
from pathlib import Path

import pytest

from egress_conformance.errors import UserError
from egress_conformance.report.explain import Allowance, Changed, Explanation, Explanations, allowed, reviewed

TODAY = datetime.date(2026, 11, 25)
SAYS = {"says": "Envoy 1.37 sets it earlier.", "source": "Envoy 1.37 release notes"}


def changed(**changes: object) -> Changed:
    words = {
        "case": "HDR-07c",
        "observation": "server.headers.x-envoy-attempt-count",
        "old": "1.28.2",
        "new": "1.29.1",
        "declared": False,
        "statement": "It MUST.",
        "source": "a source",
    }
    return Changed(**{**words, **changes})  # type: ignore[arg-type]


def explanation(**changes: str) -> Explanation:
    words = {"case": "HDR-07c", "observation": "server.headers.*", "since": "1.29", **SAYS}
    return Explanation(**{**words, **changes})


def allowance(**changes: object) -> Allowance:
    words = {"case": "HDR-07c", "observation": "*", "expires": TODAY, "who": "the mesh team", "why": "ticket 7"}
    return Allowance(**{**words, **changes})  # type: ignore[arg-type]


def explains(entry: Explanation | Allowance, change: Changed) -> bool:
    reviews = [entry] if isinstance(entry, Explanation) else []
    return Explanations(reviews, [entry] if isinstance(entry, Allowance) else [], TODAY).of(change) is not None


def test_an_explanation_is_for_a_change_into_its_versions_or_out_of_them() -> None:
    entry = explanation()
    assert explains(entry, changed())
    assert explains(entry, changed(old="1.31-20260827", new="1.28.2"))
    assert not explains(entry, changed(old="1.29.1", new="1.31"))
    assert not explains(entry, changed(old="1.28.1", new="1.28.2"))
    ended = explanation(until="1.30")
    assert explains(ended, changed(old="1.30.4", new="1.31"))
    assert not explains(ended, changed(old="1.28.2", new="1.31"))


@pytest.mark.parametrize(
    ("case", "observation", "fits"),
    [
        ("HDR-07c", "server.headers.x-envoy-attempt-count", True),
        ("HDR-*", "*", True),
        ("HDR-07", "*", False),
        ("HDR-07c", "envoy.*", False),
        ("HDR-07c", "server.headers", False),
    ],
)
def test_it_names_case_and_observation_by_patterns(case: str, observation: str, fits: bool) -> None:
    assert explains(explanation(case=case, observation=observation), changed()) is fits


def test_the_id_of_a_table_stands_for_all_its_rows_and_a_row_for_itself() -> None:
    row = changed(case="POL-12[registry-only-vip-tls]")
    assert explains(explanation(case="POL-12"), row)
    assert explains(explanation(case="POL-12[registry-only-*]"), row)
    assert explains(explanation(case="POL-12[registry-only-vip-tls]"), row)
    assert not explains(explanation(case="POL-12[allow-any-*]"), row)


def test_without_versions_it_says_where_the_table_of_a_case_shows_and_the_case_the_rest() -> None:
    entry = Explanation(case="HDR-07c", observation="server.headers.*")
    found = Explanations([entry]).of(changed(declared=True))
    assert found is not None
    assert (found.by, found.says, found.source) == ("the case", "It MUST.", "a source")
    assert not explains(entry, changed())


def test_a_case_explains_its_own_verdict_and_table() -> None:
    nothing = Explanations()
    for observation in ("verdict", "by_version"):
        assert nothing.of(changed(observation=observation, declared=True))
        assert nothing.of(changed(observation=observation)) is None
    assert nothing.of(changed(declared=True)) is None


@pytest.mark.parametrize("missing", ["since", "says", "source"])
def test_half_an_explanation_is_none(missing: str) -> None:
    with pytest.raises(ValueError, match="needs since or until, says and source, or none of them"):
        explanation(**{missing: ""})


def test_an_allowance_holds_to_its_last_day() -> None:
    held = Explanations(allowed=[allowance()], today=TODAY)
    found = held.of(changed())
    assert found is not None
    assert (found.by, found.says) == ("allowance", "ticket 7 (allowed by the mesh team until 2026-11-25)")
    over = Explanations(allowed=[allowance()], today=TODAY + datetime.timedelta(days=1))
    assert over.of(changed()) is None
    assert over.expired(changed()) == "allowed by the mesh team until 2026-11-25, which is over: ticket 7"
    assert over.expired(changed(case="HDR-01")) == ""


def test_an_allowance_may_be_for_some_versions() -> None:
    assert explains(allowance(since="1.29"), changed())
    assert not explains(allowance(since="1.31"), changed())


def test_a_verdict_is_allowed_only_by_name() -> None:
    assert not explains(allowance(), changed(observation="verdict"))
    assert explains(allowance(observation="verdict"), changed(observation="verdict"))
    # By a team, that is: no review makes up for a promise that is broken.
    assert not explains(explanation(observation="verdict"), changed(observation="verdict"))


def test_allowances_are_read(tmp_path: Path) -> None:
    file = tmp_path / "allow.yaml"
    file.write_text(
        "- case: HDR-07c\n  observation: envoy.flags\n  since: '1.31'\n  expires: 2026-12-31\n  who: me\n  why: ours\n"
    )
    (entry,) = allowed(file)
    assert (entry.case, entry.since, entry.expires) == ("HDR-07c", "1.31", datetime.date(2026, 12, 31))
    file.write_text("# nothing yet\n")
    assert allowed(file) == []


WHOLE = "- {case: HDR-07c, observation: a, expires: 2026-12-31, who: me, why: ours"
BROKEN = {
    "- case: [": "is no YAML",
    "case: HDR-07c": "it: Input should be a valid list",
    f"{WHOLE}}}\n- {{case: HDR-07c}}": "entry 2, observation: Field required",
    f"{WHOLE}, since: 1.30}}": "entry 1, since: Input should be a valid string: put versions in quotes",
    f"{WHOLE}, since: next}}": "entry 1, since: String should match pattern",
    f"{WHOLE}, expiry: 2026-12-31}}": "entry 1, expiry: Extra inputs are not permitted",
    WHOLE.replace("why: ours", "why: ' '") + "}": "entry 1, why: String should have at least 1 character",
    WHOLE.replace("2026-12-31", "soon") + "}": "entry 1, expires: Input should be a valid date",
}


@pytest.mark.parametrize(("text", "problem"), BROKEN.items())
def test_broken_allowances_are_one_clear_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "allow.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        allowed(file)
    said = str(raised.value)
    assert said.startswith(str(file))
    assert problem in said
    assert "\n" not in said


def test_a_file_that_is_not_there_is_one_too(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        allowed(tmp_path / "none.yaml")


def test_the_explanations_that_come_with_the_suite_are_whole() -> None:
    reviewed()
