"""One request and what the three witnesses saw of it. Pure data: nothing here talks to anything."""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class CurlSaw:
    """The first witness: the client.

    Attributes:
        exit_code: curl's (https://curl.se/docs/manpage.html#EXIT).
        error: curl's error message, "" if none.
        status: HTTP status, 0 if there was no answer.
        headers: response headers by lower-case name; several of one name joined by a comma.
        body: the body; of one of 100,000 bytes and more the first 64 KiB.
        body_bytes: length of the whole body.
        local_port: source port of the connection, which joins it with Envoy's log.
        http_version: e.g. ``1.1``; "0" if there was no answer.
        seconds: the whole request.
        certificate_organization: organization in the peer's certificate, which names the server; "" without TLS.
    """

    exit_code: int
    error: str
    status: int
    headers: dict[str, str]
    body: bytes
    local_port: int
    http_version: str
    seconds: float
    certificate_organization: str = ""
    body_bytes: int = 0

    @property
    def answer(self) -> dict[str, Any]:
        """What a server of the world said of itself and of the request; {} if no such server answered.

        Where the body is something else (gRPC, WebSocket, plain bytes) the response headers tell the least of it.
        """
        lines = self.body.decode(errors="replace").strip().splitlines()
        try:
            said = json.loads(lines[-1]) if lines else {}
        except ValueError:
            said = {}
        if isinstance(said, dict) and "instance" in said:
            return said
        told = {key: self.headers.get(f"x-world-{key}", "") for key in ("server", "instance", "nonce")}
        return told if told["instance"] else {}

    def __str__(self) -> str:
        if self.exit_code:
            return f"exit {self.exit_code} ({self.error or 'no message'})"
        server = self.headers.get("server", "")
        who = self.answer.get("server", "")
        words = [f"{self.status}" if self.status else "exit 0"]
        words += [f"server: {server}"] if server else []
        words += [f"answered by {who}"] if who else []
        return ", ".join(words)


@dataclass(frozen=True)
class EnvoyLogged:
    """The second witness: one line of the caller's Envoy access log, in Istio's default text format.

    Fields: https://istio.io/latest/docs/tasks/observability/logs/access-log/#default-access-log-format
    """

    started: float
    method: str
    path: str
    code: int
    flags: str
    details: str
    connection_termination_details: str
    transport_failure: str
    duration_ms: int
    request_id: str
    authority: str
    upstream_host: str
    cluster: str
    upstream_local: str
    downstream_remote: str
    sni: str
    route: str
    line: str = field(repr=False)

    @property
    def connection(self) -> tuple[str, int]:
        """Envoy's end of the upstream connection, and the server's port; see `Receipt.connection`."""
        port = self.upstream_host.rpartition(":")[2]
        return self.upstream_local, int(port) if port.isdecimal() else 0

    def __str__(self) -> str:
        words = [str(self.code), self.cluster or "no cluster", f"flags {self.flags}"]
        words += [f"to {self.upstream_host}"] if self.upstream_host != "-" else ["to nobody"]
        words += [self.details] if self.details not in {"-", "via_upstream"} else []
        words += [f"sni {self.sni}"] if self.sni != "-" else []
        return ", ".join(words)


@dataclass(frozen=True)
class Receipt:
    """The third witness: something a server in the world received.

    Attributes:
        event: connect, hello (a TLS ClientHello), request, payload or close.
        headers: pairs as they came on the wire.
    """

    server: str
    instance: str
    port: int
    event: str
    remote: str
    nonce: str
    host: str
    path: str
    protocol: str
    sni: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)

    @property
    def connection(self) -> tuple[str, int]:
        """The caller's end of the connection, and the server's port.

        The caller's end alone does not tell connections apart: a connection is known by both its ends (RFC 9293,
        section 4), and Linux gives one source port to connections to different destinations.
        """
        return self.remote, self.port

    @classmethod
    def parse(cls, doc: dict[str, Any]) -> "Receipt":
        """A receipt from the JSON the world's servers speak (images/world)."""
        headers = tuple((str(name), str(value)) for name, value in doc.get("headers") or ())
        text = {key: str(doc.get(key, "")) for key in cls.__dataclass_fields__ if key not in {"port", "headers"}}
        return cls(port=int(doc["port"]), headers=headers, **text)

    def header(self, name: str) -> str | None:
        """The value of a header, several joined by a comma; None if it is not there."""
        return joined(self.headers).get(name.lower())

    def __str__(self) -> str:
        what = {
            "request": f"{self.protocol} {self.path} for {self.host}",
            "hello": f"ClientHello, sni {self.sni}",
        }
        return f"{self.server}:{self.port} {self.event} {what.get(self.event, '')} from {self.remote}".replace(
            "  ", " "
        )


