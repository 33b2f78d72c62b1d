"""What the mesh tells external hosts of itself: every header it adds, and how to stop that."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from egress_conformance.case import Mode, Requirement, case
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.traffic.request import Seen
from egress_conformance.world.world import Site, World

BY_CURL = {"host", "user-agent", "accept"}
METADATA = {"x-envoy-peer-metadata", "x-envoy-peer-metadata-id"}
"""Added by Istio's own proxy build alone."""

UNREGISTERED = ("x-envoy-attempt-count", "x-forwarded-proto", "x-request-id")
REGISTERED = (*UNREGISTERED, "x-envoy-decorator-operation")
QUIET = ("x-envoy-decorator-operation", "x-forwarded-proto")

UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

Headers = dict[str, str | None]
PatchedClient = Callable[..., AbstractContextManager[Client]]


def added(seen: Seen) -> set[str]:
    """Names of the headers a server received that curl did not send."""
    return {name.lower() for receipt in seen.last.requests for name, _ in receipt.headers} - BY_CURL


def of_this_build(client: Client, names: object) -> set[str]:
    """What is expected of a data plane: Istio's own build adds its metadata to what Istio's configuration adds."""
    assert isinstance(names, tuple)
    return {*names, *(METADATA if client.proxy.data_plane().kind == "istio-proxy" else ())}


@contextmanager
def quiet_client(patched_client: PatchedClient, mesh: Mesh, site: Site) -> Iterator[Client]:
    """A client whose sidecar is told to add nothing, and for which the site is registered.

    It is in a namespace of its own: istiod keeps the routes it made for one proxy for the others of its namespace, and
    does not tell apart by attemptCount (route_cache.go, Cache), so that either may get what the other is to have.
    """
    manifest = "headers/registered-host-elsewhere.yaml"
    with (
        patched_client("headers/quiet-client.yaml", elsewhere=True) as quiet,
        mesh.given(manifest, host=site.host, namespace=quiet.namespace),
    ):
        yield quiet


@pytest.mark.xdist_group("quiet-client")
@case(
    "HDR-03",
    requires=(Requirement.ISTIO_PROXY, Requirement.NAMESPACES),
    source="ProxyHeaders.metadataExchangeHeaders; releasenotes skip-mx-headers.yaml; istio/istio#17635",
)
def test_metadata_stays_in_the_mesh(mesh: Mesh, client: Client, world: World, patched_client: PatchedClient) -> None:
    """With metadataExchangeHeaders IN_MESH neither X-Envoy-Peer-Metadata nor its -Id MUST reach an external host."""
    site = world.site()
    cluster = f"outbound|80||{site.host}"
    sent: Headers = dict.fromkeys(METADATA, ".+")
    kept: Headers = dict.fromkeys(METADATA)
    with mesh.given("http/registered-host.yaml", host=site.host):
        client.get(site.url()).reaches(site, cluster=cluster, received=sent)
        with quiet_client(patched_client, mesh, site) as quiet:
            quiet.get(site.url()).reaches(site, cluster=cluster, received=kept)
        client.get(site.url()).reaches(site, cluster=cluster, received=sent)


@pytest.mark.xdist_group("quiet-client")
@case(
    "HDR-06",
    requires=(Requirement.NAMESPACES,),
    source="ProxyHeaders.server, envoyDebugHeaders; releasenotes proxy-headers.yaml",
)
def test_response_headers(mesh: Mesh, client: Client, world: World, patched_client: PatchedClient) -> None:
    """The sidecar's `server` and service time MUST be in an answer, and with both disabled in proxyHeaders in none."""
    site = world.site()
    cluster = f"outbound|80||{site.host}"
    proxied: Headers = {"server": "envoy", "x-envoy-upstream-service-time": "*"}
    as_sent: Headers = {"server": "world", "x-envoy-upstream-service-time": None}
    with mesh.given("http/registered-host.yaml", host=site.host):
        client.get(site.url()).reaches(site, cluster=cluster, headers=proxied)
        with quiet_client(patched_client, mesh, site) as quiet:
            quiet.get(site.url()).reaches(site, cluster=cluster, headers=as_sent)
        client.get(site.url()).reaches(site, cluster=cluster, headers=proxied)


@case("HDR-07a", source="Envoy: HTTP header manipulation; virtual_hosts.include_request_attempt_count; ProxyHeaders")
def test_request_headers(mesh: Mesh, client: Client, world: World) -> None:
    """An external host MUST receive attempt count, request id and x-forwarded-proto, and no address of the caller."""
    site = world.site()
    request = client.get(site.url())
    expected: Headers = {
        "x-envoy-attempt-count": "1",
        "x-request-id": UUID,
        "x-forwarded-proto": "http",
        **dict.fromkeys(("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-client-cert")),
    }
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        seen = request.reaches(site, cluster=f"outbound|80||{site.host}", received=expected)
        assert [attempt.logged[0].request_id for attempt in seen.attempts] == [
            attempt.requests[0].header("x-request-id") for attempt in seen.attempts
        ]
    request.is_blocked()


