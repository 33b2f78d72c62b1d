"""What a request is expected to come to, and where a witness disagrees. Pure logic: nothing here talks to anything."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from egress_conformance.traffic.attempt import Attempt, CurlSaw, EnvoyLogged, Receipt, joined

PASSTHROUGH = "PassthroughCluster"
BLACK_HOLE = "BlackHoleCluster"


class Expectation(Protocol):
    """An outcome that can be told at a glance from curl alone, and judged by all three witnesses."""

    def __str__(self) -> str: ...

    def at_a_glance(self, curl: CurlSaw) -> bool:
        """Whether curl saw what is expected: enough to stop sending and ask the other two."""
        ...

    def problems(self, attempt: Attempt) -> list[str]:
        """Where a witness disagrees, as `witness: what it says instead`; empty when all three agree."""
        ...

    def accounts_for(self, receipt: Receipt) -> bool:  # noqa: ARG002
        """Whether a receipt that neither curl nor Envoy's log accounts for is expected, e.g. of a mirrored request."""
        return False

    def is_logged(self) -> bool:
        """Whether the caller's Envoy logs it: not where its log is off, or where it never gets to know what it is."""
        return True

    def interchangeable(self) -> list[list[str]]:
        """Things any of which may be seen, by chance, set by set: clusters, and servers as `ip:port`."""
        return []

    def chance(self) -> tuple[str, ...]:
        """Request headers, in lower case, whose value is chance where otherwise it is the same in each run."""
        return ()


def _check(problems: list[str], witness: str, what: str, seen: object, expected: object) -> None:
    if seen != expected:
        problems.append(f"{witness}: {what} is {seen!r}, expected {expected!r}")


def _number(count: int) -> str:
    return "one" if count == 1 else str(count)


def _one_line(problems: list[str], attempt: Attempt, *, logged: bool = True) -> EnvoyLogged | None:
    """The one line Envoy must have logged of an attempt; None, where it must not log and did not."""
    if not logged and not attempt.logged:
        return None
    if not logged:
        problems.append(f"envoy: logged {len(attempt.logged)} lines of this attempt, expected none")
        return None
    if len(attempt.logged) == 1:
        return attempt.logged[0]
    problems.append(f"envoy: logged {len(attempt.logged)} lines of this attempt, expected exactly one")
    return None


def _connection_problems(line: EnvoyLogged | None, requests: list[Receipt]) -> list[str]:
    """Whether the connection Envoy sent a request on is one that a server received it on."""
    remotes = sorted({receipt.remote for receipt in requests})
    if line is None or not remotes or line.upstream_local in remotes:
        return []
    return [f"server: received from {', '.join(remotes)}, but Envoy sent from {line.upstream_local}"]


def _header_problems(witness: str, expected: dict[str, str | None], headers: Iterable[Iterable[str]]) -> list[str]:
    """Where request headers, as a server received them, are not as expected."""
    values = joined(headers)
    found = []
    for name, pattern in expected.items():
        value = values.get(name.lower())
        if pattern is None and value is not None:
            found.append(f"{witness}: the server received {name}: {value!r}, expected none")
        elif pattern is not None and (value is None or re.fullmatch(pattern, value) is None):
            found.append(f"{witness}: the server received {name}: {value!r}, expected {pattern!r}")
    return found


