"""Metrics of requests that leave the mesh: Istio's own, and Envoy's circuit breakers."""

from collections.abc import Callable

from egress_conformance.case import Mode, Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.eventually import Look, eventually
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

HTTP, TCP = "istio_requests_total", "istio_tcp_connections_closed_total"
GAUGES = {"remaining_cx", "remaining_cx_pools", "remaining_pending", "remaining_retries", "remaining_rq"}


@case(
    "TEL-03",
    requires=(Requirement.ISTIO_PROXY,),
    source="Istio standard metrics: istio_requests_total, istio_tcp_*; destination_service_name",
)
def test_standard_metrics_name_the_destination(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """Istio's metrics MUST count requests for a registered host, PassthroughCluster and BlackHoleCluster apart."""
    site = world.site()
    http, tls = client.get(site.url()), client.get(site.url(scheme="https"))

    def count(metric: str, name: str) -> float:
        return client.proxy.metric(metric, reporter="source", destination_service_name=name)

    def rises(metric: str, name: str, before: float) -> None:
        def look() -> Look:
            now = count(metric, name)
            rose = now > before
            counts = [f"{before} before, {now} now"]
            return Look("it rose" if rose else "it did not rise", [] if rose else counts, envoy=counts)

        eventually(recorder, f"{metric} of {name} rises", look)

    before = count(HTTP, "BlackHoleCluster"), count(TCP, "BlackHoleCluster")
    http.is_blocked()
    tls.is_blocked()
    rises(HTTP, "BlackHoleCluster", before[0])
    rises(TCP, "BlackHoleCluster", before[1])
    with mesh.apply("telemetry/registered-host.yaml", host=site.host):
        http.reaches(site, cluster=f"outbound|80||{site.host}")
        tls.reaches(site, cluster=f"outbound|443||{site.host}")
        rises(HTTP, site.host, 0)
        rises(TCP, site.host, 0)
    with mesh.apply("policy/sidecar-namespace.yaml", mode=Mode.ALLOW_ANY):
        before = count(HTTP, PASSTHROUGH), count(TCP, PASSTHROUGH)
        http.reaches(site, cluster=PASSTHROUGH)
        tls.reaches(site, cluster=PASSTHROUGH)
        rises(HTTP, PASSTHROUGH, before[0])
        rises(TCP, PASSTHROUGH, before[1])


@case(
    "TEL-04",
    by_version={"1.28": GAUGES, "1.29": set()},
    source="releasenotes/notes/disable-track-remaining-cb-metrics.yaml; Envoy: circuit breakers, track_remaining",
)
def test_remaining_gauges_of_circuit_breakers(
    mesh: Mesh, clients: Callable[..., Client], world: World, recorder: Recorder, expected: object
) -> None:
    """The circuit breakers' `remaining_*` gauges MUST be tracked before Istio 1.29, and left out from then on."""
    site = world.site()
    client = clients("telemetry/counting-client.yaml")
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("telemetry/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=f"outbound|80||{site.host}")
        gauges = {name.rpartition(".")[2] for name in client.proxy.stats("circuit_breakers") if site.host in name}
        recorder.observations["gauges"] = sorted(gauges)
        assert {name for name in gauges if name.startswith("remaining_")} == expected
        # The gauges that say a breaker is open are there in any case.
        assert gauges >= {"cx_open", "rq_open"}
    request.is_blocked()
