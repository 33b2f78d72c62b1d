"""Which entry a TLS connection belongs to: the server name in its ClientHello (SNI) decides."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import Site, World

CATCH_ALL = "listener_builder.go buildOutboundCatchAllNetworkFiltersOnly: BlackHoleCluster under REGISTRY_ONLY"


@case("TLS-04", source="ServiceEntry reference: hosts with a wildcard prefix, resolution NONE, matched by SNI for TLS")
def test_wildcard_host(mesh: Mesh, client: Client, world: World) -> None:
    """TLS to any name below a wildcard host MUST be passed to the address dialled, and to the bare name be blocked."""
    domain = world.site("alpha")
    names = [Site(f"{name}.{domain.host}", domain.servers) for name in ("one", "two.deep")]
    for name in names:
        world.answer(name.host, name.addresses)
    requests = [client.get(name.url(scheme="https")) for name in names]
    bare = client.get(domain.url(scheme="https"))
    for request in requests:
        request.is_blocked()
    with mesh.apply("tls/wildcard.yaml", domain=domain.host):
        for request in requests:
            request.reaches(domain, cluster=f"outbound|443||*.{domain.host}")
        bare.is_blocked()
    for request in requests:
        request.is_blocked()


@case("TLS-05a", subject_is_mode=True, source=CATCH_ALL)
def test_unlisted_name_is_blocked(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY TLS with a server name no entry lists MUST be reset, even at the address of one that is."""
    listed, unlisted = world.site(), world.site()
    with mesh.given("tls/registered-host-tls.yaml", host=listed.host):
        client.get(listed.url(scheme="https")).reaches(listed, cluster=f"outbound|443||{listed.host}")
        client.get(unlisted.url(scheme="https"), dial=listed.address).is_blocked()


@case("TLS-05b", subject_is_mode=True, source=CATCH_ALL)
def test_no_name_is_blocked(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY TLS without a server name MUST be reset, though with one its address may be reached."""
    listed = world.site()
    with mesh.given("tls/registered-host-tls.yaml", host=listed.host):
        client.get(listed.url(scheme="https")).reaches(listed, cluster=f"outbound|443||{listed.host}")
        # curl sends no server name for an IP address (RFC 6066, 3: it must not).
        client.get(f"https://{listed.address}/headers").is_blocked()


@case("TLS-07", source="FilterChainMatch.server_names: without TLS termination a proxy sees the SNI and nothing inside")
def test_name_outside_and_host_inside_disagree(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """TLS MUST be let through or blocked by its SNI alone, whatever Host the request inside is for.

    So a listed SNI opens the way to any Host that the server behind it answers for.
    """
    listed, unlisted = world.site(), world.site()
    fronted = client.get(listed.url(scheme="https"), headers={"Host": unlisted.host})
    honest = client.get(unlisted.url(scheme="https"), dial=listed.address, headers={"Host": listed.host})
    fronted.is_blocked()
    honest.is_blocked()
    with mesh.apply("tls/registered-host-tls.yaml", host=listed.host):
        seen = fronted.reaches(listed, cluster=f"outbound|443||{listed.host}")
        inside = {(receipt.sni == listed.host, receipt.host == unlisted.host) for receipt in seen.last.requests}
        assert inside == {(True, True)}
        recorder.observations["a Host of another name passes inside TLS"] = True
        honest.is_blocked()
    fronted.is_blocked()
    honest.is_blocked()