@dataclass(frozen=True)
class Reaches(Expectation):
    """The request arrives, once, at one of these servers, by this cluster, and its answer comes back.

    Attributes:
        name: who is reached, for messages.
        instances: the servers' secrets (by address `ip:port`), which only they can tell.
        cluster: the Envoy cluster that must have carried it.
        or_cluster: another that may have done so instead, where a route is split; "" if none.
        mirrored: names of the servers (by their secrets) each of which must receive a copy; Envoy logs none of these.
        status: HTTP status of the answer; 0 for protocols without one.
        tls: the client speaks TLS end to end: the certificate must be the server's own.
        headers: response headers that must be there with this value; None: must not be there; "*": any value.
        received: request headers as the server received them, by name: a regular expression for the whole value;
            None: must not be there.
        logged_code: response code in Envoy's log; 0 for a connection passed on as TCP.
        flags: Envoy's response flags.
        at_least_seconds: the answer may not come sooner.
        at_most_seconds: nor later.
        arrivals: how often the servers receive it: more than once where the proxy tries again.
        host: the Host (`:authority`) the servers must have received; "" where the protocol has none.
        path: the path they must have received, `{nonce}` standing for the attempt's nonce; "" likewise.
        via: `ip:port` of a gateway, to which the caller's Envoy hands it; "" where it goes to the server itself.
        logged: whether the caller's Envoy logs it; False: its access log is off, and it must not.
        answered: what the server says of the request as it saw it, by field of its answer (images/world/http.go), e.g.
            `client_certificate`.
        by_chance: request headers whose value is chance, e.g. the attempt count where another server, which the proxy
            may or may not have tried before, accepts no connection.
    """

    name: str
    instances: dict[str, str]
    servers: dict[str, str]
    cluster: str
    or_cluster: str = ""
    status: int = 200
    tls: bool = False
    headers: dict[str, str | None] = field(default_factory=dict)
    received: dict[str, str | None] = field(default_factory=dict)
    mirrored: dict[str, str] = field(default_factory=dict)
    logged_code: int | None = None
    flags: str = "-"
    at_least_seconds: float = 0
    at_most_seconds: float = 5
    arrivals: int = 1
    host: str = ""
    path: str = ""
    via: str = ""
    logged: bool = True
    answered: dict[str, object] = field(default_factory=dict)
    by_chance: tuple[str, ...] = ()

    def __str__(self) -> str:
        unlogged = "" if self.logged else ", which nobody logs,"
        return f"reaches {self.name} by {self.cluster}{unlogged}" + (f" with {self.status}" if self.status else "")

    def at_a_glance(self, curl: CurlSaw) -> bool:
        """See `Expectation`."""
        return not self._curl_problems(curl)

    def problems(self, attempt: Attempt) -> list[str]:
        """See `Expectation`."""
        found = self._curl_problems(attempt.curl)
        # Who answered, if it is one of them: only then do the other two contradict curl by naming another of them.
        answered = attempt.curl.answer.get("instance")
        answered = answered if answered in self.instances.values() else None
        if not attempt.curl.exit_code:
            _check(found, "curl", "the nonce that came back", attempt.curl.answer.get("nonce"), attempt.nonce)
        line = _one_line(found, attempt, logged=self.logged)
        if line is not None:
            found += self._envoy_problems(line, answered)
        requests = [receipt for receipt in attempt.requests if receipt.instance not in self.mirrored]
        for secret, name in self.mirrored.items():
            copies = sum(receipt.instance == secret for receipt in attempt.requests)
            _check(found, "server", f"the number of copies {name} received", copies, 1)
        if len(requests) != self.arrivals:
            where = ", ".join(sorted({receipt.server for receipt in requests})) or "nobody"
            found.append(f"server: {len(requests)} receipts ({where}), expected exactly {_number(self.arrivals)}")
        found += _connection_problems(None if self.via else line, requests)
        for number, receipt in enumerate(requests, start=1):
            # Of several arrivals the last is the one whose answer came back.
            found += self._receipt_problems(receipt, attempt.nonce, answered if number >= self.arrivals else None)
        return found

    def _envoy_problems(self, line: EnvoyLogged, answered: str | None) -> list[str]:
        """Where Envoy's line disagrees; `answered` is the secret of the server that curl was answered by."""
        found: list[str] = []
        if line.cluster != self.or_cluster or not line.cluster:
            _check(found, "envoy", "the cluster", line.cluster, self.cluster)
        code = self.status if self.logged_code is None else self.logged_code
        _check(found, "envoy", "the response code", line.code, code)
        _check(found, "envoy", "the response flags", line.flags, self.flags)
        if self.via:
            _check(found, "envoy", "the gateway it was handed to", line.upstream_host, self.via)
        elif self.instances.get(line.upstream_host) is None:
            found.append(f"envoy: sent it to {line.upstream_host}, expected one of {sorted(self.instances)}")
        elif answered and self.instances[line.upstream_host] != answered:
            found.append(f"envoy: sent it to {line.upstream_host}, but another server answered")
        return found

    def _receipt_problems(self, receipt: Receipt, nonce: str, answered: str | None) -> list[str]:
        """Where a receipt disagrees; `answered` is the secret of the server whose receipt it must be."""
        found: list[str] = []
        if receipt.instance not in self.instances.values():
            found.append(f"server: received by {receipt.server}, expected {self.name}")
        elif answered and receipt.instance != answered:
            found.append(f"server: received by {receipt.server}, but the answer is another server's")
        if self.host:
            _check(found, "server", "the host it received", receipt.host, self.host)
        if self.path:
            _check(found, "server", "the path", receipt.path, self.path.replace("{nonce}", nonce))
        return found + _header_problems("server", self.received, receipt.headers)

    def accounts_for(self, receipt: Receipt) -> bool:
        """See `Expectation`."""
        # Where Envoy logs nothing it names no connections to compare with; what they carried has nonces.
        return receipt.instance in self.mirrored or (not self.logged and receipt.event == "connect")

    def is_logged(self) -> bool:
        """See `Expectation`."""
        return self.logged

    def interchangeable(self) -> list[list[str]]:
        """See `Expectation`."""
        return [list(self.instances), *([[self.cluster, self.or_cluster]] if self.or_cluster else [])]

    def chance(self) -> tuple[str, ...]:
        """See `Expectation`."""
        return self.by_chance

    @property
    def as_bytes(self) -> bool:
        """Whether the sidecar passes it on without looking into it, and so logs connections only."""
        return self.logged_code == 0

    def _curl_problems(self, curl: CurlSaw) -> list[str]:
        found: list[str] = []
        if curl.exit_code:
            return [f"curl: exit code is {curl.exit_code} ({curl.error}), expected 0"]
        _check(found, "curl", "the status", curl.status, self.status)
        if curl.answer.get("instance") not in self.instances.values():
            who = curl.answer.get("server") or "somebody unknown to the world"
            found.append(f"curl: answered by {who}, expected {self.name}")
        if self.tls:
            server = self.servers.get(curl.answer.get("instance", ""), "")
            _check(found, "curl", "the certificate's owner", curl.certificate_organization, server)
        for header, value in self.headers.items():
            seen = curl.headers.get(header)
            if value == "*":
                if seen is None:
                    found.append(f"curl: no response header {header}, expected one")
            else:
                _check(found, "curl", f"response header {header}", seen, value)
        if not self.at_least_seconds <= curl.seconds <= self.at_most_seconds:
            bounds = f"{self.at_least_seconds} to {self.at_most_seconds} s"
            found.append(f"curl: answered after {curl.seconds:.3f} s, expected {bounds}")
        for name, wanted in self.answered.items():
            _check(found, "curl", f"the {name.replace('_', ' ')} the server saw", curl.answer.get(name), wanted)
        # The answer mostly repeats what the server received: good enough to see at a glance, the receipt decides.
        if "headers" in curl.answer:
            found += _header_problems("curl", self.received, curl.answer["headers"] or [])
        return found


