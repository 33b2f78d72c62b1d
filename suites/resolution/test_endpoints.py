"""Endpoints of a ServiceEntry that are not just addresses: host names, WorkloadEntries, pods."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import Site, World

MANY = 100
"""Requests over endpoints of a stated weight.

At 8 to 2 some 80 of them go to the heavy one. That 70 or more do so by chance where both weigh the same is less likely
than one in 10^4; that one of three or fewer equal endpoints gets none of them, one in 10^17.
"""


@case("RES-03", source="ServiceEntry.endpoints: with resolution DNS, addresses may be host names; WorkloadEntry.ports")
def test_dns_endpoints(mesh: Mesh, client: Client, world: World) -> None:
    """With resolution DNS and endpoints that are host names, those names MUST be resolved, and not the entry's own."""
    first, second = world.site("alpha"), world.site("beta")
    host = world.site("decoy").host
    entry = Site(host, first.servers + second.servers)
    request = client.get(entry.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{host}"
    request.is_blocked()
    with mesh.apply("resolution/dns-endpoints.yaml", host=host, first=first.host, second=second.host):
        request.reaches(entry, cluster=cluster, port=8080, received={"host": host})
        with request.steadily(entry, cluster=cluster, port=8080, times=MANY) as many:
            many.wait()
        assert set(many.served) == {"alpha", "beta"}
    request.is_blocked()


@case("RES-08", source="ServiceEntry.workloadSelector; WorkloadEntry reference: ports, labels, weight")
def test_workload_entries(mesh: Mesh, client: Client, world: World) -> None:
    """An entry's workloadSelector MUST pick the WorkloadEntries with its labels, on their ports, by their weights."""
    site = world.site("alpha", "beta")
    heavy, light = site.servers
    request = client.get(site.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"
    addresses = {"heavy": heavy.address, "light": light.address, "other": world.decoy.address}
    request.is_blocked()
    with mesh.apply("resolution/workload-entries.yaml", host=site.host, **addresses):
        request.reaches(site, cluster=cluster, port=8080)
        with request.steadily(site, cluster=cluster, port=8080, times=MANY) as many:
            many.wait()
        assert set(many.served) == {heavy.name, light.name}
        assert many.served[heavy.name] >= 70
        endpoints = client.proxy.endpoints(site.host)
        assert {(endpoint.address, endpoint.port) for endpoint in endpoints} == {
            (heavy.address, 8080),
            (light.address, 8080),
        }
    request.is_blocked()


@case("RES-09", source="ServiceEntry.workloadSelector: it selects pods too; istio/istio#61157 is about them")
def test_pods(mesh: Mesh, client: Client, world: World) -> None:
    """An entry's workloadSelector MUST pick the pods of its namespace that have its labels, and no others.

    Those with the label here are the servers of the world; the world's DNS, a pod of the same namespace, is not one.
    """
    site = world.site("alpha", "beta", "decoy")
    request = client.get(site.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"
    name = site.host.partition(".")[0]
    request.is_blocked()
    with mesh.apply("resolution/selected-pods.yaml", host=site.host, name=name, pods=world.namespace):
        request.reaches(site, cluster=cluster)
        with request.steadily(site, cluster=cluster, times=MANY) as many:
            many.wait()
        assert set(many.served) == {"alpha", "beta", "decoy"}
        assert {endpoint.address for endpoint in client.proxy.endpoints(site.host)} == set(site.addresses)
    request.is_blocked()
