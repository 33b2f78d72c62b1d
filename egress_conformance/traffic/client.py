"""The client: the pod in the mesh that sends requests; a request converges on an expectation, or fails."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from urllib.parse import urlsplit

from egress_conformance.cluster.kube import Exec, Kube
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.proxy import Proxy, parse_stats
from egress_conformance.traffic.attempt import (
    Attempt,
    EnvoyLogged,
    join,
    parse_attempt,
    parse_log,
    unaccounted,
)
from egress_conformance.traffic.expect import Answered, Blocked, Expectation, IsBlocked, Reaches
from egress_conformance.traffic.recorder import DEADLINE_SECONDS, CheckDraft, CheckFailed, Recorder
from egress_conformance.waiting import wait_for
from egress_conformance.world.world import Server, Site, World

CONTAINER = "client"
AGREEING = 3
"""Attempts in a row that must agree, by all three witnesses, before a check holds."""

_INTERVAL_SECONDS = 0.02
_CURL_SECONDS = 5
_ADMIN_SECONDS = 10
_LOG_SECONDS = 3
_STATS = r"cluster[.].*(upstream_rq_total|upstream_cx_total|upstream_cx_none_healthy|upstream_rq_retry)$"
_SCRIPT = resources.files("egress_conformance.traffic").joinpath("attempts.sh")


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
    pod: str = "client"

    @property
    def proxy(self) -> Proxy:
        """The pod's sidecar."""
        return Proxy(self._admin)

    def _admin(self, path: str) -> str:
        command = ["curl", "-sS", "--globoff", "--max-time", "10", f"http://localhost:15000{path}"]
        return self.kube.run(self.namespace, self.pod, CONTAINER, command)

    def take_evidence(self) -> None:
        """Keep the proxy's view of the hosts the case asked for."""
        try:
            view = self.proxy.view(dict.fromkeys(self.recorder.hosts))
        except PlatformTrouble as trouble:
            view = f"not to be had: {trouble}"
        self.recorder.evidence["the proxy's view"] = view

    def get(self, url: str, *, dial: str | None = None, headers: dict[str, str] | None = None) -> "Request":
        """An HTTP or HTTPS request, not yet sent.

        Args:
            url: absolute URL; https is verified against the world's CA.
            dial: connect to this address whatever the host resolves to (`curl --resolve`).
            headers: further request headers.
        """
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        arguments = ["--cacert", "/world/ca.crt", "--max-time", str(_CURL_SECONDS)]
        if dial is not None:
            arguments += ["--resolve", f"{parts.hostname}:{port}:{dial}"]
        for name, value in (headers or {}).items():
            arguments += ["--header", f"{name}: {value}"]
        mark = "&" if parts.query else "?"
        arguments.append(f"{url}{mark}attempt={{nonce}}")
        blocked = Blocked.TLS_RESET if parts.scheme == "https" else Blocked.BAD_GATEWAY
        host = parts.hostname or ""
        return Request(self, f"GET {url}" + (f" dialling {dial}" if dial else ""), arguments, "", host, blocked)

    def tcp(self, address: str, port: int) -> "Request":
        """A TCP connection that sends one line and waits for one line, not yet made.

        Args:
            address: IP address.
            port: TCP port.
        """
        arguments = ["--max-time", "2", f"telnet://{address}:{port}"]
        description = f"TCP to {address}:{port}"
        return Request(self, description, arguments, "{nonce}\n", address, Blocked.TCP_CLOSED)


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
    """

    client: Client
    description: str
    arguments: list[str]
    stdin: str
    host: str
    blocked: Blocked

    def reaches(
        self, target: Site | Server, *, cluster: str, port: int | None = None, times: int = AGREEING, **expect: object
    ) -> Seen:
        """Wait until the request reaches a server of the target, by all three witnesses.

        Args:
            target: a site, any of whose servers may answer, or one server.
            cluster: Envoy cluster that must carry it.
            port: the server's port, if not the one the request names.
            times: how many attempts in a row must agree.
            expect: further fields of `expect.Reaches`.

        Raises:
            CheckFailed: it does not; the message says who disagrees.
        """
        servers = target.servers if isinstance(target, Site) else (target,)
        name = target.host if isinstance(target, Site) else target.name
        port = port or self._port()
        tcp = self.arguments[-1].startswith("telnet:")
        tls = self.arguments[-1].startswith("https:")
        defaults: dict[str, object] = {"status": 0} if tcp else {}
        if tcp or tls:
            defaults["logged_code"] = 0
        return self._converge(
            Reaches(
                name=name,
                instances={f"{server.address}:{port}": server.instance for server in servers},
                servers={server.instance: server.name for server in servers},
                cluster=cluster,
                **{"tls": tls, **defaults, **expect},  # type: ignore[arg-type]
            ),
            times,
        )

    def is_blocked(self, kind: Blocked | None = None) -> Seen:
        """Wait until the request is blocked at the proxy, by all three witnesses.

        Args:
            kind: how; by default the kind that REGISTRY_ONLY has for this sort of request.

        Raises:
            CheckFailed: it is not, or not in this way.
        """
        return self._converge(IsBlocked(kind or self.blocked))

    def is_answered(self, status: int, *, flags: str, body: bytes) -> Seen:
        """Wait until the proxy itself answers the request, and no server hears of it.

        Args:
            status: HTTP status.
            flags: Envoy's response flags.
            body: the whole body.

        Raises:
            CheckFailed: it does not.
        """
        return self._converge(Answered(status, flags, body))

    def _port(self) -> int:
        parts = urlsplit(self.arguments[-1].replace("{nonce}", "n"))
        return parts.port or {"http": 80, "https": 443}[parts.scheme]

    def _converge(self, expectation: Expectation, times: int = AGREEING) -> Seen:
        self.client.recorder.hosts.append(self.host)
        with self.client.recorder.check(self.description, expectation) as check:
            try:
                return Convergence(self, expectation, times, check).run()
            except CheckFailed:
                # Now, while what the case applied is still there.
                self.client.take_evidence()
                raise


class Convergence:
    """One check: a loop in the pod, watched until all three witnesses agree or the deadline passes."""

    def __init__(self, request: Request, expectation: Expectation, times: int, check: CheckDraft) -> None:
        self._request = request
        self._client = request.client
        self._expectation = expectation
        self._times = times
        self._check = check
        self._attempts: list[Attempt] = []
        self._before: dict[str, int] = {}

    def run(self) -> Seen:
        """Watch the loop.

        Raises:
            CheckFailed: the deadline passed without agreement.
            PlatformTrouble: the loop broke.
        """
        world, client = self._client.world, self._client
        mark = world.mark()
        prefix = f"n{secrets.token_hex(5)}"
        command = ["bash", "-c", _SCRIPT.read_text(encoding="utf-8"), "attempts", prefix]
        command += [f"{client.recorder.deadline:.0f}", str(_INTERVAL_SECONDS), _STATS, self._request.stdin]
        with client.kube.exec(client.namespace, client.pod, CONTAINER, command + self._request.arguments) as loop:
            if self._watch(loop, mark, prefix):
                return Seen(self._attempts[-self._times :])
        if not self._attempts:
            raise PlatformTrouble("client pod broken", "the loop in the pod sent nothing")
        # The loop may have spent its time between the last agreeing attempt and the word of the other two.
        agrees = [self._expectation.at_a_glance(attempt.curl) for attempt in self._attempts[-self._times :]]
        if self._judge(mark, prefix) and all(agrees) and len(agrees) == self._times:
            return Seen(self._attempts[-self._times :])
        raise self._check.failure()

    def _watch(self, loop: Exec, mark: dict[str, int], prefix: str) -> bool:
        """Follow the loop until the three witnesses agree or it has spent its time. Whether they agree."""
        ready_us, streak, settling = 0, 0, False
        while (line := loop.line(_CURL_SECONDS + _ADMIN_SECONDS)) != "spent":
            if line is None:
                raise PlatformTrouble("exec broke off", "the loop in the pod ended before its time")
            word, *words = line.split("\t")
            if word == "ready":
                with _understood(line):
                    ready_us, self._before = int(words[0]), _decode_stats(words[1])
                self._check.loop_is_ready()
            elif word == "attempt":
                with _understood(line):
                    self._attempts.append(parse_attempt(words, ready_us))
                streak = streak + 1 if self._expectation.at_a_glance(self._attempts[-1].curl) else 0
                if streak >= self._times and not settling:
                    # Curl agrees often enough: with the loop standing still, ask the other two witnesses.
                    settling = True
                    loop.send("settle")
            elif word == "settled":
                with _understood(line):
                    self._count(_decode_stats(words[0]))
                agree = self._judge(mark, prefix)
                loop.send("quit" if agree else "go")
                if agree:
                    return True
                settling = False
            else:
                raise _broken(line)
        return False

    def _count(self, after: dict[str, int]) -> None:
        self._check.counted = {
            name: value - self._before.get(name, 0)
            for name, value in sorted(after.items())
            if value != self._before.get(name, 0) and "xds-grpc" not in name
        }

    def _judge(self, mark: dict[str, int], prefix: str) -> bool:
        client = self._client
        log = self._log()
        match = [prefix, self._request.host, client.address]
        receipts = client.world.receipts(mark, match)
        self._attempts = [join(attempt, log, receipts) for attempt in self._attempts]
        judged = self._attempts[-self._times :]
        problems = [self._expectation.problems(attempt) for attempt in judged]
        stray = unaccounted(self._attempts, log, receipts)
        problems[-1] += [f"server: {receipt}, which neither curl nor Envoy accounts for" for receipt in stray]
        return self._check.judged(self._attempts, judged, problems)

    def _log(self) -> list[EnvoyLogged]:
        """Envoy's log, once it holds a line for each attempt that connected; what is there after a while if not."""
        wanted = {f":{attempt.curl.local_port}" for attempt in self._attempts if attempt.curl.local_port}
        seen: list[EnvoyLogged] = []

        def look() -> list[EnvoyLogged] | None:
            nonlocal seen
            client = self._client
            text = client.kube.logs(client.namespace, client.pod, "istio-proxy", since=DEADLINE_SECONDS + 10)
            seen = parse_log(text)
            ends = tuple(wanted)
            found = {entry.downstream_remote for entry in seen if entry.downstream_remote.endswith(ends)}
            return seen if len(found) >= len(wanted) else None

        try:
            return wait_for("Envoy's access log", look, seconds=_LOG_SECONDS, hint="is access logging on?", every=0.02)
        except Timeout:
            # A missing line is for the judge to report, with what the other witnesses saw.
            return seen


def _broken(line: str) -> PlatformTrouble:
    return PlatformTrouble("client pod broken", f"the loop in the pod said {line[:200]!r}")


@contextmanager
def _understood(line: str) -> Iterator[None]:
    """What the loop says must make sense; a pod that garbles it says nothing about Istio."""
    try:
        yield
    except (ValueError, IndexError) as error:
        raise _broken(line) from error


def _decode_stats(text: str) -> dict[str, int]:
    return parse_stats(base64.b64decode(text).decode())
