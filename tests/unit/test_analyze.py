"""`istioctl analyze`: its JSON, of one namespace, and what is no result."""

import json

import pytest

from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.analyze import Finding, parse_findings

ROWS = [
    {"code": "IST0134", "level": "Warning", "origin": "ServiceEntry ns/b", "message": "no address"},
    {"code": "IST0128", "level": "Warning", "origin": "DestinationRule ns/c", "message": "not verified"},
    {"code": "IST0134", "level": "Warning", "origin": "ServiceEntry ns/a", "message": "no address"},
    {"code": "IST0102", "level": "Info", "origin": "Namespace ns", "message": "no injection"},
    {"code": "IST0134", "level": "Warning", "origin": "ServiceEntry other-ns/a", "message": "no address"},
    {"code": "IST0170", "level": "Warning", "message": "about nothing in particular"},
]


def test_what_is_found_in_a_namespace_is_told_in_order() -> None:
    assert parse_findings(json.dumps(ROWS), "", "ns") == [
        Finding("IST0128", "Warning", "DestinationRule ns/c", "not verified"),
        Finding("IST0134", "Warning", "ServiceEntry ns/a", "no address"),
        Finding("IST0134", "Warning", "ServiceEntry ns/b", "no address"),
    ]


def test_nothing_found_is_a_result() -> None:
    assert parse_findings("[]\n", "No validation issues found", "ns") == []


@pytest.mark.parametrize("text", ["", "Error: no cluster", '{"code": "x"}', '[{"level": "Info"}]'])
def test_what_is_no_result_is_the_platforms_trouble(text: str) -> None:
    said = r"istioctl analyze broken: it gave no result, but .* beside it .connection refused"
    with pytest.raises(PlatformTrouble, match=said):
        parse_findings(text, "connection refused\n", "ns")


def test_what_is_said_before_the_result_is_no_part_of_it() -> None:
    assert parse_findings("a request was throttled\n[]\n", "", "ns") == []
