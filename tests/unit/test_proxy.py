"""What a sidecar's admin port says, made into typed values; the answers are shaped as Envoy 1.39 gives them."""

import json
from typing import Any

import pytest

from egress_conformance.case import Mode
from egress_conformance.errors import Timeout
from egress_conformance.mesh.proxy import Proxy, parse_stats
from tests.unit.fakes import Clock

HOST = "site.world.test"
CLUSTER = f"outbound|80||{HOST}"


def proxy(**answers: Any) -> Proxy:  # noqa: ANN401
    """A proxy whose admin port knows these paths, by their first word."""
    pages = {path: said if isinstance(said, str) else json.dumps(said) for path, said in answers.items()}

    def admin(path: str) -> str:
        assert path.startswith("/")
        known = [said for word, said in pages.items() if word in path]
        assert len(known) == 1, f"nobody said what {path} answers"
        return known[0]

    return Proxy(admin)


def host_status(address: str, **health: object) -> dict[str, Any]:
    socket = {"address": address, "port_value": 80}
    return {"address": {"socket_address": socket}, "stats": [], "health_status": health, "weight": 1}


CLUSTERS = {
    "cluster_statuses": [
        {"name": "BlackHoleCluster"},
        {
            "name": CLUSTER,
            "host_statuses": [
                host_status("10.0.0.1", eds_health_status="HEALTHY"),
                host_status("10.0.0.2", eds_health_status="UNHEALTHY", failed_outlier_check=True),
            ],
        },
        {"name": f"outbound|443||{HOST}", "host_statuses": [host_status("10.0.0.3")]},
        {"name": f"outbound|80||other.{HOST}", "host_statuses": [host_status("10.0.0.4")]},
        {"name": "agent", "host_statuses": [{"address": {"pipe": {"path": "/x"}}, "health_status": {}}]},
    ]
}


def test_endpoints_are_listed_as_istioctl_does() -> None:
    assert [str(endpoint) for endpoint in proxy(clusters=CLUSTERS).endpoints(HOST)] == [
        f"10.0.0.1:80  HEALTHY  OK  {CLUSTER}",
        f"10.0.0.2:80  UNHEALTHY  FAILED  {CLUSTER}",
        f"10.0.0.3:80  HEALTHY  OK  outbound|443||{HOST}",
    ]
    assert proxy(clusters=CLUSTERS).endpoints("nowhere.test") == []
    assert proxy(clusters={}).endpoints(HOST) == []


DYNAMIC_CLUSTERS = {
    "configs": [
        {"cluster": {"name": "BlackHoleCluster"}},
        {"cluster": {"name": "PassthroughCluster", "type": "ORIGINAL_DST"}},
        {"cluster": {"name": CLUSTER, "type": "STRICT_DNS"}},
    ]
}


def test_clusters_have_types() -> None:
    assert proxy(dynamic_active_clusters=DYNAMIC_CLUSTERS).clusters(HOST) == {CLUSTER: "STRICT_DNS"}
    assert proxy(dynamic_active_clusters=DYNAMIC_CLUSTERS).clusters() == {
        "BlackHoleCluster": "STATIC",
        "PassthroughCluster": "ORIGINAL_DST",
        CLUSTER: "STRICT_DNS",
    }
    assert proxy(dynamic_active_clusters={}).clusters() == {}


def listener(name: str, port: int) -> dict[str, Any]:
    return {"name": name, "local_address": {"socket_address": {"address": "10.0.0.9", "port_value": port}}}


LISTENERS = {
    "listener_statuses": [
        listener("10.0.0.9_80", 80),
        listener("virtualOutbound", 15001),
        {"name": "inner", "local_address": {"envoy_internal_address": {"server_listener_name": "inner"}}},
    ]
}


def test_listeners_inside_envoy_have_no_address() -> None:
    assert proxy(listeners=LISTENERS).listeners() == {"10.0.0.9_80": "10.0.0.9:80", "virtualOutbound": "10.0.0.9:15001"}


ROUTES = {
    "configs": [
        {
            "route_config": {
                "name": "80",
                "virtual_hosts": [
                    {"name": f"{HOST}:80", "domains": [HOST, f"{HOST}."]},
                    {"name": "block_all", "domains": ["*"]},
                ],
            }
        },
        {"route_config": {"name": "9411"}},
    ]
}