class Blocked(StrEnum):
    """The kinds of being blocked a case can name."""

    BAD_GATEWAY = "502 from the proxy"
    RESET = "connection reset"
    TLS_RESET = "connection reset during the TLS handshake"
    TCP_CLOSED = "connection closed with no byte of an answer"
    UNAVAILABLE = "503 from the proxy"
    HTTP2_RESET = "connection reset under HTTP/2"
    HANGS = "no answer: the proxy waits for the client to speak first"


@dataclass(frozen=True)
class _Signature:
    """How one kind of being blocked looks to curl and to Envoy."""

    exit_codes: frozenset[int]
    status: int
    cluster: str
    flags: str
    details: str | None
    route: str | None = None


# curl: 35 TLS handshake failed, 52 empty reply, 56 failure in receiving. A black-holed HTTP request ends in 52 or 56,
# either, as the close races with the request; with HTTP/2 in 55 (failure in sending) or 56. Envoy's UH: no healthy
# upstream host, which is what an empty cluster has. A connection that hangs ends in curl's time-out, 28: a listener
# filter inspects it, so that there is no filter chain yet, and nothing that could log it.
_SIGNATURES = {
    Blocked.BAD_GATEWAY: _Signature(frozenset({0}), 502, "", "-", "direct_response", "block_all"),
    Blocked.RESET: _Signature(frozenset({52, 56}), 0, BLACK_HOLE, "UH", None),
    Blocked.TLS_RESET: _Signature(frozenset({35}), 0, BLACK_HOLE, "UH", None),
    Blocked.TCP_CLOSED: _Signature(frozenset({0, 56}), 0, BLACK_HOLE, "UH", None),
    Blocked.UNAVAILABLE: _Signature(frozenset({0}), 503, "*", "UH", None),
    Blocked.HTTP2_RESET: _Signature(frozenset({55, 56}), 0, BLACK_HOLE, "UH", None),
    Blocked.HANGS: _Signature(frozenset({28}), 0, "", "", None),
}


