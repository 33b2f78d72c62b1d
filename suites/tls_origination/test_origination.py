"""TLS that the sidecar originates for an application that speaks plain HTTP: what the server sees of it."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

TLS_PORT = 443
CLIENT_NAME = "egress-conformance client"


@case(
    "ORG-01", source="TLS origination task; DestinationRule reference: ClientTLSSettings; ENABLE_AUTO_SNI (1.21 notes)"
)
def test_simple(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """With tls mode SIMPLE plain HTTP of the application MUST leave as TLS, with the host as SNI."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    request.is_blocked()
    with (
        mesh.given("tls_origination/https-behind-http.yaml", host=site.host),
        mesh.apply("tls_origination/simple.yaml", host=site.host),
    ):
        seen = request.reaches(site, cluster=cluster, port=TLS_PORT, headers={"server": "envoy"})
        assert {attempt.requests[0].sni for attempt in seen.attempts} == {site.host}
        assert {attempt.requests[0].host for attempt in seen.attempts} == {site.host}
        answer = seen.last.curl.answer
        assert answer["client_certificate"] == ""
        recorder.observations["alpn"] = answer["alpn"]
        recorder.observations["tls version"] = answer["tls_version"]
        recorder.observations["x-forwarded-proto"] = seen.received("x-forwarded-proto")
    request.is_blocked()


@case("ORG-02", source="istio/istio#50126; UpstreamHttpProtocolOptions.auto_sni in Envoy's API")
def test_sni_after_a_rewrite(mesh: Mesh, client: Client, world: World) -> None:
    """After a rewrite of the authority SNI MUST be the new authority, unless the DestinationRule's `sni` says else.

    The issue tells of the old one in 1.21; a server that is asked for another host than its TLS session names may
    refuse.
    """
    site, other = world.site(), world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with (
        mesh.given("tls_origination/https-behind-http.yaml", host=site.host),
        mesh.given("tls_origination/simple.yaml", host=site.host),
    ):
        seen = request.reaches(site, cluster=cluster, port=TLS_PORT, host=site.host)
        assert seen.last.requests[0].sni == site.host
        with mesh.apply("tls_origination/rewrite-authority.yaml", host=site.host, authority=other.host):
            seen = request.reaches(site, cluster=cluster, port=TLS_PORT, host=other.host)
            assert seen.last.requests[0].sni == other.host
            with mesh.given("tls_origination/simple-with-sni.yaml", host=site.host, sni=site.host):
                client.shows("sni", lambda proxy: proxy.sni(cluster), site.host)
                seen = request.reaches(site, cluster=cluster, port=TLS_PORT, host=other.host)
                assert seen.last.requests[0].sni == site.host


@case(
    "ORG-04",
    source="ClientTLSSettings.credentialName; releasenotes/notes/credential-name-support-egress-sidecar.yaml; "
    "CredentialsController.Authorize in Istio's pilot/pkg/credentials/kube",
)
def test_mutual(mesh: Mesh, client: Client, world: World) -> None:
    """With tls mode MUTUAL and credentialName the sidecar MUST show the client certificate of that Secret."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    issuer = world.issuer()
    certificate, key = issuer.client(CLIENT_NAME)
    with (
        mesh.given("tls_origination/https-behind-http.yaml", host=site.host),
        mesh.given("tls_origination/client-credential.yaml", certificate=certificate, key=key, ca=issuer.certificate),
    ):
        with mesh.given("tls_origination/simple.yaml", host=site.host):
            request.reaches(site, cluster=cluster, port=TLS_PORT, answered={"client_certificate": ""})
        with mesh.apply("tls_origination/mutual.yaml", host=site.host):
            shown = {"client_certificate": f'Subject="CN={CLIENT_NAME}"'}
            seen = request.reaches(site, cluster=cluster, port=TLS_PORT, answered=shown)
            assert seen.last.requests[0].sni == site.host
        with mesh.given("tls_origination/simple.yaml", host=site.host):
            request.reaches(site, cluster=cluster, port=TLS_PORT, answered={"client_certificate": ""})
