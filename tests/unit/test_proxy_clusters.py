"""How a sidecar was told to treat the connections of a cluster, as its config dump (Envoy 1.39) has it."""

import json
from typing import Any

from egress_conformance.mesh.proxy import Proxy

CLUSTER = "outbound|80||site.test"
DUMP: dict[str, Any] = {
    "configs": [
        {"cluster": {"name": "other", "circuit_breakers": {"thresholds": [{"max_requests": 7}]}}},
        {
            "cluster": {
                "name": CLUSTER,
                "circuit_breakers": {
                    "thresholds": [
                        {
                            "max_requests": 1,
                            "max_retries": 4294967295,
                            "track_remaining": True,
                            "retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 3},
                        }
                    ]
                },
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                        "common_http_protocol_options": {"idle_timeout": "0.300s", "max_requests_per_connection": 1}
                    }
                },
                "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 50}},
                "transport_socket": {"typed_config": {"sni": "site.test"}},
            }
        },
        {"cluster": {"name": "bare"}},
    ]
}


def proxy() -> Proxy:
    return Proxy(lambda path: json.dumps(DUMP) if "dynamic_active_clusters" in path else "{}")


def test_thresholds_and_the_retry_budget() -> None:
    found = proxy().thresholds(CLUSTER)
    assert found["max_requests"] == 1
    assert found["retry_budget.budget_percent"] == 20
    assert found["retry_budget.min_retry_concurrency"] == 3


def test_how_connections_are_kept() -> None:
    assert proxy().connection_options(CLUSTER) == {
        "idle_timeout": "0.300s",
        "max_requests_per_connection": 1,
        "keepalive_time": 50,
    }


def test_the_server_name_that_is_sent() -> None:
    assert proxy().sni(CLUSTER) == "site.test"


def test_a_cluster_that_says_nothing_or_is_not_there() -> None:
    for name in ("bare", "nowhere"):
        assert (proxy().thresholds(name), proxy().connection_options(name), proxy().sni(name)) == ({}, {}, "")