def test_routes_are_those_that_name_the_host() -> None:
    assert proxy(dynamic_route_configs=ROUTES).routes(HOST) == [f"80: {HOST}:80 -> {HOST}, {HOST}."]
    assert proxy(dynamic_route_configs=ROUTES).routes("nowhere.test") == []


def virtual_outbound(cluster: str, *, default: bool = False) -> dict[str, Any]:
    """The listener of unmatched connections; port 15001 itself is always black-holed."""

    def chain(name: str, to: str) -> dict[str, Any]:
        return {"name": name, "filters": [{"typed_config": {"stat_prefix": to, "cluster": to}}]}

    catchall = chain("virtualOutbound-catchall-tcp", cluster)
    blackhole = chain("virtualOutbound-blackhole", "BlackHoleCluster")
    chains = (
        {"filter_chains": [blackhole], "default_filter_chain": catchall}
        if default
        else {"filter_chains": [blackhole, catchall]}
    )
    return {"configs": [{"name": "virtualOutbound", "active_state": {"listener": chains}}]}


@pytest.mark.parametrize("default", [False, True], ids=["a chain among others", "the default chain"])
@pytest.mark.parametrize(
    ("cluster", "mode"),
    [
        ("PassthroughCluster", Mode.ALLOW_ANY),
        ("BlackHoleCluster", Mode.REGISTRY_ONLY),
        ("AllowAnyDynamicDNSCluster", Mode.ALLOW_ANY_DYNAMIC_DNS),
        ("somewhere-else", None),
    ],
)
def test_the_mode_is_where_unmatched_connections_go(cluster: str, mode: Mode | None, default: bool) -> None:
    assert proxy(virtualOutbound=virtual_outbound(cluster, default=default)).mode() == mode


def test_dynamic_dns_is_told_from_allow_any_which_it_has_for_tls_and_tcp() -> None:
    dump = virtual_outbound("PassthroughCluster", default=True)
    chain = {"name": "virtualOutbound-catchall-tcp-http", "filters": [{"cluster": "AllowAnyDynamicDNSCluster"}]}
    dump["configs"][0]["active_state"]["listener"]["filter_chains"].append(chain)
    assert proxy(virtualOutbound=dump).mode() == Mode.ALLOW_ANY_DYNAMIC_DNS


def test_a_metric_is_the_sum_of_its_series_with_these_labels() -> None:
    text = """# TYPE istio_requests_total counter
istio_requests_total{reporter="source",destination_service_name="a.test",response_code="200"} 3
istio_requests_total{reporter="source",destination_service_name="a.test",response_code="503"} 1
istio_requests_total{reporter="source",destination_service_name="aa.test",response_code="200"} 9
"""
    metrics = proxy(**{"stats/prometheus": text})
    assert metrics.metric("istio_requests_total", reporter="source", destination_service_name="a.test") == 4
    assert metrics.metric("istio_requests_total", destination_service_name="b.test") == 0


def test_destinations_are_where_active_listeners_and_routes_lead() -> None:
    draining = {"draining_state": {"listener": {"cluster": "old"}}, "active_state": {"listener": {"cluster": "new"}}}
    listeners, routes = {"configs": [draining]}, {"configs": [{"route_config": {"cluster": CLUSTER}}]}
    assert proxy(dynamic_listeners=listeners, dynamic_route_configs=routes).destinations() == {"new", CLUSTER}


def test_listener_filters_are_named_in_order() -> None:
    filters = [{"name": "envoy.filters.listener.tls_inspector"}, {"name": "envoy.filters.listener.http_inspector"}]
    dump = {"configs": [{"active_state": {"listener": {"listener_filters": filters}}}]}
    assert proxy(**{"0.0.0.0_80": dump}).listener_filters("0.0.0.0_80") == ["tls_inspector", "http_inspector"]
    assert proxy(**{"0.0.0.0_80": {}}).listener_filters("0.0.0.0_80") == []


@pytest.mark.parametrize("dump", [{}, {"configs": [{"name": "virtualOutbound"}]}])
def test_without_that_listener_there_is_no_mode_yet(dump: dict[str, Any]) -> None:
    assert proxy(virtualOutbound=dump).mode() is None


