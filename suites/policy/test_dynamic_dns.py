"""ALLOW_ANY_DYNAMIC_DNS: plain HTTP to unknown hosts is resolved from its Host header, whatever the caller dialled."""

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.world.world import World

SOURCE = "releasenotes/notes/allow-any-dynamic-dns.yaml; buildAllowAnyDynamicDNSHTTPFilterChain in listener_builder.go"
CLUSTER = "AllowAnyDynamicDNSCluster"


@case("POL-10", mode=Mode.ALLOW_ANY, flips=True, since="1.31", source=SOURCE)
def test_plain_http_is_resolved_from_its_host_header(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY_DYNAMIC_DNS the sidecar MUST resolve the Host of plain HTTP itself, on ports known or not."""
    site, decoy = world.site(), world.decoy
    known = client.get(site.url(), dial=decoy.address)
    unknown = client.get(site.url(port=8080), dial=decoy.address)
    known.reaches(decoy, cluster=PASSTHROUGH)
    unknown.reaches(decoy, cluster=PASSTHROUGH, logged_code=0)
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY_DYNAMIC_DNS):
        known.reaches(site, cluster=CLUSTER, headers={"server": "envoy"})
        unknown.reaches(site, cluster=CLUSTER, headers={"server": "envoy"})
    known.reaches(decoy, cluster=PASSTHROUGH)
    unknown.reaches(decoy, cluster=PASSTHROUGH, logged_code=0)


@case("POL-10b", mode=Mode.ALLOW_ANY, flips=True, since="1.31", source=SOURCE)
def test_everything_else_keeps_the_dialled_address(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY_DYNAMIC_DNS TLS and TCP MUST go where the caller dialled, and registered hosts by their entry."""
    site, registered, decoy = world.site(), world.site("beta"), world.decoy
    moved = client.get(site.url(), dial=decoy.address)
    https = client.get(site.url(scheme="https"), dial=decoy.address)
    tcp = client.tcp(decoy.address, 9000)
    entry = client.get(registered.url(), dial=decoy.address)
    with mesh.given("http/registered-host.yaml", host=registered.host):
        moved.reaches(decoy, cluster=PASSTHROUGH)
        with mesh.outbound_traffic_policy(Mode.ALLOW_ANY_DYNAMIC_DNS):
            moved.reaches(site, cluster=CLUSTER)
            https.reaches(decoy, cluster=PASSTHROUGH)
            tcp.reaches(decoy, cluster=PASSTHROUGH)
            entry.reaches(registered, cluster=f"outbound|80||{registered.host}")
        moved.reaches(decoy, cluster=PASSTHROUGH)


@case("POL-10c", mode=Mode.ALLOW_ANY, flips=True, since="1.31", source=f"{SOURCE}; Envoy: dynamic forward proxy")
def test_port_and_failure_come_from_the_host_header_too(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY_DYNAMIC_DNS the Host's port MUST decide too, and an unknown Host get 503 from the proxy."""
    site, decoy = world.site(), world.decoy
    # Dials port 8080 with a Host that names no port: that is port 80.
    other_port = client.get(site.url(port=8080), dial=decoy.address, headers={"Host": site.host})
    nowhere = client.get(site.url().replace(site.host, f"no-{site.host}"), dial=decoy.address)
    other_port.reaches(decoy, cluster=PASSTHROUGH, logged_code=0)
    nowhere.reaches(decoy, cluster=PASSTHROUGH)
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY_DYNAMIC_DNS):
        other_port.reaches(site, cluster=CLUSTER, port=80)
        nowhere.is_answered(503, flags="DF", body=b"DNS resolution failure")
    other_port.reaches(decoy, cluster=PASSTHROUGH, logged_code=0)
    nowhere.reaches(decoy, cluster=PASSTHROUGH)


@case("POL-10d", source="CRD of Sidecar: outboundTrafficPolicy.mode; the release note says: not in the Sidecar CRD")
def test_a_sidecar_resource_cannot_ask_for_it(mesh: Mesh) -> None:
    """ALLOW_ANY_DYNAMIC_DNS in a Sidecar MUST be refused, as it is for the whole mesh only."""
    saying = "spec.outboundTrafficPolicy.mode: Unsupported value"
    mesh.refuses("policy/sidecar-dynamic-dns.yaml", twin="policy/sidecar-allow-any.yaml", saying=saying)
