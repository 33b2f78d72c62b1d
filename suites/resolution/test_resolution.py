"""ServiceEntry.resolution: who decides which address a request goes to."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

SPREAD = 30
"""Requests over two endpoints; that all go to one by chance is less likely than one in 10^8 (2 * 0.5^30)."""


@case("RES-01", article=True, source="seed: Envoy resolves the host itself; ServiceEntry.Resolution DNS")
def test_dns(mesh: Mesh, client: Client, world: World) -> None:
    """With resolution DNS the sidecar MUST resolve the host itself, whatever address the caller dialled."""
    site = world.site("alpha", "beta")
    request = client.get(site.url(), dial=world.decoy.address)
    request.is_blocked()
    with mesh.apply("resolution/dns.yaml", host=site.host):
        cluster = f"outbound|80||{site.host}"
        request.reaches(site, cluster=cluster)
        endpoints = client.proxy.endpoints(site.host)
        assert sorted(endpoint.address for endpoint in endpoints) == sorted(site.addresses)
        assert {str(endpoint) for endpoint in endpoints} == {
            f"{address}:80  HEALTHY  OK  {cluster}" for address in site.addresses
        }
    request.is_blocked()


@case("RES-04", article=True, source="seed: STATIC connects to the endpoints; ServiceEntry.Resolution STATIC")
def test_static(mesh: Mesh, client: Client, world: World) -> None:
    """With resolution STATIC requests MUST go to the entry's endpoints, spread over them."""
    site = world.site("alpha", "beta")
    request = client.get(site.url(), dial=world.decoy.address)
    first, second = site.addresses
    request.is_blocked()
    with mesh.apply("resolution/static.yaml", host=site.host, first=first, second=second):
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", times=SPREAD)
        assert {attempt.requests[0].server for attempt in seen.attempts} == {"alpha", "beta"}
    request.is_blocked()


@case("RES-05", article=True, source="seed: NONE uses the original destination; ServiceEntry.Resolution NONE")
def test_none(mesh: Mesh, client: Client, world: World) -> None:
    """With resolution NONE the request MUST go to the address the caller dialled, whatever the host resolves to."""
    site = world.site("alpha")
    beta = world.servers["beta"]
    by_name = client.get(site.url())
    elsewhere = client.get(site.url(), dial=beta.address)
    by_name.is_blocked()
    elsewhere.is_blocked()
    with mesh.apply("resolution/none.yaml", host=site.host):
        by_name.reaches(site, cluster=f"outbound|80||{site.host}")
        elsewhere.reaches(beta, cluster=f"outbound|80||{site.host}")
    by_name.is_blocked()
    elsewhere.is_blocked()
