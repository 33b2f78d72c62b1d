"""The proxy itself ends the request: it blocks it, or answers it. Pure logic, as `expect`."""

import re
from dataclasses import dataclass
from enum import StrEnum

from egress_conformance.report.observed import BLACK_HOLE
from egress_conformance.traffic.attempt import Attempt, CurlSaw
from egress_conformance.traffic.expect import Expectation, check, number_word, one_line


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
        line = one_line(found, attempt, logged=self.is_logged())
        if line is not None:
            if signature.cluster != "*":
                check(found, "envoy", "the cluster", line.cluster, signature.cluster)
            check(found, "envoy", "the response code", line.code, signature.status)
            check(found, "envoy", "the response flags", line.flags, signature.flags)
            check(found, "envoy", "the upstream host", line.upstream_host, "-")
            if signature.details:
                check(found, "envoy", "the response code details", line.details, signature.details)
            if signature.route:
                check(found, "envoy", "the route", line.route, signature.route)
        found += [f"server: {receipt} in spite of it" for receipt in attempt.received]
        return found

    def _curl_problems(self, curl: CurlSaw) -> list[str]:
        signature = _SIGNATURES[self.kind]
        found: list[str] = []
        if curl.exit_code not in signature.exit_codes:
            codes = " or ".join(str(code) for code in sorted(signature.exit_codes))
            found.append(f"curl: exit code is {curl.exit_code} ({curl.error or curl}), expected {codes}")
        check(found, "curl", "the status", curl.status, signature.status)
        if signature.status:
            check(found, "curl", "response header server", curl.headers.get("server"), "envoy")
        if signature.status == 502 or not signature.status:
            check(found, "curl", "the body", curl.body, b"")
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
        line = one_line(found, attempt)
        if line is not None:
            check(found, "envoy", "the response flags", line.flags, self.flags)
            check(found, "envoy", "the response code", line.code, self.status)
            if not self.upstream:
                check(found, "envoy", "the upstream host", line.upstream_host, "-")
            elif line.upstream_host not in self.upstream:
                found.append(f"envoy: sent it to {line.upstream_host}, expected one of {sorted(self.upstream)}")
            if re.fullmatch(self.failure, line.transport_failure) is None:
                found.append(f"envoy: the transport failure is {line.transport_failure!r}, expected {self.failure!r}")
        if not self.upstream:
            return found + [f"server: {receipt} in spite of it" for receipt in attempt.received]
        count = len(attempt.requests)
        if count != self.arrivals:
            found.append(f"server: {count} receipts of the request, expected exactly {number_word(self.arrivals)}")
        return found

    def _curl_problems(self, curl: CurlSaw) -> list[str]:
        found: list[str] = []
        check(found, "curl", "the exit code", curl.exit_code, 0)
        check(found, "curl", "the status", curl.status, self.status)
        if isinstance(self.body, bytes):
            check(found, "curl", "the body", curl.body, self.body)
        elif self.body.fullmatch(curl.body) is None:
            found.append(f"curl: the body is {curl.body!r}, expected {self.body.pattern!r}")
        check(found, "curl", "response header server", curl.headers.get("server"), "envoy")
        return found
