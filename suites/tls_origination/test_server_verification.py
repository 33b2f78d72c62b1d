"""TLS that the sidecar originates for an application that speaks plain HTTP: whom it trusts."""

import re

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

UNVERIFIED = "TLS_error:.*CERTIFICATE_VERIFY_FAILED.*"
BODY = re.compile(rb"upstream connect error or disconnect/reset before headers.*")
TLS_PORT = 443


@case("ORG-03", source="DestinationRule reference: ClientTLSSettings.subjectAltNames")
def test_wrong_name(mesh: Mesh, client: Client, world: World) -> None:
    """A server whose certificate has none of the subjectAltNames MUST be sent nothing, and the answer be a 503."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with (
        mesh.given("tls_origination/https-behind-http.yaml", host=site.host),
        mesh.given("resilience/no-retries.yaml", host=site.host),
    ):
        with mesh.given("tls_origination/other-name.yaml", host=site.host, name=site.host):
            request.reaches(site, cluster=cluster, port=TLS_PORT)
        with mesh.apply("tls_origination/other-name.yaml", host=site.host, name=f"not-{site.host}"):
            request.is_answered(503, flags="UF", body=BODY, upstream=site, port=TLS_PORT, failure=UNVERIFIED)
        with mesh.given("tls_origination/other-name.yaml", host=site.host, name=site.host):
            request.reaches(site, cluster=cluster, port=TLS_PORT)


@case("ORG-03b", source="ClientTLSSettings.caCertificates: the operating system's by default since Istio 1.24")
def test_unknown_ca(mesh: Mesh, client: Client, world: World) -> None:
    """A server whose certificate is of a CA the proxy does not trust MUST be sent nothing, and the answer be a 503."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with (
        mesh.given("tls_origination/https-behind-http.yaml", host=site.host),
        mesh.given("resilience/no-retries.yaml", host=site.host),
    ):
        with mesh.given("tls_origination/simple.yaml", host=site.host):
            request.reaches(site, cluster=cluster, port=TLS_PORT)
        with mesh.apply("tls_origination/unknown-ca.yaml", host=site.host):
            request.is_answered(503, flags="UF", body=BODY, upstream=site, port=TLS_PORT, failure=UNVERIFIED)
        with mesh.given("tls_origination/simple.yaml", host=site.host):
            request.reaches(site, cluster=cluster, port=TLS_PORT)


@case(
    "ORG-05", source="ClientTLSSettings.insecureSkipVerify; constructUpstreamTLS in Istio's pilot/pkg/networking/core"
)
def test_insecure_skip_verify(mesh: Mesh, client: Client, world: World) -> None:
    """With insecureSkipVerify a server of an unknown CA MUST be reached all the same, by TLS with the host as SNI."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with (
        mesh.given("tls_origination/https-behind-http.yaml", host=site.host),
        mesh.given("resilience/no-retries.yaml", host=site.host),
    ):
        with mesh.given("tls_origination/unknown-ca.yaml", host=site.host):
            request.is_answered(503, flags="UF", body=BODY, upstream=site, port=TLS_PORT, failure=UNVERIFIED)
        with mesh.apply("tls_origination/skip-verify.yaml", host=site.host):
            seen = request.reaches(site, cluster=cluster, port=TLS_PORT)
            assert seen.last.requests[0].sni == site.host
        with mesh.given("tls_origination/unknown-ca.yaml", host=site.host):
            request.is_answered(503, flags="UF", body=BODY, upstream=site, port=TLS_PORT, failure=UNVERIFIED)
