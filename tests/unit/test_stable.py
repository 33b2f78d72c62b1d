"""What differs from run to run, and the words for it."""

import pytest

from egress_conformance.traffic.stable import Stable

NAMES = {"10.244.0.4": "alpha", "10.244.0.5": "beta", "10.244.0.30": "client"}

TEXTS = {
    "GET http://rsl-01-a1b2c3.world.test/headers": "GET http://rsl-01.world.test/headers",
    "outbound|80||hdr-07a-0f0f0f.world.test": "outbound|80||hdr-07a.world.test",
    "vip-pol-12-a1b2c3.world.test:8080": "vip-pol-12.world.test:8080",
    "*.res-07-a1b2c3.world.test": "*.res-07.world.test",
    "dialling 10.244.0.4": "dialling alpha",
    "to 10.244.0.5:80": "to beta:80",
    "from 10.244.0.30:52904": "from client:*",
    "to 10.96.7.1:15443": "to <address>:15443",
    "10.244.0.0/16": "<address>/16",
    "/headers?attempt=n3ffc5af7df-395": "/headers?attempt=<nonce>",
    "id 7d8e8e3c-3d3f-9d8e-8f0c-2f6c5a0f9d1b": "id <uuid>",
    "at 2026-08-28T03:41:07.123Z": "at <time>",
    "client.egress-rab12cd-gw3": "client.egress",
    "egress-rab12cd-gw3-other": "egress-other",
    "egress-rab12cd-main-a": "egress-a",
    "egress-rab12cd-second-0f1e": "egress",
    "istio-egressgateway-6b9f4d7c8d-x2x7k": "istio-egressgateway-<pod>",
    # What is the same each time stays.
    "502 from the proxy": "502 from the proxy",
    "x-envoy-attempt-count: 3": "x-envoy-attempt-count: 3",
    "egress-conformance": "egress-conformance",
    "Envoy 1.39.3": "Envoy 1.39.3",
    "upstream_reset_before_response_started{connection_termination}": (
        "upstream_reset_before_response_started{connection_termination}"
    ),
}


@pytest.mark.parametrize(("text", "stable"), TEXTS.items())
def test_what_is_random_has_a_word(text: str, stable: str) -> None:
    assert Stable(NAMES).text(text) == stable


def test_further_hosts_of_a_case_are_numbered_as_they_are_seen() -> None:
    stable = Stable()
    assert stable.text("dns-05-aaaaaa.world.test and dns-05-bbbbbb.world.test") == (
        "dns-05.world.test and dns-05-2.world.test"
    )
    assert stable.text("dns-05-aaaaaa.world.test") == "dns-05.world.test"


def test_a_server_is_called_by_its_role_where_another_run_may_have_another_one_for_it() -> None:
    stable = Stable(NAMES)
    stable.call("beta", "in-range")
    assert stable.text("dialling 10.244.0.5, answered by beta, alphabeta and alpha") == (
        "dialling in-range, answered by in-range, alphabeta and alpha"
    )


@pytest.mark.parametrize("listed", ["{}, {}", "['{}', '{}']", "{},{}", "'{}:80', '{}:80'"])
def test_a_list_of_addresses_is_in_one_order_whatever_their_numbers_are(listed: str) -> None:
    told = {
        Stable(NAMES).text(listed.format(*pair))
        for pair in (("10.244.0.4", "10.244.0.5"), ("10.244.0.5", "10.244.0.4"))
    }
    assert told == {listed.format("alpha", "beta")}


def test_values_keep_their_shape() -> None:
    value = {"rsl-01-a1b2c3.world.test": ["10.244.0.4", 3, None, True], "set": {"b", "a"}, "pair": ("x", "y")}
    assert Stable(NAMES).value(value) == {
        "rsl-01.world.test": ["alpha", 3, None, True],
        "set": ["a", "b"],
        "pair": ["x", "y"],
    }
