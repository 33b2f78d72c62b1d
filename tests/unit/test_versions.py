"""Versions of Istio, as releases, branches and builds name themselves."""

import itertools

import pytest

from egress_conformance.versions import Version

NUMBERS = {
    "1.28": (1, 28),
    "1.28.2": (1, 28, 2),
    "v1.28.2": (1, 28, 2),
    "1.28.2-distroless": (1, 28, 2),
    "1.31-20260827": (1, 31),
    "1.30-alpha.eed52ebb66ad": (1, 30),
    "1.30.0-rc.1": (1, 30, 0),
    "2": (2,),
}


@pytest.mark.parametrize(("text", "numbers"), NUMBERS.items())
def test_a_version_is_the_numbers_its_name_begins_with(text: str, numbers: tuple[int, ...]) -> None:
    assert Version.of(text).numbers == numbers


@pytest.mark.parametrize("text", ["latest", "master", "unknown", "", "sha256:1234", "-1.28"])
def test_a_name_without_numbers_is_the_newest_there_can_be(text: str) -> None:
    assert Version.of(text) > Version.of("99.99.99")
    assert Version.of(text) == Version.of("master")


ORDERED = ["1.9", "1.10", "1.28", "1.28.2", "1.28.10", "1.29", "1.31", "2.0"]


def test_versions_are_ordered_by_number_and_not_by_letter() -> None:
    assert sorted(sorted(ORDERED), key=Version.of) == ORDERED


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise(ORDERED)))
def test_each_is_earlier_than_the_next(earlier: str, later: str) -> None:
    one, other = Version.of(earlier), Version.of(later)
    assert one < other
    assert one <= other
    assert other > one
    assert other >= one
    assert one != other


def test_a_build_is_the_version_it_is_of() -> None:
    assert Version.of("1.28.2-debug") == Version.of("v1.28.2")
    assert len({Version.of("1.28.2"), Version.of("1.28.2-debug"), Version.of("1.28")}) == 2
    assert Version.of("1.28") != "1.28"


def test_a_branch_is_the_beginning_of_its_release() -> None:
    branch, first = Version.of("1.31-20260827"), Version.of("1.31.0")
    assert branch == first
    assert hash(branch) == hash(first)
    assert not branch < first
    assert branch < Version.of("1.31.1")


WITHIN = {
    ("1.29", "1.29"): True,
    ("1.29.0", "1.29"): True,
    ("1.29.7-debug", "1.29"): True,
    ("1.28.9", "1.29"): True,
    ("1.30", "1.29"): False,
    ("1.30.0", "1.29"): False,
    ("1.29", "1.29.1"): True,
    ("1.29.1", "1.29.1"): True,
    ("1.29.2", "1.29.1"): False,
    ("1.29.10", "1.29.9"): False,
    ("latest", "1.29"): False,
}


@pytest.mark.parametrize(("text", "last"), WITHIN)
def test_patches_of_a_release_are_within_it(text: str, last: str) -> None:
    assert Version.of(text).within(last) == WITHIN[text, last]


def test_a_version_reads_as_its_numbers() -> None:
    assert repr(Version.of("v1.28.2-debug")) == "1.28.2"
