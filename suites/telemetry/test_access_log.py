"""The sidecar's access log: what it says of requests that leave the mesh, and who switches it on and off."""

from collections.abc import Callable

from egress_conformance.case import Mode, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.traffic.request import Seen
from egress_conformance.world.world import World


def _said(seen: Seen, host: str) -> str:
    """What the line of the last attempt says, with the case's own host named `host`."""
    (line,) = seen.last.logged
    words = (line.cluster or "-", line.route, line.flags, line.details, line.authority, line.sni)
    return " ".join(words).replace(host, "host")


@case("TEL-01", source="Istio: access log default format; Envoy: %UPSTREAM_CLUSTER%, %ROUTE_NAME%, response flags")
def test_log_tells_destinations_apart(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """The access log MUST tell registered, passed and blocked requests apart by cluster, route and response flags."""
    site = world.site()
    http, tls = client.get(site.url()), client.get(site.url(scheme="https"))
    unknown = client.get(site.url(port=8080))
    seen = {"blocked": http.is_blocked(), "blocked TLS": tls.is_blocked()}
    seen["blocked on an unknown port"] = unknown.is_blocked(Blocked.RESET)
    with mesh.apply("telemetry/registered-host.yaml", host=site.host):
        seen["registered"] = http.reaches(site, cluster=f"outbound|80||{site.host}")
        seen["registered TLS"] = tls.reaches(site, cluster=f"outbound|443||{site.host}")
    # Passed where the policy of the workload is ALLOW_ANY, given by a Sidecar: the mesh need not be flipped.
    with mesh.apply("policy/sidecar-namespace.yaml", mode=Mode.ALLOW_ANY):
        seen["passed"] = http.reaches(site, cluster=PASSTHROUGH)
        seen["passed TLS"] = tls.reaches(site, cluster=PASSTHROUGH)
        seen["passed on an unknown port"] = unknown.reaches(site, cluster=PASSTHROUGH, logged_code=0)
    said = {name: _said(each, site.host) for name, each in seen.items()}
    recorder.observations["cluster, route, flags, details, authority, SNI"] = said
    # Blocked HTTP is answered before a cluster is chosen; below HTTP nothing knows of routes and authorities, and
    # where no entry names an SNI nobody looks for one.
    assert said == {
        "blocked": "- block_all - direct_response host -",
        "blocked TLS": "BlackHoleCluster - UH - - -",
        "blocked on an unknown port": "BlackHoleCluster - UH - - -",
        "registered": "outbound|80||host default - via_upstream host -",
        "registered TLS": "outbound|443||host - - - - host",
        "passed": "PassthroughCluster allow_any - via_upstream host -",
        "passed TLS": "PassthroughCluster - - - - -",
        "passed on an unknown port": "PassthroughCluster - - - - -",
    }


@case("TEL-02", source="Telemetry reference: accessLogging.disabled, selector; a workload's comes first")
def test_log_is_switched_by_workload(
    mesh: Mesh, client: Client, clients: Callable[..., Client], world: World, recorder: Recorder
) -> None:
    """A Telemetry resource MUST switch the access log off for the workload it selects, and for no other."""
    site = world.site()
    request, quiet = client.get(site.url()), clients("telemetry/quiet-client.yaml").get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("telemetry/registered-host.yaml", host=site.host):
        quiet.reaches(site, cluster=cluster)
        with mesh.apply("telemetry/no-access-log.yaml"):
            quiet.reaches(site, cluster=cluster, logged=False)
            # What the log does not say the proxy still counts.
            counted = recorder.checks[-1].envoy_counted
            assert [count for name, count in counted.items() if site.host in name and "upstream_rq_total" in name]
            request.reaches(site, cluster=cluster)
        quiet.reaches(site, cluster=cluster)
