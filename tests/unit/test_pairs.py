"""Checks of two runs side by side."""

from egress_conformance.report.ledger import Check
from egress_conformance.report.pairs import paired
from tests.unit.data.two_ledgers import fact, reaches


def names(old: list[Check], new: list[Check]) -> list[tuple[str, str]]:
    return [
        (before.observed.expected if before else "", after.observed.expected if after else "")
        for before, after in paired(old, new)
    ]


def test_the_same_checks_stand_side_by_side() -> None:
    checks = [reaches(expected="a"), reaches(expected="b")]
    assert names(checks, checks) == [("a", "a"), ("b", "b")]


def test_one_more_pushes_nothing_out_of_step() -> None:
    checks = [fact("a", "1"), fact("c", "1")]
    more = [fact("a", "1"), fact("b", "1"), fact("c", "1")]
    assert names(checks, more) == [("a", "a"), ("", "b"), ("c", "c")]
    assert names(more, checks) == [("a", "a"), ("b", ""), ("c", "c")]


def test_the_same_request_is_held_against_itself_whatever_is_expected_of_it() -> None:
    old = [reaches(expected="a"), reaches("GET /x", expected="hidden"), reaches(expected="z")]
    new = [reaches(expected="a"), reaches("GET /x", expected="known"), reaches(expected="z")]
    assert names(old, new) == [("a", "a"), ("hidden", "known"), ("z", "z")]


def test_other_requests_stand_alone() -> None:
    assert names([reaches("GET /x", expected="x")], [reaches("GET /y", expected="y")]) == [("x", ""), ("", "y")]


def test_a_control_is_no_subject() -> None:
    assert names([reaches(role="control before", expected="a")], [reaches(expected="a")]) == [("a", ""), ("", "a")]
