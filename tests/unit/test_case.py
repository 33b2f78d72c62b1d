"""What a case declares, and what it may not leave out."""

from collections.abc import Callable
from typing import Any

import pytest

from egress_conformance.case import Case, Mode, Requirement, Row, case, rows


def marks(function: Callable[..., None]) -> dict[str, pytest.Mark]:
    return {mark.name: mark for mark in getattr(function, "pytestmark", [])}


def declared(**how: Any) -> Case:  # noqa: ANN401
    @case("TST-01", source="somewhere", **how)
    def test_that_this_is_so() -> None:
        """It MUST be so.

        The rest explains.
        """

    found: Case = marks(test_that_this_is_so)["case"].args[0]
    return found


def test_a_case_is_told_by_its_decorator_its_name_and_its_docstring() -> None:
    assert declared() == Case(
        id="TST-01",
        source="somewhere",
        mode=Mode.REGISTRY_ONLY,
        flips=False,
        requires=(),
        title="that this is so",
        statement="It MUST be so.",
    )


def test_a_case_may_ask_for_another_mode_to_be_alone_and_for_more() -> None:
    found = declared(mode=Mode.ALLOW_ANY, flips=True, requires=(Requirement.TRACER,))
    assert (found.mode, found.flips, found.requires) == (Mode.ALLOW_ANY, True, (Requirement.TRACER,))


def test_a_case_may_say_which_versions_it_is_about_and_how_it_is_proved() -> None:
    table = {"1.28": "empty", "1.30": "gone"}
    found = declared(since="1.28", until="1.31", by_version=table, subject_is_mode=True)
    assert (found.since, found.until, found.by_version, found.subject_is_mode) == ("1.28", "1.31", table, True)
    assert declared(unprovable="there is nothing to withhold").unprovable == "there is nothing to withhold"


def test_a_case_is_about_all_versions_and_provable_unless_it_says_otherwise() -> None:
    found = declared()
    assert (found.since, found.until, dict(found.by_version)) == ("", "", {})
    assert (found.subject_is_mode, found.unprovable) == (False, "")


OUTSIDE = {
    "no bounds": ({}, "1.28.2", ""),
    "before the first": ({"since": "1.30"}, "1.29.1", "promised since Istio 1.30; this is 1.29.1"),
    "the first": ({"since": "1.30"}, "1.30.0", ""),
    "a snapshot of the first's branch": ({"since": "1.31"}, "1.31-20260827", ""),
    "a snapshot of a branch, before the patch": (
        {"since": "1.31.2"},
        "1.31-20260827",
        "promised since Istio 1.31.2; this is 1.31-20260827",
    ),
    "the last": ({"until": "1.29"}, "1.29", ""),
    "a patch of the last": ({"until": "1.29"}, "1.29.7", ""),
    "after the last": ({"until": "1.29"}, "1.30.0", "promised until Istio 1.29; this is 1.30.0"),
    "between": ({"since": "1.28", "until": "1.29"}, "1.28.2", ""),
    "below both": ({"since": "1.28", "until": "1.29"}, "1.27.9", "promised since Istio 1.28; this is 1.27.9"),
    "above both": ({"since": "1.28", "until": "1.29"}, "1.31.0", "promised until Istio 1.29; this is 1.31.0"),
    "a build without a number, which is the newest": (
        {"until": "1.31"},
        "latest",
        "promised until Istio 1.31; this is latest",
    ),
}


@pytest.mark.parametrize(("bounds", "istio", "why"), OUTSIDE.values(), ids=OUTSIDE)
def test_a_case_says_nothing_of_versions_out_of_its_range(bounds: dict[str, str], istio: str, why: str) -> None:
    assert declared(**bounds).out_of_range(istio) == why


TABLE = {"1.30": "gone", "1.9": "there", "1.29.1": "empty"}


