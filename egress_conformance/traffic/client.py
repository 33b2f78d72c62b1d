"""The client: the pod in the mesh that sends requests; a request converges on an expectation, or fails."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.traffic.attempt import Attempt, other_lines
from egress_conformance.traffic.convergence import AGREEING, Convergence
from egress_conformance.traffic.expect import Answered, Blocked, Expectation, IsBlocked, Reaches
from egress_conformance.traffic.many import Many
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.recorder import DEADLINE_SECONDS, CheckFailed, Recorder
from egress_conformance.traffic.sockets import open_connections
from egress_conformance.waiting import wait_for
from egress_conformance.world.world import Server, Site, World

CURL_SECONDS = 5
_LINES_SHOWN = 40
_SOCKETS = ["cat", "/proc/net/tcp"]
TCP_SECONDS = 2
_PORTS = {"http": 80, "https": 443}
_VERSIONS = {"": [], "1.0": ["--http1.0"], "1.1": ["--http1.1"], "2": ["--http2-prior-knowledge"]}


@dataclass(frozen=True)
class Seen:
    """What a check that held saw: its last agreeing attempts.

    Attributes:
        attempts: those attempts, with all three witnesses.
    """

    attempts: list[Attempt]

    @property
    def last(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    def received(self, header: str) -> str | None:
        """The value of a request header as the server received it with the last attempt."""
        return self.last.requests[0].header(header)


@dataclass
class Client:
    """One client pod, as one case sees it.

    Args:
        kube: the cluster.
        namespace: where the pod is.
        address: its IP.
        pod: its name.
        world: the world of this case.
        recorder: keeps what the case's checks saw.
    """

    kube: Kube
    namespace: str
    address: str
    world: World
    recorder: Recorder
    pod: str = CLIENT

    @property
    def proxy(self) -> Proxy:
        """The pod's sidecar."""
        return Proxy(self._admin)

    def _admin(self, path: str) -> str:
        command = ["curl", "-sS", "--globoff", "--max-time", "10", f"http://localhost:15000{path}"]
        return self.kube.run(self.namespace, self.pod, CLIENT, command, bash=True)

    def delete(self) -> None:
        """Delete this pod; `clients`, asked for it again, makes it anew."""
        metadata = {"name": self.pod, "namespace": self.namespace}
        self.kube.delete({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})

    def take_evidence(self) -> None:
        """Keep the proxy's view of the hosts the case asked for, and what it logged beside its access log."""
        try:
            view = self.proxy.view(dict.fromkeys(self.recorder.hosts))
            log = self.kube.logs(self.namespace, self.pod, "istio-proxy", since=DEADLINE_SECONDS + 10)
            beside = "\n".join(other_lines(log)[-_LINES_SHOWN:])
            # Tells a line that is missing from one that is not due yet: of TCP it is written when all is over.
            sockets = open_connections(self.kube.run(self.namespace, self.pod, CLIENT, _SOCKETS, bash=True))
        except PlatformTrouble as trouble:
            view, beside, sockets = f"not to be had: {trouble}", "", []
        self.recorder.evidence["the proxy's view"] = view
        if sockets:
            self.recorder.evidence["its open connections"] = "\n".join(sockets)
        if beside:
            self.recorder.evidence["the proxy's log, less its access log"] = beside

    def shows(self, what: str, look: Callable[[Proxy], object], expected: object) -> None:
        """Wait until the sidecar's own view of its configuration has it, as a check without requests.

        Args:
            what: in words.
            look: takes it from the admin port.
            expected: what it must come to.

        Raises:
            CheckFailed: it does not.
        """
        seen: object = None

        def there() -> bool | None:
            nonlocal seen
            seen = look(self.proxy)
            return True if seen == expected else None

        with suppress(Timeout):
            wait_for(what, there, seconds=self.recorder.deadline, hint="istioctl proxy-config", every=0.1)
        self.recorder.fact(f"the sidecar shows {what}: {expected!r}", repr(seen), held=seen == expected)

    def get(self, url: str, *, dial: str | None = None, headers: dict[str, str] | None = None) -> "Request":
        """A GET, not yet sent.

        Args:
            url: absolute URL; https is verified against the world's CA.
            dial: connect to this address whatever the host resolves to (`curl --resolve`).
            headers: further request headers.
        """
        return self.request("GET", url, dial=dial, headers=headers)

    def request(
        self,
        method: str,
        url: str,
        *,
        dial: str | None = None,
        headers: dict[str, str] | None = None,
        body: str | bytes | None = None,
        http: str = "",
        seconds: int = CURL_SECONDS,
        options: Sequence[str] = (),
    ) -> "Request":
        """An HTTP or HTTPS request, not yet sent.

        Args:
            method: HTTP method.
            url: absolute URL; https is verified against the world's CA.
            dial: connect to this address whatever the host resolves to (`curl --resolve`).
            headers: further request headers.
            body: the request's body; `{nonce}` in it becomes the attempt's nonce.
            http: version to speak: 1.0, 1.1 or 2 (with prior knowledge); "" leaves it to curl.
            seconds: curl's time-out for one attempt.
            options: further options of curl (https://curl.se/docs/manpage.html).
        """
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
        arguments = ["--cacert", "/world/ca.crt", "--max-time", str(seconds), *_VERSIONS[http]]
        arguments += ["--head"] if method == "HEAD" else [] if method == "GET" else ["--request", method]
        if dial is not None:
            arguments += ["--resolve", f"{parts.hostname}:{port}:{dial}"]
        for name, value in (headers or {}).items():
            arguments += ["--header", f"{name}: {value}"]
        if body is not None:
            arguments += ["--data-binary", "@-"]
        mark = "&" if parts.query else "?"
        arguments += [*options, f"{url}{mark}attempt={{nonce}}"]
        description = f"{method} {url}"
        description += f" by HTTP/{http}" if http else ""
        description += f" dialling {dial}" if dial else ""
        blocked = Blocked.TLS_RESET if parts.scheme == "https" else Blocked.BAD_GATEWAY
        authority = parts.netloc.removesuffix(f":{_PORTS[parts.scheme]}")
        authority = next((value for name, value in (headers or {}).items() if name.lower() == "host"), authority)
        path = urlsplit(arguments[-1])
        target = f"{path.path or '/'}?{path.query}"
        host = parts.hostname or ""
        return Request(self, description, arguments, body or "", host, blocked, seconds, authority, target)

    def tcp(self, address: str, port: int, *, server_first: bool = False, seconds: float = TCP_SECONDS) -> "Request":
        """A TCP connection that sends one line and waits for one line, not yet made.

        Args:
            address: IP address, or a host name.
            port: TCP port.
            server_first: the client says nothing before the server has spoken.
            seconds: curl's time-out for one attempt.
        """
        arguments = ["--max-time", str(seconds), "--no-buffer", f"telnet://{address}:{port}"]
        stdin = "{greeting}{nonce}\n" if server_first else "{nonce}\n"
        return Request(self, f"TCP to {address}:{port}", arguments, stdin, address, Blocked.TCP_CLOSED, seconds)


