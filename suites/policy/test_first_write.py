"""A large first write, which the listener filters of a shared port look at before anything is passed on."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

KIB = 1024


@case(
    "POL-11",
    source="Envoy 1.36.0 release notes: TLS inspector closed plain text connections when reading >16KB at once",
)
def test_large_plaintext_first_write(mesh: Mesh, client: Client, world: World) -> None:
    """Plain HTTP whose first write is 16 to 60 KiB MUST be delivered whole, on a port that also carries TLS.

    Istio 1.27.0 to 1.27.2 closed such connections. curl sends headers and body of up to 64 KiB in one write.
    """
    site, other = world.site(), world.site()
    requests = {
        size: client.request("POST", site.url(port=8080), body="x" * size, headers={"Content-Type": "text/plain"})
        for size in (8 * KIB, 17 * KIB, 60 * KIB)
    }
    requests[8 * KIB].is_blocked(Blocked.RESET)
    with mesh.apply("policy/http-and-tls.yaml", http=site.host, tls=other.host):
        for size, request in requests.items():
            seen = request.reaches(site, cluster=f"outbound|8080||{site.host}")
            assert seen.last.curl.answer["body_bytes"] == size
        assert client.proxy.listener_filters("0.0.0.0_8080") == ["tls_inspector", "http_inspector"]
    requests[8 * KIB].is_blocked(Blocked.RESET)
