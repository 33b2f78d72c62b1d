"""A VirtualService with TLS routes, matched by sniHosts."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import Site, World

SPREAD = 30
"""Connections over two destinations of the same weight; that all take one is less likely than one in 10^8."""


@case("TLS-06a", source="VirtualService TLSRoute, TLSMatchAttributes.sniHosts")
def test_route_by_name(mesh: Mesh, client: Client, world: World) -> None:
    """A TLS route with sniHosts MUST send that name's connections to its destination, and no other name's."""
    first, second = world.site("alpha"), world.site("beta")
    (elsewhere,) = second.servers
    request, twin = client.get(first.url(scheme="https")), client.get(second.url(scheme="https"))
    with mesh.given("tls/two-hosts-two-ports.yaml", first=first.host, second=second.host):
        request.reaches(first, cluster=f"outbound|443||{first.host}")
        with mesh.apply("tls/sni-route.yaml", first=first.host, second=second.host):
            seen = request.reaches(elsewhere, cluster=f"outbound|443||{second.host}")
            assert {receipt.sni for receipt in seen.last.requests} == {first.host}
            twin.reaches(second, cluster=f"outbound|443||{second.host}")
        request.reaches(first, cluster=f"outbound|443||{first.host}")


@case("TLS-06b", source="VirtualService TLSRoute, RouteDestination.weight")
def test_split_by_weight(mesh: Mesh, client: Client, world: World) -> None:
    """A TLS route with two destinations of the same weight MUST spread connections over both."""
    first, second = world.site("alpha"), world.site("beta")
    (elsewhere,) = second.servers
    both = Site(first.host, (*first.servers, *second.servers))
    clusters = [f"outbound|443||{site.host}" for site in (first, second)]
    request = client.get(first.url(scheme="https"))
    with mesh.given("tls/two-hosts-two-ports.yaml", first=first.host, second=second.host):
        request.reaches(first, cluster=f"outbound|443||{first.host}")
        with mesh.apply("tls/sni-split.yaml", first=first.host, second=second.host):
            # Once anything comes to the second host at all, the route is in place.
            request.reaches(elsewhere, cluster=clusters[1], times=1)
            seen = request.reaches(both, cluster=clusters[0], or_cluster=clusters[1], times=SPREAD)
            assert {attempt.requests[0].server for attempt in seen.attempts} == {"alpha", "beta"}
        request.reaches(first, cluster=f"outbound|443||{first.host}", times=10, chance_before=True)
