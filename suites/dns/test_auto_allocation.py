"""Addresses that Istio allocates to hosts of entries without any, for clients whose sidecar captures DNS."""

from collections.abc import Callable
from ipaddress import ip_address, ip_network

import pytest

from egress_conformance.case import Requirement, case
from egress_conformance.cluster.kube import Doc
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.eventually import Look, becomes, eventually
from egress_conformance.traffic.lookup import By, Lookup
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import Site, World

CAPTURING = "dns/capturing-client.yaml"
pytestmark = pytest.mark.xdist_group("capturing-client")
RANGE = ip_network("240.240.0.0/16")
"""PILOT_IP_AUTOALLOCATE_IPV4_PREFIX; packets to it go nowhere but into the sidecar."""

REFERENCE = "Istio operations, DNS proxying: address auto allocation"


def vips(mesh: Mesh, doc: Doc) -> dict[str, str]:
    """IPv4 addresses in the status of an entry, by host."""
    addresses = mesh.read(doc).get("status", {}).get("addresses", [])
    return {each["host"]: each["value"] for each in addresses if ip_address(each["value"]).version == 4}


def allocated(mesh: Mesh, recorder: Recorder, doc: Doc) -> dict[str, str]:
    """The same, once each host of the entry has one in the range."""

    def look() -> Look:
        found = vips(mesh, doc)
        missing = [f"none for {host}" for host in doc["spec"]["hosts"] if host not in found]
        strange = [f"{value} is not in {RANGE}" for value in found.values() if ip_address(value) not in RANGE]
        # In the order of the entry: that of the status is by the random parts of the hosts.
        return Look(str({host: found.get(host) for host in doc["spec"]["hosts"]}), missing + strange)

    eventually(recorder, f"status.addresses of {doc['metadata']['name']} has an address for each host", look)
    return vips(mesh, doc)


def unreachable_site(world: World, name: str) -> Site:
    """A host that the world's DNS leads to the decoy, so that only an answer of the mesh's leads to the server."""
    site = world.site(name)
    world.answer(site.host, [world.decoy.address])
    return site


@case("DNS-02", source=f"{REFERENCE}; Istio release note ip-allocation-v2-default (1.25)")
def test_each_host_has_an_address(mesh: Mesh, clients: Callable[..., Client], world: World, recorder: Recorder) -> None:
    """Hosts of entries without addresses MUST be given one each, so that TCP on one port is told apart by host."""
    first, second = unreachable_site(world, "alpha"), unreachable_site(world, "beta")
    capturing = clients(CAPTURING)
    requests = [(site, capturing.tcp(site.host, 9000)) for site in (first, second)]
    for _, request in requests:
        request.is_blocked()
    manifest = "dns/auto-allocated.yaml"
    with (
        mesh.apply(manifest, name="first", host=first.host, port="9000", endpoint=first.address) as (one,),
        mesh.apply(manifest, name="second", host=second.host, port="9000", endpoint=second.address) as (other,),
    ):
        found = {**allocated(mesh, recorder, one), **allocated(mesh, recorder, other)}
        assert len(set(found.values())) == 2
        for site, request in requests:
            Lookup(capturing, site.host).is_answered(By.PROXY, [found[site.host]])
            request.reaches(site, cluster=f"outbound|9000||{site.host}")
    for _, request in requests:
        request.is_blocked()


@case(
    "DNS-03",
    since="1.30",
    requires=(Requirement.LEADER,),
    source="Istio release note stale-serviceentry-address-cleanup (#58974)",
)
def test_opting_out_clears_the_status(mesh: Mesh, world: World, recorder: Recorder) -> None:
    """An entry that opts out of auto-allocation MUST lose the addresses in its status."""
    site = world.site()
    values = {"name": "opting-out", "host": site.host, "port": "9000", "endpoint": site.address}
    with mesh.given("dns/auto-allocated.yaml", **values) as (doc,):
        allocated(mesh, recorder, doc)
        with mesh.apply("dns/opted-out.yaml", **values):
            becomes(recorder, "status.addresses", lambda: vips(mesh, doc), {})