@pytest.mark.parametrize(
    ("istio", "expected"),
    [
        ("1.9", "there"),
        ("1.28.2", "there"),
        ("1.29.0", "there"),
        ("1.29.1", "empty"),
        ("1.29.7-debug", "empty"),
        ("1.30", "gone"),
        ("1.31-20260827", "gone"),
        ("latest", "gone"),
    ],
)
def test_what_is_expected_is_what_the_last_row_up_to_this_version_says(istio: str, expected: str) -> None:
    assert declared(by_version=TABLE).expected(istio) == expected


@pytest.mark.parametrize(("table", "istio"), [(TABLE, "1.8.6"), ({}, "1.31.0")])
def test_a_table_that_begins_later_says_nothing(table: dict[str, str], istio: str) -> None:
    with pytest.raises(KeyError, match=f"TST-01 says nothing of Istio {istio}: its table begins later"):
        declared(by_version=table).expected(istio)


def test_each_mode_has_an_opposite() -> None:
    assert {mode: mode.other for mode in Mode} == {
        Mode.REGISTRY_ONLY: Mode.ALLOW_ANY,
        Mode.ALLOW_ANY: Mode.REGISTRY_ONLY,
        # It lets everything out too, so it is blocking everything that is its opposite.
        Mode.ALLOW_ANY_DYNAMIC_DNS: Mode.REGISTRY_ONLY,
    }


def test_the_statement_is_the_first_sentence_in_one_line() -> None:
    @case("TST-01", source="x")
    def test_long() -> None:
        """With v1.31 of a thing the host
        a.b.test MUST be reached.  Then this is no longer the statement."""

    assert marks(test_long)["case"].args[0].statement == "With v1.31 of a thing the host a.b.test MUST be reached."


def test_only_a_case_of_the_articles_is_marked_so() -> None:
    @case("TST-01", source="x", article=True)
    def test_of_the_article() -> None:
        """It MUST be so."""

    @case("TST-02", source="x")
    def test_of_ours() -> None:
        """It MUST be so."""

    assert "article" in marks(test_of_the_article)
    assert "article" not in marks(test_of_ours)


@pytest.mark.parametrize("id_", ["POL-01", "HTTP-12", "RES-04b"])
def test_a_well_formed_id(id_: str) -> None:
    case(id_, source="x")


@pytest.mark.parametrize("id_", ["", "POL-1", "pol-01", "POL_01", "PO-01", "POLIC-01", "POL-001", "POL-01B", "POL-01 "])
def test_a_malformed_id_is_refused(id_: str) -> None:
    with pytest.raises(ValueError, match="write it like POL-01"):
        case(id_, source="x")


def no_docstring() -> None:
    pass


def no_sentence() -> None:
    """Something happens."""


def too_late() -> None:
    """Something happens. It MUST happen."""


def only_part_of_a_word() -> None:
    """It MUSTn't matter."""


@pytest.mark.parametrize("function", [no_docstring, no_sentence, too_late, only_part_of_a_word])
def test_a_case_whose_first_sentence_promises_nothing_is_refused(function: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="case TST-01: the docstring's first sentence must say what MUST happen"):
        case("TST-01", source="x")(function)


def test_a_row_has_a_key_a_mode_and_a_subject_of_its_own() -> None:
    row = declared().of_row(Row("in-a-row", Mode.ALLOW_ANY, subject_is_mode=True, scene="s"))
    assert (row.id, row.key, row.title) == ("TST-01", "TST-01[in-a-row]", "that this is so: in a row")
    assert (row.mode, row.mode_in_force(withheld=True)) == (Mode.ALLOW_ANY, Mode.REGISTRY_ONLY)
    assert (row.scene, row.scene_in_force(withheld=True)) == ("s", "s")
    assert declared().key == "TST-01"


def test_a_row_that_is_not_about_its_mode_is_about_its_scene() -> None:
    row = declared().of_row(Row("in-a-row", scene="s"))
    assert row.mode == row.mode_in_force(withheld=True) == Mode.REGISTRY_ONLY
    assert (row.scene_in_force(withheld=False), row.scene_in_force(withheld=True)) == ("s", "")


def test_rows_are_parameters_named_after_them() -> None:
    mark = rows([Row("a"), Row("b")]).mark
    assert [parameter.id for parameter in mark.args[1]] == ["a", "b"]