@dataclass(frozen=True)
class Request:
    """A request that can be sent as often as it takes to converge.

    Attributes:
        client: who sends it.
        description: in words.
        arguments: curl's; `{nonce}` becomes the attempt's nonce.
        stdin: what curl reads, likewise.
        host: the host name or address it is for.
        blocked: the kind of being blocked this sort of request meets unless a case says otherwise.
        seconds: curl's time-out for one attempt.
        authority: the Host that is sent; "" where the protocol has none.
        target: the path that is sent, with `{nonce}` in it; "" likewise.
    """

    client: Client
    description: str
    arguments: list[str]
    stdin: str | bytes
    host: str
    blocked: Blocked
    seconds: float
    authority: str = ""
    target: str = ""

    def reaches(
        self,
        target: Site | Server,
        *,
        cluster: str,
        port: int | None = None,
        times: int = AGREEING,
        mirrored_to: Sequence[Server] = (),
        **expect: object,
    ) -> Seen:
        """Wait until the request reaches a server of the target, by all three witnesses.

        Args:
            target: a site, any of whose servers may answer, or one server.
            cluster: Envoy cluster that must carry it.
            port: the server's port, if not the one the request names.
            times: how many attempts in a row must agree.
            mirrored_to: servers each of which must receive a copy of it besides.
            expect: further fields of `expect.Reaches`.

        Raises:
            CheckFailed: it does not; the message says who disagrees.
        """
        mirrored = {server.instance: server.name for server in mirrored_to}
        return self._converge(self._reaches(target, cluster, port, {"mirrored": mirrored, **expect}), times)

    def _reaches(self, target: Site | Server, cluster: str, port: int | None, expect: dict[str, object]) -> Reaches:
        servers = target.servers if isinstance(target, Site) else (target,)
        name = target.host if isinstance(target, Site) else target.name
        port = port or self._port()
        tcp = self.arguments[-1].startswith("telnet:")
        tls = self.arguments[-1].startswith("https:")
        defaults: dict[str, object] = {"status": 0} if tcp else {}
        if tcp or tls:
            defaults["logged_code"] = 0
        return Reaches(
            name=name,
            instances={f"{server.address}:{port}": server.instance for server in servers},
            servers={server.instance: server.name for server in servers},
            cluster=cluster,
            **{"tls": tls, "host": self.authority, "path": self.target, **defaults, **expect},  # type: ignore[arg-type]
        )

    def never_fails(
        self,
        target: Site | Server,
        *,
        cluster: str,
        port: int | None = None,
        times: int = 300,
        **expect: Any,  # noqa: ANN401
    ) -> None:
        """Send a burst over one connection after another: every single request must arrive, once, and be answered.

        It does not wait for convergence: a check before it does.

        Args:
            target: a site, any of whose servers may answer, or one server.
            cluster: Envoy cluster that must carry all of them.
            port: the servers' port, if not the one the request names.
            times: how many requests.
            expect: further fields of `expect.Reaches`.

        Raises:
            CheckFailed: one did not.
        """
        with self.steadily(target, cluster=cluster, port=port, times=times, **expect) as many:
            many.wait()

    @contextmanager
    def steadily(
        self,
        target: Site | Server,
        *,
        cluster: str,
        port: int | None = None,
        times: int = 5000,
        per_second: int | None = None,
        then_blocked: bool = False,
        **expect: Any,  # noqa: ANN401
    ) -> Iterator[Many]:
        """Keep sending while something else happens; on leaving, every single request must have been served.

        Args:
            target: a site, any of whose servers may answer, or one server.
            cluster: Envoy cluster that must carry all of them.
            port: the servers' port, if not the one the request names.
            times: how many requests at the most.
            per_second: how many a second; None: one after the other.
            then_blocked: from some request on, and none before, each must be answered 502 by the proxy instead.
            expect: further fields of `expect.Reaches`.

        Raises:
            CheckFailed: one was not.
        """
        self.client.recorder.hosts.append(self.host)
        expectation = self._reaches(target, cluster, port, expect)
        with self.client.recorder.check(self.description, expectation) as check:
            try:
                with Many(self, expectation, times, per_second, check, then_blocked=then_blocked) as many:
                    yield many
                many.judge()
            except CheckFailed:
                self.client.take_evidence()
                raise

    def is_blocked(self, kind: Blocked | None = None) -> Seen:
        """Wait until the request is blocked at the proxy, by all three witnesses.

        Args:
            kind: how; by default the kind that REGISTRY_ONLY has for this sort of request.

        Raises:
            CheckFailed: it is not, or not in this way.
        """
        return self._converge(IsBlocked(kind or self.blocked))

    def is_answered(
        self,
        status: int,
        *,
        flags: str,
        body: bytes | re.Pattern[bytes],
        upstream: Site | Server | None = None,
        port: int | None = None,
        **expect: Any,  # noqa: ANN401
    ) -> Seen:
        """Wait until the proxy itself answers the request.

        Args:
            status: HTTP status.
            flags: Envoy's response flags.
            body: the whole body, or a regular expression for it.
            upstream: whom the proxy sent it to in vain before; None where no server hears of it.
            port: that server's port, if not the one the request names.
            expect: further fields of `expect.Answered`.

        Raises:
            CheckFailed: it does not.
        """
        servers = upstream.servers if isinstance(upstream, Site) else (upstream,) if upstream else ()
        addresses = frozenset(f"{server.address}:{port or self._port()}" for server in servers)
        return self._converge(Answered(status, flags, body, addresses, **expect))

    def _port(self) -> int:
        parts = urlsplit(self.arguments[-1].replace("{nonce}", "n"))
        return parts.port or _PORTS[parts.scheme]

    def _converge(self, expectation: Expectation, times: int = AGREEING) -> Seen:
        self.client.recorder.hosts.append(self.host)
        with self.client.recorder.check(self.description, expectation) as check:
            try:
                return Seen(Convergence(self, expectation, times, check).run())
            except CheckFailed:
                # Now, while what the case applied is still there.
                self.client.take_evidence()
                raise