@case("DNS-03a", source=f"{REFERENCE}: label networking.istio.io/enable-autoallocate-ip")
def test_opting_out_ends_the_answers(
    mesh: Mesh, clients: Callable[..., Client], world: World, recorder: Recorder
) -> None:
    """The address of an entry that opted out of auto-allocation MUST no longer be answered by the DNS proxy."""
    site = unreachable_site(world, "alpha")
    lookup = Lookup(clients(CAPTURING), site.host)
    values = {"name": "opting-out", "host": site.host, "port": "9000", "endpoint": site.address}
    lookup.is_answered(By.FORWARDED, [world.decoy.address])
    with mesh.given("dns/auto-allocated.yaml", **values) as (doc,):
        lookup.is_answered(By.PROXY, [allocated(mesh, recorder, doc)[site.host]])
        with mesh.apply("dns/opted-out.yaml", **values):
            lookup.is_answered(By.FORWARDED, [world.decoy.address])


@case("DNS-04", source=f"{REFERENCE}: stable addresses; IPAllocator.statusPatchForAddresses")
def test_addresses_are_stable(mesh: Mesh, clients: Callable[..., Client], world: World, recorder: Recorder) -> None:
    """A host's allocated address MUST stay the same while its entry changes otherwise, and others come and go."""
    site, further, other = (unreachable_site(world, "alpha") for _ in range(3))
    lookup = Lookup(clients(CAPTURING), site.host)
    stranger = {"name": "a-stranger", "host": other.host, "port": "9000", "endpoint": other.address}
    lookup.is_answered(By.FORWARDED, [world.decoy.address])
    with mesh.apply("dns/stable.yaml", host=site.host, endpoint=site.address) as (doc,):
        before = allocated(mesh, recorder, doc)[site.host]
        with mesh.given("dns/auto-allocated.yaml", **stranger) as (strange,):
            allocated(mesh, recorder, strange)
            lookup.is_answered(By.PROXY, [before])
        changed = {"host": site.host, "further": further.host, "endpoint": world.servers["beta"].address}
        with mesh.given("dns/stable-changed.yaml", **changed) as (more,):
            after = allocated(mesh, recorder, more)
            assert after[site.host] == before
            assert after[further.host] != before
            lookup.is_answered(By.PROXY, [before])


@case("DNS-05", source="istio/istio#55266; pkg/dns/server BuildNameTable: addresses of a host's entries are joined")
def test_one_host_in_two_entries(mesh: Mesh, clients: Callable[..., Client], world: World, recorder: Recorder) -> None:
    """A host of two entries MUST be answered with the addresses of both, each of which leads to its own entry's port.

    A known surprise: who picks the other entry's address is blocked there, so that by name either port is reached only
    now and then. One entry with both ports has one address, and is reached on both.
    """
    site, whole = unreachable_site(world, "alpha"), unreachable_site(world, "alpha")
    capturing = clients(CAPTURING)
    manifest, pair = "dns/auto-allocated.yaml", "dns/auto-allocated-two-ports.yaml"
    with (
        mesh.apply(manifest, name="one", host=site.host, port="9000", endpoint=site.address) as (first,),
        mesh.apply(manifest, name="other", host=site.host, port="3306", endpoint=site.address) as (second,),
        mesh.given(pair, host=whole.host, endpoint=whole.address) as (both,),
    ):
        of_first = allocated(mesh, recorder, first)[site.host]
        of_second = allocated(mesh, recorder, second)[site.host]
        assert of_first != of_second
        Lookup(capturing, site.host).is_answered(By.PROXY, [of_first, of_second])
        capturing.tcp(of_first, 9000).reaches(site, cluster=f"outbound|9000||{site.host}")
        capturing.tcp(of_second, 3306).reaches(site, cluster=f"outbound|3306||{site.host}")
        capturing.tcp(of_first, 3306).is_blocked()
        capturing.tcp(of_second, 9000).is_blocked()
        Lookup(capturing, whole.host).is_answered(By.PROXY, [allocated(mesh, recorder, both)[whole.host]])
        for port in (9000, 3306):
            capturing.tcp(whole.host, port).reaches(whole, cluster=f"outbound|{port}||{whole.host}")
    Lookup(capturing, site.host).is_answered(By.FORWARDED, [world.decoy.address])