def test_a_mode_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().install(monkeypatch)
    start = clock.now

    def admin(_: str) -> str:
        late = clock.now - start >= 2
        return json.dumps(virtual_outbound("PassthroughCluster" if late else "BlackHoleCluster"))

    Proxy(admin).wait_for_mode(Mode.ALLOW_ANY)
    assert clock.now - start == pytest.approx(2, abs=0.1)
    with pytest.raises(Timeout, match="for the proxy to obey REGISTRY_ONLY; last seen: mode ALLOW_ANY; try: istioctl"):
        Proxy(admin).wait_for_mode(Mode.REGISTRY_ONLY)


@pytest.mark.parametrize(
    ("extensions", "kind"),
    [("...istio.stats...", "envoy"), ('{"name": "istio.stats"}', "istio-proxy"), ("{}", "envoy")],
)
def test_the_build_is_told_by_what_is_compiled_in(extensions: str, kind: str) -> None:
    found = proxy(server_info={"version": "6eb0d2d/1.39.3/Clean/RELEASE/BoringSSL"}, bootstrap=extensions).data_plane()
    assert (found.kind, found.version, found.istio) == (kind, "1.39.3", "")


def test_a_proxy_says_which_istio_it_belongs_to() -> None:
    said = {"version": "6eb0d2d/1.37.0/Clean/RELEASE/BoringSSL", "node": {"metadata": {"ISTIO_VERSION": "1.29.1"}}}
    assert proxy(server_info=said, bootstrap="{}").data_plane().istio == "1.29.1"


def test_stats_are_numbers_by_name() -> None:
    text = (
        "cluster.outbound|80||a.test.upstream_rq_total: 3\n"
        "cluster_manager.cds.update_rejected: 0\n"
        "cluster.x.upstream_cx_length_ms: P0(nan,1) P25(nan,1.025)\n"
        'control_plane.identifier: "istiod"\n\n'
    )
    assert parse_stats(text) == {
        "cluster.outbound|80||a.test.upstream_rq_total": 3,
        "cluster_manager.cds.update_rejected": 0,
    }
    rejected = "cluster_manager.cds.update_rejected: 1\nlistener_manager.lds.update_rejected: 0\n"
    assert proxy(**{"stats?filter=(cds|lds)": rejected}).rejections() == {
        "cluster_manager.cds.update_rejected": 1,
        "listener_manager.lds.update_rejected": 0,
    }


def test_when_it_was_last_configured_is_told_in_seconds() -> None:
    said = "cluster_manager.cds.update_time: 1795580911560\n"
    assert proxy(**{"stats?filter=^cluster_manager[.]cds": said}).configured_at() == 1795580911.56
    assert proxy(**{"stats?filter=^cluster_manager[.]cds": ""}).configured_at() == 0


def test_the_view_says_of_each_host_what_is_known_and_what_is_not() -> None:
    known = {
        "clusters?format": CLUSTERS,
        "dynamic_active_clusters": DYNAMIC_CLUSTERS,
        "dynamic_route_configs": ROUTES,
        "listeners?format": LISTENERS,
        "virtualOutbound": virtual_outbound("BlackHoleCluster"),
    }
    assert proxy(**known).view([HOST, "nowhere.test"]).splitlines() == [
        f"host {HOST}",
        f"  cluster  {CLUSTER} (STRICT_DNS)",
        f"  endpoint 10.0.0.1:80  HEALTHY  OK  {CLUSTER}",
        f"  endpoint 10.0.0.2:80  UNHEALTHY  FAILED  {CLUSTER}",
        f"  endpoint 10.0.0.3:80  HEALTHY  OK  outbound|443||{HOST}",
        f"  route    80: {HOST}:80 -> {HOST}, {HOST}.",
        "host nowhere.test",
        "  nothing: no cluster, no endpoint, no route",
        "listeners on ports 80, 15001; mode REGISTRY_ONLY",
    ]


def test_memory_is_what_envoy_allocated() -> None:
    assert proxy(memory={"allocated": "5742592", "heap_size": "12582912"}).memory() == 5742592
