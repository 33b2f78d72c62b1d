"""TLS that the sidecar originates: what a server's certificate must be good for."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.gateway import Gateway
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import Server, World

SERVER = "tls_origination/server-certificate.yaml"
GATEWAY_PORT = 8443
BODY = re.compile(rb"upstream connect error or disconnect/reset before headers.*")
KEY_USAGE = "TLS_error:.*KEY_USAGE_BIT_INCORRECT.*"


class Served:
    """A host whose server is the egress gateway: one whose certificate and TLS version can be chosen."""

    def __init__(self, mesh: Mesh, client: Client, world: World, gateway: Gateway, version: str) -> None:
        self._site, self._mesh = world.site(), mesh
        self._names = {"host": self._site.host, "origin": world.site().host, "version": version}
        self._server = Server("the egress gateway", gateway.address, "")
        self._request = client.get(self._site.url())
        issuer = world.issuer()
        pairs = [issuer.rsa_server(self._site.host, digital_signature=good) for good in (True, False)]
        self.good, self.bad = [
            {"name": name, "certificate": certificate, "key": key, **self._names}
            for name, (certificate, key) in zip(("good", "bad"), pairs, strict=True)
        ]

    @contextmanager
    def known(self) -> Iterator[None]:
        """The host is registered, and its TLS is originated by the sidecar."""
        names = {name: self._names[name] for name in ("host", "origin")}
        addresses = {"gateway": self._server.address, "address": self._site.address}
        with (
            self._mesh.given("resilience/no-retries.yaml", host=self._site.host),
            self._mesh.given("tls_origination/served-by-a-gateway.yaml", **names, **addresses),
        ):
            yield

    def is_accepted(self) -> None:
        """The certificate is good enough: the request arrives."""
        via = f"{self._server.address}:{GATEWAY_PORT}"
        self._request.reaches(self._site, cluster=f"outbound|80||{self._site.host}", via=via)

    def is_refused(self) -> None:
        """It is not, and the reason is the use of its key."""
        self._request.is_answered(
            503, flags="UF", body=BODY, upstream=self._server, port=GATEWAY_PORT, failure=KEY_USAGE
        )


@case(
    "ORG-06",
    requires=(Requirement.EGRESS_GATEWAY,),
    source="Envoy's API: UpstreamTlsContext.enforce_rsa_key_usage, on by default in the Envoy of Istio 1.30",
    by_version={"1.28": "accepted", "1.30": "refused"},
    of_proxy=True,
)
def test_rsa_key_usage(mesh: Mesh, client: Client, world: World, egress_gateway: Gateway, expected: str) -> None:
    """With TLS 1.2 a server's RSA certificate that is not for digital signatures MUST be refused since Istio 1.30.

    Until 1.29 it was accepted, so that an upgrade can cut off old servers.
    """
    served = Served(mesh, client, world, egress_gateway, "TLSV1_2")
    with served.known():
        with mesh.given(SERVER, **served.good):
            served.is_accepted()
        with mesh.apply(SERVER, **served.bad):
            served.is_accepted() if expected == "accepted" else served.is_refused()
        with mesh.given(SERVER, **served.good):
            served.is_accepted()


@case("ORG-06b", requires=(Requirement.EGRESS_GATEWAY,), source="RFC 8446, 4.4.2.2; BoringSSL; the twin of ORG-06")
def test_rsa_key_usage_in_tls_1_3(mesh: Mesh, client: Client, world: World, egress_gateway: Gateway) -> None:
    """With TLS 1.3 a server's RSA certificate that is not for digital signatures MUST be refused."""
    served = Served(mesh, client, world, egress_gateway, "TLSV1_3")
    with served.known():
        with mesh.given(SERVER, **served.good):
            served.is_accepted()
        with mesh.apply(SERVER, **served.bad):
            served.is_refused()
        with mesh.given(SERVER, **served.good):
            served.is_accepted()