@dataclass(frozen=True)
class Attempt:
    """One request.

    Attributes:
        number: counted from 1 within one check.
        nonce: what marks it, in path, header or payload.
        sent: when it was sent, by the pod's clock, in seconds since the epoch.
        start_ms: the same, after the check's loop was ready.
        curl: the first witness.
        logged: the second: every line Envoy logged of this attempt's connection and nonce.
        received: the third: every receipt that carries the nonce, or came over a connection Envoy logged for it.
        took: seconds by the pod's clock, all that the loop did for it included.
    """

    number: int
    nonce: str
    sent: float
    start_ms: float
    curl: CurlSaw
    logged: tuple[EnvoyLogged, ...] = ()
    received: tuple[Receipt, ...] = ()
    took: float = 0

    @property
    def requests(self) -> list[Receipt]:
        """Receipts of the request itself: connections and handshakes left out."""
        return [receipt for receipt in self.received if receipt.event in {"request", "payload"}]


_CLOCK_SECONDS = 0.1
"""How far the pod's clock and Envoy's, read one after the other, may be apart."""

_LOG = re.compile(
    r'^\[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<path>\S+) (?P<protocol>\S+)" (?P<code>\d+) (?P<flags>\S+) '
    r"(?P<details>\S+) (?P<termination>.+?) "
    r'"(?P<failure>[^"]*)" (?P<received>\d+) (?P<sent>\d+) (?P<duration>\d+) (?P<service_time>\S+) '
    r'"(?P<forwarded>[^"]*)" "(?P<agent>[^"]*)" "(?P<request_id>[^"]*)" "(?P<authority>[^"]*)" '
    r'"(?P<upstream_host>[^"]*)" (?P<cluster>\S+) (?P<upstream_local>\S+) (?P<downstream_local>\S+) '
    r"(?P<downstream_remote>\S+) (?P<sni>\S+) (?P<route>\S+)$"
)


def parse_log(text: str) -> list[EnvoyLogged]:
    """Parse the access log lines in a proxy's log; other lines are passed over."""
    return [entry for line in text.splitlines() if (entry := _parse_log_line(line.strip())) is not None]


def other_lines(text: str) -> list[str]:
    """The lines of a proxy's log that are no access log, or are one that came garbled."""
    return [line for line in text.splitlines() if line.strip() and _parse_log_line(line.strip()) is None]


def _parse_log_line(line: str) -> EnvoyLogged | None:
    match = _LOG.match(line)
    if match is None:
        return None
    return EnvoyLogged(
        started=datetime.fromisoformat(match["time"]).timestamp(),
        method=match["method"],
        path=match["path"],
        code=int(match["code"]),
        flags=match["flags"],
        details=match["details"],
        connection_termination_details=match["termination"],
        transport_failure=match["failure"],
        duration_ms=int(match["duration"]),
        request_id=match["request_id"],
        authority=match["authority"],
        upstream_host=match["upstream_host"],
        cluster="" if match["cluster"] == "-" else match["cluster"],
        upstream_local=match["upstream_local"],
        downstream_remote=match["downstream_remote"],
        sni=match["sni"],
        route=match["route"],
        line=line,
    )


def parse_attempt(words: list[str], ready_us: int) -> Attempt:
    """Parse an `attempt` line of attempts.sh; the other two witnesses are joined later (`join`).

    Args:
        words: the line without its first word.
        ready_us: when the loop was ready, by the pod's clock, in microseconds.

    Raises:
        ValueError, KeyError: the line is garbled, or curl wrote nothing, as on a full disk.
    """
    number, nonce, start, end, code, out, headers, body = words
    written = json.loads(out or "{}")
    curl = written["curl"]
    return Attempt(
        number=int(number),
        nonce=nonce,
        sent=int(start) / 1e6,
        start_ms=(int(start) - ready_us) / 1000,
        took=(int(end) - int(start)) / 1e6,
        curl=CurlSaw(
            exit_code=int(code),
            error=curl.get("errormsg") or "",
            status=int(curl.get("http_code", 0)),
            headers=_parse_headers(unescaped(headers)),
            body=unescaped(body[1:]).encode() if body.startswith("=") else base64.b64decode(body),
            local_port=int(curl.get("local_port", 0)),
            http_version=str(curl.get("http_version", "0")),
            seconds=float(curl.get("time_total", 0)),
            certificate_organization=_organization(written.get("certs", "")),
            body_bytes=int(curl.get("size_download", 0)),
        ),
    )


def unescaped(text: str) -> str:
    r"""What attempts.sh wrote with \n, \t and \\ for what would break its line apart."""
    meant = {"n": "\n", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nt\\])", lambda match: meant[match[1]], text)


