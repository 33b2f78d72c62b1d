"""A request that is sent until three witnesses agree on what is expected, and what they saw of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from egress_conformance.traffic.attempt import Attempt
from egress_conformance.traffic.by_proxy import Answered, Blocked, IsBlocked
from egress_conformance.traffic.convergence import AGREEING, Convergence
from egress_conformance.traffic.expect import Expectation
from egress_conformance.traffic.many import Many
from egress_conformance.traffic.reaches import Reaches
from egress_conformance.traffic.recorder import CheckFailed
from egress_conformance.world.world import Server, Site

if TYPE_CHECKING:
    from egress_conformance.traffic.client import Client

PORTS = {"http": 80, "https": 443}
"""Of a scheme, where a URL names none."""


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
        chance_before: bool = False,
        **expect: object,
    ) -> Seen:
        """Wait until the request reaches a server of the target, by all three witnesses.

        Args:
            target: a site, any of whose servers may answer, or one server.
            cluster: Envoy cluster that must carry it.
            port: the server's port, if not the one the request names.
            times: how many attempts in a row must agree.
            mirrored_to: servers each of which must receive a copy of it besides.
            chance_before: whether it may have reached them by chance before the change, e.g. half of the time.
            expect: further fields of `reaches.Reaches`.

        Raises:
            CheckFailed: it does not; the message says who disagrees.
        """
        mirrored = {server.instance: server.name for server in mirrored_to}
        expectation = self._reaches(target, cluster, port, {"mirrored": mirrored, **expect})
        return self._converge(expectation, times, chance_before=chance_before)

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
            expect: further fields of `reaches.Reaches`.

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
            expect: further fields of `reaches.Reaches`.

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
            expect: further fields of `by_proxy.Answered`.

        Raises:
            CheckFailed: it does not.
        """
        servers = upstream.servers if isinstance(upstream, Site) else (upstream,) if upstream else ()
        addresses = frozenset(f"{server.address}:{port or self._port()}" for server in servers)
        return self._converge(Answered(status, flags, body, addresses, **expect))

    def _port(self) -> int:
        parts = urlsplit(self.arguments[-1].replace("{nonce}", "n"))
        return parts.port or PORTS[parts.scheme]

    def _converge(self, expectation: Expectation, times: int = AGREEING, *, chance_before: bool = False) -> Seen:
        self.client.recorder.hosts.append(self.host)
        with self.client.recorder.check(self.description, expectation) as check:
            try:
                return Seen(Convergence(self, expectation, times, check, chance_before=chance_before).run())
            except CheckFailed:
                # Now, while what the case applied is still there.
                self.client.take_evidence()
                raise
