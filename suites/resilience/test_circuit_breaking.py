"""Circuit breaking and outlier detection for an external host."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

OVERFLOW = b"upstream connect error or disconnect/reset before headers. reset reason: overflow"
OCCUPIED = "/delay/3s"
"""A request that takes the one place there is, for longer than the check beside it takes on a slow machine, too."""


@case("RSL-06", source="DestinationRule reference: ConnectionPoolSettings.HTTPSettings; Envoy response flag UO")
def test_circuit_breaker(mesh: Mesh, client: Client, world: World) -> None:
    """While as many requests are under way as the pool allows a further one MUST be refused with 503, flag UO."""
    site = world.site()
    request, slow = client.get(site.url()), client.get(site.url(OCCUPIED))
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster)
        with slow.steadily(site, cluster=cluster, times=1) as occupied:
            occupied.arrive()
            request.reaches(site, cluster=cluster)
            occupied.wait()
        with mesh.apply("resilience/circuit-breaker.yaml", host=site.host):
            client.shows("max_requests of the cluster", lambda proxy: proxy.thresholds(cluster).get("max_requests"), 1)
            with slow.steadily(site, cluster=cluster, times=1) as occupied:
                occupied.arrive()
                request.is_answered(503, flags="UO", body=OVERFLOW, upstream=site)
                occupied.wait()
            request.reaches(site, cluster=cluster)
        request.reaches(site, cluster=cluster)


@case("RSL-06b", source="DestinationRule reference: OutlierDetection; pilot/pkg/networking/core, applyOutlierDetection")
def test_outlier_detection(mesh: Mesh, client: Client, world: World) -> None:
    """An endpoint that answers 5xx so many times in a row MUST be sent nothing more while it is ejected."""
    site = world.site()
    request, failing = client.get(site.url()), client.get(site.url("/status/503"))
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        failing.reaches(site, cluster=cluster, status=503, times=10)
        request.reaches(site, cluster=cluster)
        with mesh.apply("resilience/outlier-detection.yaml", host=site.host):
            failing.is_blocked(Blocked.UNAVAILABLE)
            request.is_blocked(Blocked.UNAVAILABLE)
            assert {endpoint.outlier_check for endpoint in client.proxy.endpoints(site.host)} == {"FAILED"}
        failing.reaches(site, cluster=cluster, status=503, times=10)
        request.reaches(site, cluster=cluster)