def _parse_headers(text: str) -> dict[str, str]:
    lines = text.splitlines()
    # Interim responses (1xx) come before the response and have headers of their own.
    last = max((number for number, line in enumerate(lines) if line.startswith("HTTP/")), default=-1)
    pairs = (line.partition(":") for line in lines[last + 1 :] if ":" in line)
    return joined((name.strip(), value.strip()) for name, _, value in pairs)


def joined(pairs: Iterable[Iterable[str]]) -> dict[str, str]:
    """Headers by lower-case name, the values of several of one name joined by a comma."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        found[key] = f"{found[key]},{value}" if key in found else value
    return found


def _organization(certificates: str) -> str:
    begin = certificates.find("-----BEGIN CERTIFICATE-----")
    if begin < 0:
        return ""
    leaf = x509.load_pem_x509_certificate(certificates[begin:].encode())
    names = leaf.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(names[0].value) if names else ""


def join(attempt: Attempt, log: list[EnvoyLogged], receipts: list[Receipt]) -> Attempt:
    """Give an attempt what the other two witnesses saw of it.

    Envoy's lines are found by `lines_of`; receipts by the nonce, or by the connection (`UPSTREAM_LOCAL_ADDRESS`) those
    lines name when the server could not read a nonce in it.
    """
    logged = lines_of(attempt, log, receipts)
    connections = {entry.upstream_local for entry in logged} - {"-"}
    received = tuple(
        receipt
        for receipt in receipts
        if receipt.nonce == attempt.nonce or (not receipt.nonce and receipt.remote in connections)
    )
    return replace(attempt, logged=logged, received=received)


def lines_of(attempt: Attempt, log: list[EnvoyLogged], receipts: list[Receipt]) -> tuple[EnvoyLogged, ...]:
    """What Envoy logged of an attempt: by nonce, by a connection that brought the nonce to a server, or by source port.

    The port is the weakest of the three. Ports come round again within seconds. And of two connections with the same
    one, to different destinations, the kernel gives the second another as it redirects both to the sidecar, where
    their ends would be the same (RFC 3022, 2.2: a NAT translates ports to tell sessions apart). Envoy then logs a
    port that curl never had. So attempts.sh has no two attempts share one.
    """
    brought = {receipt.remote: receipt.nonce == attempt.nonce for receipt in receipts if receipt.nonce}
    brought |= {receipt.remote: True for receipt in receipts if receipt.nonce == attempt.nonce}
    port = f":{attempt.curl.local_port}"
    begin, end = attempt.sent - _CLOCK_SECONDS, attempt.sent + attempt.took + _CLOCK_SECONDS

    def is_its_own(entry: EnvoyLogged) -> bool:
        nonce = nonce_of(entry.path)
        if nonce is not None:
            return nonce == attempt.nonce
        if not begin < entry.started < end:
            return False
        if entry.upstream_local in brought:
            return brought[entry.upstream_local]
        return bool(attempt.curl.local_port) and entry.downstream_remote.endswith(port)

    return tuple(entry for entry in log if is_its_own(entry))


def nonce_of(path: str) -> str | None:
    """The nonce in a path; None if there is none."""
    match = re.search(r"[?&]attempt=([^&]+)(&|$)", path)
    return match[1] if match else None


def unaccounted(
    attempts: list[Attempt], log: list[EnvoyLogged], receipts: list[Receipt], beside: tuple[str, ...] = ()
) -> list[Receipt]:
    """Requests and connections at the servers that neither an attempt's nonce nor Envoy's log accounts for.

    A mirrored request, a leak around the proxy or a connection Envoy denies shows up here and nowhere else. Where a
    request is tried again Envoy logs the last connection only: one that brought an attempt's request is accounted for
    by its nonce, and whether Envoy had such a connection is for the expectation to judge. Where Envoy names a host it
    chose but no end of a connection to it (it gave up, e.g. as too many requests were under way), one may be there.

    Args:
        attempts: of the check.
        log: Envoy's.
        receipts: the servers'.
        beside: what the nonces of other traffic of the case begin with, which is judged by itself.
    """
    nonces = {attempt.nonce for attempt in attempts}
    brought = [receipt for receipt in receipts if receipt.event in {"request", "payload"}]
    known = [receipt for receipt in brought if receipt.nonce in nonces or receipt.nonce.startswith(beside)]
    connections = {entry.upstream_local for entry in log} | {receipt.remote for receipt in known}
    chosen = [entry.upstream_host for attempt in attempts for entry in attempt.logged if entry.upstream_local == "-"]
    ports = {int(host.rpartition(":")[2]) for host in chosen if host != "-"}
    return [
        receipt
        for receipt in receipts
        if (receipt.event == "connect" and receipt.remote not in connections and receipt.port not in ports)
        or (receipt in brought and receipt not in known)
    ]
