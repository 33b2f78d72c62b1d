"""Which of an entry's endpoints are preferred, and which stand by."""

from collections.abc import Callable

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World

MANY = 100
"""Requests over two endpoints; that all go to one by chance is less likely than one in 10^29 (2 * 0.5^100)."""

NOBODY_LISTENS = "9"
"""A port that no server of the world has: connections to it are refused at once."""


@case("RES-12", source="LocalityLoadBalancerSetting.failover; OutlierDetection, without which there is no failover")
def test_locality_failover(mesh: Mesh, client: Client, clients: Callable[..., Client], world: World) -> None:
    """Endpoints of the caller's region MUST be preferred, and those of the region to fail over to serve in their place.

    The client has its region from a label. A client without one has no preference.
    """
    near, far = world.site("alpha"), world.site("beta")
    both, broken = world.site("alpha", "beta"), world.site("alpha", "beta")
    local = clients("resolution/client-in-region-one.yaml")
    from_afar = client.get(both.url())
    request, failing = local.get(both.url()), local.get(broken.url())
    cluster, failing_cluster = f"outbound|80||{both.host}", f"outbound|80||{broken.host}"
    addresses = {"near": near.address, "far": far.address}
    request.is_blocked()
    with (
        mesh.given("resolution/localities.yaml", name="good", host=both.host, near_port="80", **addresses),
        mesh.given(
            "resolution/localities.yaml", name="broken", host=broken.host, near_port=NOBODY_LISTENS, **addresses
        ),
    ):
        request.reaches(both, cluster=cluster)
        with request.steadily(both, cluster=cluster, times=MANY) as many:
            many.wait()
        assert set(many.served) == {"alpha", "beta"}
        with (
            mesh.apply("resolution/locality-failover.yaml", name="good", host=both.host),
            mesh.apply("resolution/locality-failover.yaml", name="broken", host=broken.host),
        ):
            request.reaches(near, cluster=cluster, times=20, chance_before=True)
            request.never_fails(near, cluster=cluster, times=MANY)
            failing.reaches(far, cluster=failing_cluster, by_chance=("x-envoy-attempt-count",))
            failing.never_fails(far, cluster=failing_cluster, times=MANY)
            from_afar.reaches(both, cluster=cluster)
    request.is_blocked()


@case("RES-12a", since="1.30", source="Istio release note dns-failover-priority (#58674)")
def test_failover_priority_with_dns(mesh: Mesh, client: Client, world: World) -> None:
    """With failoverPriority, endpoints of resolution DNS that have the label MUST be preferred to all others."""
    primary, standby = world.site("alpha"), world.site("beta")
    both = world.site("alpha", "beta")
    request = client.get(both.url(), dial=world.decoy.address)
    cluster = f"outbound|80||{both.host}"
    names = {"primary": primary.host, "standby": standby.host}
    with mesh.given("resolution/dns-labelled-endpoints.yaml", host=both.host, **names):
        request.reaches(both, cluster=cluster)
        with request.steadily(both, cluster=cluster, times=MANY) as many:
            many.wait()
        assert set(many.served) == {"alpha", "beta"}
        with mesh.apply("resolution/failover-priority.yaml", host=both.host):
            request.reaches(primary, cluster=cluster, times=20, chance_before=True)
            request.never_fails(primary, cluster=cluster, times=MANY)
