"""Two ServiceEntries for one host that differ in their resolution: Istio does not merge them.

The older one stands (pilot/pkg/model/sidecar.go: canMergeServices); which is older is told by the second, so that the
second entry is made more than a second after the first.
"""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.request import Request
from egress_conformance.world.world import Server, World

STATIC, DNS = "resolution/two-entries-static.yaml", "resolution/two-entries-dns.yaml"
MANY = 100


def for_more_than_a_second(request: Request, server: Server, cluster: str) -> None:
    """Send requests for that long, all of which must be served."""
    with request.steadily(server, cluster=cluster, times=60, per_second=50) as many:
        many.wait()


@case("RES-11", source="istio/istio#54988; pilot/pkg/model/sidecar.go: canMergeServices, not with another resolution")
def test_another_resolution_on_another_port(mesh: Mesh, client: Client, world: World) -> None:
    """A later entry for a host, with another port and resolution, MUST leave the older one as it is.

    It is not served itself: a listener and a route are made for its port and no cluster, so that its requests are
    answered with 503 and no longer reset as those of a port nobody lists.
    """
    site, marker = world.site("beta"), world.site("beta")
    alpha = world.servers["alpha"]
    older = client.get(site.url(), dial=world.decoy.address)
    later = client.get(site.url(port=8080), dial=world.decoy.address)
    shown = client.get(marker.url(port=8080), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"
    with mesh.given(STATIC, host=site.host, endpoint=alpha.address):
        older.reaches(alpha, cluster=cluster)
        for_more_than_a_second(older, alpha, cluster)
        later.is_blocked(Blocked.RESET)
        with mesh.apply(DNS, host=site.host, marker=marker.host, port="8080"):
            shown.reaches(marker, cluster=f"outbound|8080||{marker.host}")
            later.is_answered(503, flags="NC", body=b"")
            older.never_fails(alpha, cluster=cluster, times=MANY)
        later.is_blocked(Blocked.RESET)


@case("RES-11a", source="istio/istio#51466; pilot/pkg/model/sidecar.go: appendSidecarServices, the oldest is picked")
def test_another_resolution_on_the_same_port(mesh: Mesh, client: Client, world: World) -> None:
    """Of two entries for one host and port the older MUST decide how it is resolved.

    The later one has a second host, which shows when it is known to the proxy.
    """
    site, marker = world.site("beta"), world.site("beta")
    alpha = world.servers["alpha"]
    request = client.get(site.url(), dial=world.decoy.address)
    shown = client.get(marker.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    with mesh.apply(STATIC, host=site.host, endpoint=alpha.address):
        request.reaches(alpha, cluster=cluster)
        for_more_than_a_second(request, alpha, cluster)
        with mesh.given(DNS, host=site.host, marker=marker.host, port="80"):
            shown.reaches(marker, cluster=f"outbound|80||{marker.host}")
            request.never_fails(alpha, cluster=cluster, times=MANY)
    request.is_blocked()
