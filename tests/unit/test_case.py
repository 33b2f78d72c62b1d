"""What a case declares, and what it may not leave out."""

from collections.abc import Callable
from typing import Any

import pytest

from egress_conformance.case import Case, Mode, Requirement, case


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
