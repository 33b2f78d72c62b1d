"""Traffic that leaves the mesh through an egress gateway, which bears witness to it as the fourth."""

from collections.abc import Callable

from egress_conformance.case import Requirement, case
from egress_conformance.mesh.gateway import Gateway
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.attempt import Attempt
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

TASK = "Egress Gateways task"
SERVICE = "istio-egressgateway.istio-system.svc.cluster.local"


def _callers(attempts: list[Attempt]) -> set[str]:
    """From which addresses the servers received them."""
    return {receipt.remote.rpartition(":")[0] for attempt in attempts for receipt in attempt.requests}


@case("EGW-01", requires=(Requirement.EGRESS_GATEWAY,), source=f"{TASK}: egress gateway for HTTP traffic")
def test_http(mesh: Mesh, client: Client, world: World, recorder: Recorder, egress_gateway: Gateway) -> None:
    """HTTP that a VirtualService sends to an egress gateway MUST leave the mesh there, and reach its host once."""
    site = world.site()
    request = client.get(site.url())
    direct = f"outbound|80||{site.host}"
    with (
        mesh.given("egress_gateway/access-log.yaml"),
        mesh.given("egress_gateway/external-service.yaml", host=site.host, address=site.address),
    ):
        egress_gateway.is_silent(request.reaches(site, cluster=direct).attempts, recorder)
        with mesh.apply("egress_gateway/http.yaml", host=site.host):
            via = f"{egress_gateway.address}:8080"
            seen = request.reaches(site, cluster=f"outbound|80||{SERVICE}", via=via)
            egress_gateway.carried(seen.attempts, direct, recorder)
            assert _callers(seen.attempts[-1:]) == {egress_gateway.address}
        egress_gateway.is_silent(request.reaches(site, cluster=direct).attempts, recorder)


@case("EGW-02", requires=(Requirement.EGRESS_GATEWAY,), source=f"{TASK}: egress gateway for HTTPS traffic")
def test_passthrough(mesh: Mesh, client: Client, world: World, recorder: Recorder, egress_gateway: Gateway) -> None:
    """TLS of the application MUST pass an egress gateway unopened, by SNI, the certificate being the origin's."""
    site = world.site()
    request = client.get(site.url(scheme="https"))
    direct = f"outbound|443||{site.host}"
    with (
        mesh.given("egress_gateway/access-log.yaml"),
        mesh.given("egress_gateway/external-service.yaml", host=site.host, address=site.address),
    ):
        egress_gateway.is_silent(request.reaches(site, cluster=direct).attempts, recorder)
        with mesh.apply("egress_gateway/passthrough.yaml", host=site.host):
            via = f"{egress_gateway.address}:8443"
            seen = request.reaches(site, cluster=f"outbound|443||{SERVICE}", via=via)
            lines = egress_gateway.carried(seen.attempts, direct, recorder)
            assert {line.sni for found in lines.values() for line in found} == {site.host}
            assert _callers(seen.attempts[-1:]) == {egress_gateway.address}
        egress_gateway.is_silent(request.reaches(site, cluster=direct).attempts, recorder)


@case(
    "EGW-05",
    requires=(Requirement.EGRESS_GATEWAY,),
    source=f"{TASK}, additional security considerations: Istio alone cannot enforce that egress passes a gateway",
)
def test_bypass_is_seen(
    mesh: Mesh, client: Client, clients: Callable[..., Client], world: World, egress_gateway: Gateway
) -> None:
    """What passes an egress gateway MUST be told from what a pod sends past it by the address the server sees.

    The second pod's traffic is not captured (traffic.sidecar.istio.io/excludeOutboundPorts). Nothing stops it, and no
    proxy logs it: the server sees the pod's own address instead of the gateway's.
    """
    site = world.site()
    request = client.get(site.url())
    bypassing = clients("egress_gateway/bypassing-client.yaml")
    past = bypassing.get(site.url())
    with (
        mesh.given("egress_gateway/access-log.yaml"),
        mesh.given("egress_gateway/external-service.yaml", host=site.host, address=site.address),
    ):
        request.reaches(site, cluster=f"outbound|80||{site.host}")
        with mesh.apply("egress_gateway/http.yaml", host=site.host):
            via = f"{egress_gateway.address}:8080"
            seen = request.reaches(site, cluster=f"outbound|80||{SERVICE}", via=via)
            egress_gateway.carried(seen.attempts, f"outbound|80||{site.host}", client.recorder)
            assert _callers(seen.attempts) == {egress_gateway.address}
            leak = past.reaches(site, cluster="", logged=False, headers={"server": "world"})
            egress_gateway.is_silent(leak.attempts, client.recorder)
            assert _callers(leak.attempts) == {bypassing.address}
        request.reaches(site, cluster=f"outbound|80||{site.host}")
