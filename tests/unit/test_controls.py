"""What controls a case has, read from its code."""

from collections.abc import Callable
from typing import Any

import pytest

from egress_conformance.controls import controls_of


def plain(mesh: Any, request: Any) -> None:  # noqa: ANN401
    request.is_blocked()
    with mesh.apply("x.yaml"):
        request.reaches()
    request.is_blocked()


def in_a_scene(mesh: Any, request: Any, other: Any) -> None:  # noqa: ANN401
    with mesh.given("x.yaml"):
        request.reaches()
        with mesh.apply("y.yaml"):
            for each in (1, 2):
                request.reaches(each)
            other.is_blocked()


def turned_round(mesh: Any, request: Any) -> None:  # noqa: ANN401
    with mesh.outbound_traffic_policy("ALLOW_ANY"):
        request.reaches()
    request.is_blocked()


def refused(mesh: Any) -> None:  # noqa: ANN401
    mesh.refuses("x.yaml", twin="y.yaml", saying="z")


def none(request: Any) -> None:  # noqa: ANN401
    assert request


@pytest.mark.parametrize(
    ("case", "controls"),
    [
        (plain, "before, after"),
        (in_a_scene, "before, beside"),
        (turned_round, "after"),
        (refused, "twin before and after"),
        (none, ""),
    ],
)
def test_controls_are_the_checks_around_the_subject(case: Callable[..., None], controls: str) -> None:
    assert controls_of(case) == controls