@pytest.mark.xdist_group("quiet-client")
@case(
    "HDR-07b",
    requires=(Requirement.NAMESPACES,),
    source="ProxyHeaders.attemptCount, requestId; releasenotes proxy-headers.yaml",
)
def test_quiet_sidecar(mesh: Mesh, client: Client, world: World, patched_client: PatchedClient) -> None:
    """With attemptCount and requestId disabled neither MUST be sent, and what the caller itself sets stay as it is."""
    site = world.site()
    cluster = f"outbound|80||{site.host}"
    own = {"X-Request-Id": "by-the-caller", "X-Envoy-Attempt-Count": "7"}
    loud: Headers = {"x-envoy-attempt-count": "1", "x-request-id": UUID}
    none: Headers = {"x-envoy-attempt-count": None, "x-request-id": None}
    kept: Headers = {"x-envoy-attempt-count": "7", "x-request-id": "by-the-caller"}
    with mesh.given("http/registered-host.yaml", host=site.host):
        client.get(site.url()).reaches(site, cluster=cluster, received=loud)
        with quiet_client(patched_client, mesh, site) as quiet:
            quiet.get(site.url()).reaches(site, cluster=cluster, received=none)
            quiet.get(site.url(), headers=own).reaches(site, cluster=cluster, received=kept)
        client.get(site.url()).reaches(site, cluster=cluster, received=loud)


@case(
    "HDR-07c",
    by_version={"1.28": ("x-envoy-attempt-count",), "1.29": ()},
    of_proxy=True,
    source="VirtualService Headers.HeaderOperations.remove; Envoy 1.37 release notes: router-set headers, a regression",
)
def test_removed_by_a_route(mesh: Mesh, client: Client, world: World, expected: object) -> None:
    """A route that removes the headers the sidecar adds MUST stop all of them, before 1.29 less the attempt count.

    Envoy 1.36, which is Istio 1.28's, sets the attempt count of the first try after the route's removals, so that only
    proxyHeaders.attemptCount stops it there; 1.37 sets it before them again.
    """
    assert isinstance(expected, tuple)
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"
    sent: Headers = dict.fromkeys(REGISTERED, ".+")
    stopped: Headers = {**dict.fromkeys((*REGISTERED, *METADATA)), **dict.fromkeys(expected, ".+")}
    with mesh.given("http/registered-host.yaml", host=site.host):
        request.reaches(site, cluster=cluster, received=sent)
        with mesh.apply("headers/remove.yaml", host=site.host):
            assert added(request.reaches(site, cluster=cluster, received=stopped)) == set(expected)
        request.reaches(site, cluster=cluster, received=sent)


@case("HDR-08a", by_version={"1.28": REGISTERED}, source="recorded from the wire; what each is: HDR-04, HDR-07a")
def test_leaks_to_a_registered_host(
    mesh: Mesh, client: Client, world: World, recorder: Recorder, expected: object
) -> None:
    """Towards a registered host the sidecar MUST add the listed headers and no other."""
    site = world.site()
    request = client.get(site.url())
    request.is_blocked()
    with mesh.apply("http/registered-host.yaml", host=site.host):
        names = added(request.reaches(site, cluster=f"outbound|80||{site.host}"))
        recorder.observations["headers added"] = sorted(names)
        assert names == of_this_build(client, expected)
    request.is_blocked()


@case(
    "HDR-08b",
    mode=Mode.ALLOW_ANY,
    subject_is_mode=True,
    by_version={"1.28": UNREGISTERED},
    source="recorded from the wire; what each is: HDR-04, HDR-07a",
)
def test_leaks_to_an_unregistered_host(client: Client, world: World, recorder: Recorder, expected: object) -> None:
    """Towards an unregistered host on a port known as HTTP the sidecar MUST add the listed headers and no other."""
    site = world.site()
    names = added(client.get(site.url()).reaches(site, cluster=PASSTHROUGH))
    recorder.observations["headers added"] = sorted(names)
    assert names == of_this_build(client, expected)


@case("HDR-08c", source="TLS is passed on as it is: nothing inside can be added to")
def test_leaks_inside_tls(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """To a request inside TLS the sidecar MUST add no header at all."""
    site = world.site()
    request = client.get(site.url(scheme="https"))
    request.is_blocked()
    with mesh.apply("tls/registered-host-tls.yaml", host=site.host):
        names = added(request.reaches(site, cluster=f"outbound|443||{site.host}"))
        recorder.observations["headers added"] = sorted(names)
        assert names == set()
    request.is_blocked()


@pytest.mark.xdist_group("quiet-client")
@case(
    "HDR-08d",
    by_version={"1.28": QUIET},
    requires=(Requirement.NAMESPACES,),
    source="ProxyConfig.ProxyHeaders; recorded from the wire",
)
def test_leaks_of_a_quiet_sidecar(
    mesh: Mesh,
    client: Client,
    world: World,
    expected: object,
    patched_client: PatchedClient,
) -> None:
    """With all of proxyHeaders disabled the sidecar MUST add to a request the listed headers and no other."""
    site = world.site()
    cluster = f"outbound|80||{site.host}"
    with mesh.given("http/registered-host.yaml", host=site.host):
        assert added(client.get(site.url()).reaches(site, cluster=cluster)) >= set(REGISTERED)
        with quiet_client(patched_client, mesh, site) as quiet:
            names = added(quiet.get(site.url()).reaches(site, cluster=cluster))
            quiet.recorder.observations["headers added"] = sorted(names)
            assert names == set(expected)  # type: ignore[call-overload]
