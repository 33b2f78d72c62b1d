"""Connections that the sidecar keeps to an external host, and the retries it allows itself."""

from collections.abc import Callable

from egress_conformance.case import case
from egress_conformance.errors import Timeout
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.traffic.attempt import Receipt
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.traffic.sockets import keepalive_seconds
from egress_conformance.waiting import wait_for
from egress_conformance.world.world import World

CONNECTION_POOL = "DestinationRule reference: ConnectionPoolSettings"

REQUESTS = 8
"""More than the sidecar has worker threads, each of which may have a connection of its own."""

WORKERS = 2
"""The sidecar's worker threads: what its CPU limit of 2 (Istio's default) comes to."""

Connections = set[tuple[str, str]]

CLOSED_SECONDS = 5
KEEPALIVE_SECONDS = 50
"""tcpKeepalive.time in the manifest."""


def _shows(client: Client, cluster: str, option: str, value: object) -> None:
    """Wait until the sidecar has an option of a cluster: a connection from before it says nothing."""
    client.shows(option, lambda proxy: proxy.connection_options(cluster).get(option), value)


@case("RSL-07", source=f"{CONNECTION_POOL}.HTTPSettings.maxRequestsPerConnection")
def test_requests_per_connection(mesh: Mesh, client: Client, world: World) -> None:
    """With maxRequestsPerConnection 1 each request MUST come over a connection of its own; without, they share."""
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"

    def connections() -> int:
        seen = request.reaches(site, cluster=cluster, times=REQUESTS)
        return len({attempt.requests[0].remote for attempt in seen.attempts})

    with mesh.given("http/registered-host.yaml", host=site.host):
        assert connections() <= WORKERS
        with mesh.apply("resilience/max-requests-per-connection.yaml", host=site.host):
            _shows(client, cluster, "max_requests_per_connection", 1)
            assert connections() == REQUESTS
        _shows(client, cluster, "max_requests_per_connection", None)
        assert connections() <= WORKERS


@case("RSL-07b", source=f"{CONNECTION_POOL}.HTTPSettings.idleTimeout: 1 hour by default")
def test_idle_timeout(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """A connection MUST be closed when it was idle for idleTimeout, and one to a host without it MUST be kept."""
    short, lasting = world.site("alpha"), world.site("beta")
    with (
        mesh.given("http/registered-host.yaml", host=lasting.host),
        mesh.given("resilience/another-host.yaml", host=short.host),
    ):
        after = world.mark()
        kept = client.get(lasting.url()).reaches(lasting, cluster=f"outbound|80||{lasting.host}")
        with mesh.apply("resilience/idle-timeout.yaml", host=short.host):
            _shows(client, f"outbound|80||{short.host}", "idle_timeout", "0.300s")
            seen = client.get(short.url()).reaches(short, cluster=f"outbound|80||{short.host}")
            idle = {_ends(seen.last.requests[0])}
            closed = _closed(world, client, after, lambda connections: idle <= connections)
            recorder.fact("the idle connection is closed", "closed" if idle <= closed else "open", held=idle <= closed)
            lasts = {_ends(kept.last.requests[0])}
            recorder.fact("the other is kept", "closed" if lasts & closed else "open", held=not lasts & closed)


def _ends(receipt: Receipt) -> tuple[str, str]:
    """Both ends of a connection: the proxy's own may be that of another one, to another server."""
    return receipt.server, receipt.remote


def _closed(world: World, client: Client, after: dict[str, int], enough: Callable[[Connections], bool]) -> Connections:
    """The connections that servers saw closed, once they are enough; those of the last look if that never comes."""
    seen: Connections = set()

    def look() -> Connections | None:
        nonlocal seen
        receipts: list[Receipt] = world.receipts(after, [client.address])
        seen = {_ends(receipt) for receipt in receipts if receipt.event == "close"}
        return seen if enough(seen) else None

    try:
        return wait_for("a connection to be closed", look, seconds=CLOSED_SECONDS, hint="idleTimeout", every=0.1)
    except Timeout:
        return seen


@case("RSL-07c", source=f"{CONNECTION_POOL}.TCPSettings.TcpKeepalive")
def test_tcp_keepalive(mesh: Mesh, client: Client, world: World, recorder: Recorder) -> None:
    """With tcpKeepalive a connection to an external host MUST have keepalive probes due after its time, else none.

    The kernel tells it of each socket in the pod's /proc/net/tcp. Istio sets no keepalive by default, and says so of
    MeshConfig.tcpKeepalive.
    """
    site = world.site()
    request = client.get(site.url())
    cluster = f"outbound|80||{site.host}"

    def due() -> float | None:
        seen = request.reaches(site, cluster=cluster)
        table = client.kube.run(client.namespace, client.pod, "client", ["cat", "/proc/net/tcp"])
        (server,) = site.servers
        return keepalive_seconds(table, seen.last.requests[0].remote, f"{server.address}:80")

    with mesh.given("http/registered-host.yaml", host=site.host):
        assert due() is None
        with mesh.apply("resilience/tcp-keepalive.yaml", host=site.host):
            _shows(client, cluster, "keepalive_time", KEEPALIVE_SECONDS)
            seconds = due()
            held = seconds is not None and 0 < seconds <= KEEPALIVE_SECONDS
            left = [] if seconds is None else [f"in {seconds:.0f} s, of the kernel's timers in the pod"]
            seen = "it is, in time" if held else "none is" if seconds is None else "one is, but not in time"
            recorder.fact("a keepalive probe is due", seen, held=held, envoy=left)
        _shows(client, cluster, "keepalive_time", None)
        assert due() is None


@case(
    "RSL-08",
    source="releasenotes/notes/retry-budget-percent.yaml (1.28.6, 1.29.2, 1.30); core.applyRetryBudget",
    by_version={"1.28": 0.2, "1.28.6": 20, "1.29": 0.2, "1.29.2": 20, "1.30": 20},
)
def test_retry_budget_default(mesh: Mesh, client: Client, world: World, expected: float) -> None:
    """A retryBudget without a percent MUST be 20 % of the active requests, where it says so of its default.

    Before the bug was mended it was 0.2 %. What it comes to is read from the cluster that the sidecar was given; that
    requests are tried again within minRetryConcurrency is seen by requests.
    """
    site = world.site()
    failing = client.get(site.url("/status/503"))
    cluster = f"outbound|80||{site.host}"
    budget = "retry_budget.budget_percent"
    with (
        mesh.given("http/registered-host.yaml", host=site.host),
        mesh.given("resilience/retries.yaml", host=site.host),
    ):
        failing.reaches(site, cluster=cluster, status=503, flags="URX", arrivals=4)
        client.shows("no retry budget", lambda proxy: proxy.thresholds(cluster).get(budget), None)
        with mesh.apply("resilience/retry-budget.yaml", host=site.host):
            client.shows("a retry budget in percent", lambda proxy: proxy.thresholds(cluster).get(budget), expected)
            failing.reaches(site, cluster=cluster, status=503, flags="URX", arrivals=4)
        client.shows("no retry budget", lambda proxy: proxy.thresholds(cluster).get(budget), None)
