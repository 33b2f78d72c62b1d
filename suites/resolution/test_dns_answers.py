"""Resolution DNS and DNS_ROUND_ROBIN while the DNS changes: its answers, its pace, and its absence.

All of it relies on Envoy asking again when an answer's TTL has passed (Cluster.respect_dns_ttl, which Istio sets); the
world's answers live one second.
"""

import functools

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.eventually import becomes
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

MANY = 100
"""Requests over two endpoints; that all go to one by chance is less likely than one in 10^29 (2 * 0.5^100)."""

SOME = 5
"""Requests of a burst that are to arrive once something has changed, for it to say what the change did to it."""

SLOW_SECONDS = 2
"""How long a slow DNS takes; Envoy's resolver gives a question five (CaresDnsResolverConfig.query_timeout_seconds)."""


def endpoints(client: Client, host: str, port: int = 80) -> list[str]:
    """Addresses the client's proxy has for a host and port, sorted."""
    found = client.proxy.endpoints(host)
    return sorted(endpoint.address for endpoint in found if endpoint.cluster.startswith(f"outbound|{port}|"))


@case("RES-02", source="ServiceEntry.Resolution DNS; ClusterBuilder.buildCluster: RespectDnsTtl")
def test_dns_follows_the_answer(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """With resolution DNS requests MUST follow a changed answer, and spread over all addresses of an answer."""
    site = world.site("alpha", "beta")
    alpha, beta = site.servers
    world.answer(site.host, [alpha.address])
    request = client.get(site.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    with mesh.apply("resolution/dns.yaml", host=site.host):
        request.reaches(alpha, cluster=cluster)
        world.answer(site.host, [beta.address])
        request.reaches(beta, cluster=cluster)
        world.answer(site.host, site.addresses)
        wanted = sorted(site.addresses)
        becomes(recorder, "the proxy's endpoints", lambda: endpoints(client, site.host), wanted)
        with request.steadily(site, cluster=cluster, times=MANY) as many:
            many.wait()
        assert set(many.served) == {"alpha", "beta"}
    request.is_blocked()


@case(
    "RES-06", source="ServiceEntry.Resolution DNS_ROUND_ROBIN: only the first address, when a new connection is needed"
)
def test_dns_round_robin(mesh: Mesh, client: Client, world: World) -> None:
    """With DNS_ROUND_ROBIN only the first address of an answer MUST be used, and the new first one when it changes."""
    site, twin = world.site("alpha", "beta"), world.site("alpha", "beta")
    alpha, beta = site.servers
    request, spread = (client.get(each.url(), dial=world.decoy.address) for each in (site, twin))
    # A connection of TCP is a new one each time.
    connection = client.tcp(world.decoy.address, 9000)
    cluster, spread_cluster = f"outbound|80||{site.host}", f"outbound|80||{twin.host}"
    request.is_blocked()
    connection.is_blocked()
    with (
        mesh.given("resolution/dns.yaml", host=twin.host),
        mesh.apply("resolution/dns-round-robin.yaml", host=site.host, address=world.decoy.address),
    ):
        request.reaches(alpha, cluster=cluster)
        request.never_fails(alpha, cluster=cluster, times=MANY)
        spread.reaches(twin, cluster=spread_cluster)
        with spread.steadily(twin, cluster=spread_cluster, times=MANY) as many:
            many.wait()
        assert set(many.served) == {"alpha", "beta"}
        connection.reaches(alpha, cluster=f"outbound|9000||{site.host}")
        world.answer(site.host, [beta.address, alpha.address])
        connection.reaches(beta, cluster=f"outbound|9000||{site.host}")
    request.is_blocked()
    connection.is_blocked()


@case(
    "RES-06a",
    source="ServiceEntry.Resolution DNS_ROUND_ROBIN: connections are retained; envoyproxy/envoy#45048 (Envoy 1.39)",
    by_version={"1.28": "retained", "1.31": "not retained"},
    of_proxy=True,
)
def test_dns_round_robin_connections(
    mesh: Mesh, client: Client, world: World, recorder: Recorder, expected: object
) -> None:
    """With DNS_ROUND_ROBIN no request MUST be lost when the DNS changes, the connections there being retained.

    That they are is what the reference promises to this day. Envoy 1.39 made its new implementation of DNS clusters the
    default, and with it the requests of an old connection go to the new address.
    """
    site = world.site("alpha", "beta")
    alpha, beta = site.servers
    request = client.get(site.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    with mesh.apply("resolution/dns-round-robin.yaml", host=site.host, address=world.decoy.address):
        request.reaches(alpha, cluster=cluster)
        # One connection, with one of the proxy's behind it.
        with request.steadily(site, cluster=cluster, per_second=50) as many:
            many.arrive()
            world.answer(site.host, [beta.address, alpha.address])
            for port in (80, 9000):
                what = f"the proxy's endpoints for port {port}"
                becomes(recorder, what, functools.partial(endpoints, client, site.host, port), [beta.address])
            many.arrive(more=SOME)
        assert many.served["alpha"] > 0
        seen = "not retained" if "beta" in many.served else "retained"
        recorder.observations["connections"] = seen
        assert seen == expected
    request.is_blocked()


@case(
    "RES-10", source="Envoy service discovery, STRICT_DNS: a failed resolution keeps the hosts; envoyproxy/envoy#38577"
)
def test_slow_dns_and_outage(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """With resolution DNS no request MUST be lost, and no endpoint, while the DNS is slow or fails.

    After a failed question Envoy asks again when the mesh's dnsRefreshRate has passed, a minute by default: how it
    comes back after an outage is not waited for here.
    """
    site = world.site("alpha", "beta")
    alpha, beta = site.servers
    world.answer(site.host, [alpha.address])
    request = client.get(site.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{site.host}"

    def asked(mark: int) -> set[str]:
        return {query.rcode for query in world.queries(mark, site.host) if query.remote.startswith(client.address)}

    request.is_blocked()
    with mesh.apply("resolution/dns.yaml", host=site.host):
        request.reaches(alpha, cluster=cluster)
        with request.steadily(site, cluster=cluster, per_second=50) as many:
            many.arrive()
            mark = world.queries_mark()
            world.answer(site.host, [beta.address], delay=SLOW_SECONDS)
            becomes(recorder, "how the world's DNS answers, slowly,", lambda: asked(mark), {"NOERROR"})
            becomes(recorder, "the proxy's endpoints", lambda: endpoints(client, site.host), [beta.address])
            request.reaches(beta, cluster=cluster)
            many.arrive(more=SOME)
        assert set(many.served) == {"alpha", "beta"}
        with request.steadily(beta, cluster=cluster, per_second=50) as many:
            many.arrive()
            # Before the answer is another: a question may come between the two, and after the failed one none comes.
            mark = world.queries_mark()
            world.answer(site.host, [], rcode="SERVFAIL")
            becomes(recorder, "whether the world's DNS failed", lambda: "SERVFAIL" in asked(mark), wanted=True)
            many.arrive(more=SOME)
        request.never_fails(beta, cluster=cluster)
        assert endpoints(client, site.host) == [beta.address]
    request.is_blocked()


@case("RES-10a", source="Envoy service discovery, STRICT_DNS: a resolution with no records; envoyproxy/envoy#20890")
def test_name_that_is_gone(mesh: Mesh, client: Client, world: World) -> None:
    """With resolution DNS the endpoints of a name MUST go when the DNS says that there is no such name."""
    site = world.site("alpha")
    request = client.get(site.url(), dial=world.decoy.address)
    request.is_blocked()
    with mesh.apply("resolution/dns.yaml", host=site.host):
        request.reaches(site, cluster=f"outbound|80||{site.host}")
        world.answer(site.host, [], rcode="NXDOMAIN")
        request.is_blocked(Blocked.UNAVAILABLE)
        assert endpoints(client, site.host) == []
    request.is_blocked()