@dataclass(frozen=True)
class IsBlocked(Expectation):
    """The request ends at the caller's proxy, in this way, and no server hears of it."""

    kind: Blocked

    def __str__(self) -> str:
        return f"is blocked: {self.kind}"

    def is_logged(self) -> bool:
        """See `Expectation`."""
        return self.kind is not Blocked.HANGS

    def at_a_glance(self, curl: CurlSaw) -> bool:
        """See `Expectation`."""
        return not self._curl_problems(curl)

    def problems(self, attempt: Attempt) -> list[str]:
        """See `Expectation`."""
        signature = _SIGNATURES[self.kind]
        found = self._curl_problems(attempt.curl)
        line = _one_line(found, attempt, logged=self.is_logged())
        if line is not None:
            if signature.cluster != "*":
                _check(found, "envoy", "the cluster", line.cluster, signature.cluster)
            _check(found, "envoy", "the response code", line.code, signature.status)
            _check(found, "envoy", "the response flags", line.flags, signature.flags)
            _check(found, "envoy", "the upstream host", line.upstream_host, "-")
            if signature.details:
                _check(found, "envoy", "the response code details", line.details, signature.details)
            if signature.route:
                _check(found, "envoy", "the route", line.route, signature.route)
        found += [f"server: {receipt} in spite of it" for receipt in attempt.received]
        return found

    def _curl_problems(self, curl: CurlSaw) -> list[str]:
        signature = _SIGNATURES[self.kind]
        found: list[str] = []
        if curl.exit_code not in signature.exit_codes:
            codes = " or ".join(str(code) for code in sorted(signature.exit_codes))
            found.append(f"curl: exit code is {curl.exit_code} ({curl.error or curl}), expected {codes}")
        _check(found, "curl", "the status", curl.status, signature.status)
        if signature.status:
            _check(found, "curl", "response header server", curl.headers.get("server"), "envoy")
        if signature.status == 502 or not signature.status:
            _check(found, "curl", "the body", curl.body, b"")
        return found


@dataclass(frozen=True)
class Answered(Expectation):
    """The proxy itself answers, in a way the case describes: at once, or when nothing good came back from upstream.

    Attributes:
        status: HTTP status.
        flags: Envoy's response flags.
        body: the whole body, or a regular expression for it.
        upstream: `ip:port` of each server it may have been sent to before (e.g. a time-out); none where the proxy
            answers by itself (e.g. an injected fault), so that no server hears of it.
        arrivals: how many times those servers receive the request; 0 also where only a connection is tried.
        failure: regular expression for Envoy's transport failure reason, e.g. of a certificate it does not accept.
    """

    status: int
    flags: str
    body: bytes | re.Pattern[bytes]
    upstream: frozenset[str] = frozenset()
    arrivals: int = 0
    failure: str = "-"

    def __str__(self) -> str:
        return f"is answered {self.status} by the proxy (flags {self.flags})"

    def interchangeable(self) -> list[list[str]]:
        """See `Expectation`."""
        return [sorted(self.upstream)]

    def at_a_glance(self, curl: CurlSaw) -> bool:
        """See `Expectation`."""
        return not self._curl_problems(curl)

    def problems(self, attempt: Attempt) -> list[str]:
        """See `Expectation`."""
        found = self._curl_problems(attempt.curl)
        line = _one_line(found, attempt)
        if line is not None:
            _check(found, "envoy", "the response flags", line.flags, self.flags)
            _check(found, "envoy", "the response code", line.code, self.status)
            if not self.upstream:
                _check(found, "envoy", "the upstream host", line.upstream_host, "-")
            elif line.upstream_host not in self.upstream:
                found.append(f"envoy: sent it to {line.upstream_host}, expected one of {sorted(self.upstream)}")
            if re.fullmatch(self.failure, line.transport_failure) is None:
                found.append(f"envoy: the transport failure is {line.transport_failure!r}, expected {self.failure!r}")
        if not self.upstream:
            return found + [f"server: {receipt} in spite of it" for receipt in attempt.received]
        count = len(attempt.requests)
        if count != self.arrivals:
            found.append(f"server: {count} receipts of the request, expected exactly {_number(self.arrivals)}")
        return found

    def _curl_problems(self, curl: CurlSaw) -> list[str]:
        found: list[str] = []
        _check(found, "curl", "the exit code", curl.exit_code, 0)
        _check(found, "curl", "the status", curl.status, self.status)
        if isinstance(self.body, bytes):
            _check(found, "curl", "the body", curl.body, self.body)
        elif self.body.fullmatch(curl.body) is None:
            found.append(f"curl: the body is {curl.body!r}, expected {self.body.pattern!r}")
        _check(found, "curl", "response header server", curl.headers.get("server"), "envoy")
        return found
