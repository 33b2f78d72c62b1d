"""The life of an entry: added, updated, deleted, added again, with traffic to another host under way."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import Site, World

ENTRY = "lifecycle/entry.yaml"
PER_SECOND = 50
"""Requests to the untouched host: some during every push of configuration."""
SOURCE = "ServiceEntry reference: endpoints; how it is pushed: pilot/pkg/xds (CDS, EDS, RDS)"


@contextmanager
def untouched_host_under_load(mesh: Mesh, client: Client, world: World) -> Iterator[None]:
    """Traffic to a registered host that nobody touches: not one request of it may be lost."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given(ENTRY, name="untouched", host=site.host, address=site.address):
        request.reaches(site, cluster=cluster)
        with request.steadily(site, cluster=cluster, per_second=PER_SECOND):
            yield


def endpoints(client: Client, site: Site) -> list[str]:
    """Addresses of a host's endpoints, as the proxy knows them."""
    return [endpoint.address for endpoint in client.proxy.endpoints(site.host)]


@case("LCY-01", source=SOURCE)
def test_added(mesh: Mesh, client: Client, world: World) -> None:
    """An added entry MUST take effect with its endpoint alone, and lose no request to a host it is not about."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with (
        untouched_host_under_load(mesh, client, world),
        mesh.apply(ENTRY, name="entry", host=site.host, address=site.address),
    ):
        request.reaches(site, cluster=f"outbound|80||{site.host}")
        assert endpoints(client, site) == [site.address]
    request.is_blocked()


@case("LCY-02", source=SOURCE)
def test_updated(mesh: Mesh, client: Client, world: World) -> None:
    """An update of the endpoint MUST take effect with no stale one left, and lose no request to any host."""
    site = world.site("alpha", "beta")
    alpha, beta = site.servers
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with (
        untouched_host_under_load(mesh, client, world),
        mesh.given(ENTRY, name="entry", host=site.host, address=alpha.address),
    ):
        request.reaches(alpha, cluster=cluster)
        with ExitStack() as update:
            with request.steadily(site, cluster=cluster, per_second=PER_SECOND):
                update.enter_context(mesh.apply(ENTRY, name="entry", host=site.host, address=beta.address))
                request.reaches(beta, cluster=cluster)
            # Leaving the update deletes the entry; by now nothing is under way any more that would be lost by it.
            assert endpoints(client, site) == [beta.address]
    request.is_blocked()


@case("LCY-03", source=SOURCE)
def test_deleted(mesh: Mesh, client: Client, world: World) -> None:
    """A deleted entry MUST leave no cluster, endpoint or route behind, and lose no request to another host."""
    site = world.site()
    request = client.get(site.url())
    with untouched_host_under_load(mesh, client, world):
        request.is_blocked()
        with mesh.apply(ENTRY, name="entry", host=site.host, address=site.address):
            request.reaches(site, cluster=f"outbound|80||{site.host}")
            assert client.proxy.routes(site.host)
        request.is_blocked()
        assert (client.proxy.clusters(site.host), endpoints(client, site), client.proxy.routes(site.host)) == (
            {},
            [],
            [],
        )


@case("LCY-04", source=SOURCE)
def test_added_again(mesh: Mesh, client: Client, world: World) -> None:
    """An entry that is deleted and added again MUST serve as it is now, never by the endpoint it had before."""
    site = world.site("alpha", "beta")
    alpha, beta = site.servers
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with untouched_host_under_load(mesh, client, world):
        with mesh.given(ENTRY, name="entry", host=site.host, address=alpha.address):
            request.reaches(alpha, cluster=cluster)
        request.is_blocked()
        with mesh.apply(ENTRY, name="entry", host=site.host, address=beta.address):
            request.reaches(beta, cluster=cluster)
            assert endpoints(client, site) == [beta.address]
            request.never_fails(beta, cluster=cluster, times=50)
        request.is_blocked()
