"""TLS on the two legs of the way through an egress gateway: from the sidecar to it, and from it to the host."""

import re

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.gateway import Gateway
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import Server, World

SERVICE = "istio-egressgateway.istio-system.svc.cluster.local"
CLIENT_NAME = "egress-conformance gateway"
TLS_PORT = 443
GATEWAY_PORT = 8443
TURNED_AWAY = re.compile(rb"upstream connect error or disconnect/reset before headers.*")


@case("EGW-03", requires=(Requirement.EGRESS_GATEWAY,), source="Egress Gateways task; ServerTLSSettings ISTIO_MUTUAL")
def test_istio_mutual(mesh: Mesh, client: Client, world: World, recorder: Recorder, egress_gateway: Gateway) -> None:
    """With ISTIO_MUTUAL the sidecar MUST be let in at the egress gateway, and with plain text it MUST NOT."""
    site = world.site()
    request = client.get(site.url())
    direct = f"outbound|80||{site.host}"
    with (
        mesh.given("egress_gateway/access-log.yaml"),
        mesh.given("egress_gateway/external-service.yaml", host=site.host, address=site.address),
    ):
        egress_gateway.is_silent(request.reaches(site, cluster=direct).attempts, recorder)
        with mesh.apply("egress_gateway/istio-mutual.yaml", host=site.host):
            with mesh.given("egress_gateway/mutual-to-gateway.yaml", host=site.host, mode="DISABLE"):
                gateway = Server("the egress gateway", egress_gateway.address, "")
                request.is_answered(503, flags="UC", body=TURNED_AWAY, upstream=gateway, port=GATEWAY_PORT)
            with mesh.given("egress_gateway/mutual-to-gateway.yaml", host=site.host, mode="ISTIO_MUTUAL"):
                via = f"{egress_gateway.address}:{GATEWAY_PORT}"
                seen = request.reaches(site, cluster=f"outbound|443|mutual|{SERVICE}", via=via)
                egress_gateway.carried(seen.attempts, direct, recorder)
                identity = seen.received("x-forwarded-client-cert") or ""
                recorder.observations["the host is told the caller's identity"] = f"/ns/{client.namespace}/" in identity
        egress_gateway.is_silent(request.reaches(site, cluster=direct).attempts, recorder)


@case(
    "EGW-04",
    requires=(Requirement.EGRESS_GATEWAY,),
    source="Egress Gateways with TLS Origination task; ClientTLSSettings.credentialName",
)
def test_origination(mesh: Mesh, client: Client, world: World, recorder: Recorder, egress_gateway: Gateway) -> None:
    """With MUTUAL and credentialName an egress gateway MUST originate TLS and show that Secret's client certificate."""
    site = world.site()
    request = client.get(site.url())
    issuer = world.issuer()
    certificate, key = issuer.client(CLIENT_NAME)
    request.is_blocked()
    with (
        mesh.given("egress_gateway/access-log.yaml"),
        mesh.given("egress_gateway/client-credential.yaml", certificate=certificate, key=key, ca=issuer.certificate),
        mesh.given("egress_gateway/https-behind-http.yaml", host=site.host, address=site.address),
        mesh.given("egress_gateway/http.yaml", host=site.host),
        mesh.apply("egress_gateway/originate-mutual-tls.yaml", host=site.host),
    ):
        via = f"{egress_gateway.address}:8080"
        shown = {"client_certificate": f'Subject="CN={CLIENT_NAME}"'}
        seen = request.reaches(site, cluster=f"outbound|80||{SERVICE}", via=via, answered=shown)
        egress_gateway.carried(seen.attempts, f"outbound|80||{site.host}", recorder)
        (received,) = seen.last.requests
        assert (received.port, received.sni) == (TLS_PORT, site.host)
    request.is_blocked()
