"""A VirtualService on an external host: mirror, rewrite, redirect, header operations."""

from egress_conformance.case import case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.world.world import World


@case(
    "HTTP-06",
    since="1.28",
    source="releasenotes 57530.yaml, whose text has it the wrong way round: features DISABLE_SHADOW_HOST_SUFFIX; "
    "VirtualService HTTPRoute.mirrors",
)
def test_mirror(mesh: Mesh, client: Client, world: World) -> None:
    """A mirrored request MUST be copied once to the mirror with its Host unchanged, and be answered by the route's."""
    site, mirror = world.site("alpha"), world.site("beta")
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/two-entries.yaml", first=site.host, second=mirror.host):
        request.reaches(site, cluster=cluster)
        with mesh.apply("http/mirror.yaml", first=site.host, second=mirror.host):
            seen = request.reaches(site, cluster=cluster, mirrored_to=mirror.servers)
            copies = [receipt for receipt in seen.last.requests if receipt.server == "beta"]
            assert [receipt.host for receipt in copies] == [site.host]
        request.reaches(site, cluster=cluster)


@case("HTTP-09a", source="VirtualService HTTPRewrite: authority, uri")
def test_rewrite(mesh: Mesh, client: Client, world: World) -> None:
    """A rewrite of authority and URI MUST show at the external host, and the request still go to that host."""
    site = world.site()
    request = client.get(site.url("/before/x"))
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        # That host and path arrive as they were sent is part of every such check.
        request.reaches(site, cluster=cluster)
        with mesh.apply("http/rewrite.yaml", host=site.host):
            request.reaches(site, cluster=cluster, host="rewritten.test", path="/after/x?attempt={nonce}")
        request.reaches(site, cluster=cluster)


@case("HTTP-09b", source="VirtualService HTTPRedirect")
def test_redirect(mesh: Mesh, client: Client, world: World) -> None:
    """A redirect on an external host MUST be answered by the proxy, with the new location, and not be sent on."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster)
        with mesh.apply("http/redirect.yaml", host=site.host):
            seen = request.is_answered(308, flags="-", body=b"")
            location = f"http://elsewhere.test/moved?attempt={seen.last.nonce}"
            assert seen.last.curl.headers["location"] == location
        request.reaches(site, cluster=cluster)


@case("HTTP-09c", source="VirtualService Headers.HeaderOperations")
def test_header_operations(mesh: Mesh, client: Client, world: World) -> None:
    """Headers that a route sets, adds and removes MUST be so at the external host and in its answer."""
    site = world.site()
    request = client.get(site.url(), headers={"X-Set": "by-the-caller", "X-Add": "by-the-caller", "X-Remove": "1"})
    cluster = f"outbound|80||{site.host}"
    as_sent: dict[str, str | None] = {"x-set": "by-the-caller", "x-add": "by-the-caller", "x-remove": "1"}
    changed: dict[str, str | None] = {"x-set": "by-the-mesh", "x-add": "by-the-caller,by-the-mesh", "x-remove": None}
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster, received=as_sent, headers={"x-answer": None, "x-world-server": "alpha"})
        with mesh.apply("http/header-operations.yaml", host=site.host):
            answer: dict[str, str | None] = {"x-answer": "by-the-mesh", "x-world-server": None}
            request.reaches(site, cluster=cluster, received=changed, headers=answer)
        request.reaches(site, cluster=cluster, received=as_sent, headers={"x-answer": None, "x-world-server": "alpha"})
