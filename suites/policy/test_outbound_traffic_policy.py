"""The mesh's outboundTrafficPolicy: what becomes of hosts that no ServiceEntry registers."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from egress_conformance.case import Mode, Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.world.world import World

REFERENCE = "MeshConfig.OutboundTrafficPolicy.Mode reference"


@case("POL-01", flips=True, article=True, source=f"seed: access modes; {REFERENCE}")
def test_allow_any_passes_unregistered_http(mesh: Mesh, client: Client, world: World) -> None:
    """Under ALLOW_ANY unregistered HTTP MUST be passed to the real server, by PassthroughCluster."""
    site = world.site()
    known, unknown = client.get(site.url()), client.get(site.url(port=8080))
    known.is_blocked()
    unknown.is_blocked(Blocked.RESET)
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        # Port 80 is known as HTTP here: the request passes an HTTP filter chain and its answer shows it.
        known.reaches(site, cluster=PASSTHROUGH, headers={"server": "envoy", "x-envoy-upstream-service-time": "*"})
        # Port 8080 is not: the bytes pass as TCP, and nobody touches a header.
        untouched = {"server": "world", "x-envoy-upstream-service-time": None}
        unknown.reaches(site, cluster=PASSTHROUGH, logged_code=0, headers=untouched)
    known.is_blocked()
    unknown.is_blocked(Blocked.RESET)


@case("POL-03", mode=Mode.ALLOW_ANY, flips=True, article=True, source=f"seed: 502 Bad Gateway; {REFERENCE}")
def test_registry_only_answers_502(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY unregistered HTTP MUST be answered 502 with an empty body, on a port known as HTTP."""
    site = world.site()
    request = client.get(site.url())
    request.reaches(site, cluster=PASSTHROUGH)
    with mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
        request.is_blocked(Blocked.BAD_GATEWAY)
    request.reaches(site, cluster=PASSTHROUGH)


@case("POL-04", mode=Mode.ALLOW_ANY, flips=True, article=True, source=f"the twin of POL-03; {REFERENCE}")
def test_registry_only_resets_on_unknown_port(mesh: Mesh, client: Client, world: World) -> None:
    """Under REGISTRY_ONLY unregistered HTTP MUST be reset, by BlackHoleCluster, on a port the mesh does not know."""
    site = world.site()
    request = client.get(site.url(port=8080))
    request.reaches(site, cluster=PASSTHROUGH, logged_code=0)
    with mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
        request.is_blocked(Blocked.RESET)
    request.reaches(site, cluster=PASSTHROUGH, logged_code=0)


@case("POL-06", mode=Mode.ALLOW_ANY, flips=True, article=True, source="seed: kubectl replace of ConfigMap istio")
def test_edit_of_the_mesh_config_takes_effect(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """An edit of ConfigMap istio MUST take effect in both directions, with no restart of any pod."""
    site = world.site()
    request = client.get(site.url())
    before = mesh.starts()
    request.reaches(site, cluster=PASSTHROUGH)
    with mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
        request.is_blocked()
        with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
            request.reaches(site, cluster=PASSTHROUGH)
        request.is_blocked()
    request.reaches(site, cluster=PASSTHROUGH)
    assert mesh.starts() == before, "a pod of Istio's or the client was restarted"
    recorder.observations["restarts"] = 0


@case(
    "POL-07",
    mode=Mode.ALLOW_ANY,
    requires=(Requirement.INSTALL,),
    flips=True,
    article=True,
    source="seed: mode at install; istioctl install --set meshConfig.outboundTrafficPolicy.mode",
)
def test_mode_given_at_install(
    client: Client, world: World, second_istio: Callable[[Mode], AbstractContextManager[Client]]
) -> None:
    """The mode given at install MUST be honoured, and only by the proxies of that install."""
    site = world.site()
    url = site.url()
    client.get(url).reaches(site, cluster=PASSTHROUGH)
    with second_istio(Mode.REGISTRY_ONLY) as other:
        other.get(url).is_blocked()
        client.get(url).reaches(site, cluster=PASSTHROUGH)
    client.get(url).reaches(site, cluster=PASSTHROUGH)
