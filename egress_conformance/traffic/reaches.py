"""The request arrives: where, how often, and as what. Pure logic, as `expect`."""

from dataclasses import dataclass, field, replace

from egress_conformance.traffic.attempt import Attempt, CurlSaw, EnvoyLogged, Receipt
from egress_conformance.traffic.expect import Expectation, check, header_problems, number_word, one_line


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

    def is_slow(self, curl: CurlSaw) -> bool:
        """See `Expectation`."""
        return curl.seconds > self.at_most_seconds and self.at_a_glance(replace(curl, seconds=self.at_most_seconds))

    def problems(self, attempt: Attempt) -> list[str]:
        """See `Expectation`."""
        found = self._curl_problems(attempt.curl)
        # Who answered, if it is one of them: only then do the other two contradict curl by naming another of them.
        answered = attempt.curl.answer.get("instance")
        answered = answered if answered in self.instances.values() else None
        if not attempt.curl.exit_code:
            check(found, "curl", "the nonce that came back", attempt.curl.answer.get("nonce"), attempt.nonce)
        line = one_line(found, attempt, logged=self.logged)
        if line is not None:
            found += self._envoy_problems(line, answered)
        requests = [receipt for receipt in attempt.requests if receipt.instance not in self.mirrored]
        for secret, name in self.mirrored.items():
            copies = sum(receipt.instance == secret for receipt in attempt.requests)
            check(found, "server", f"the number of copies {name} received", copies, 1)
        if len(requests) != self.arrivals:
            where = ", ".join(sorted({receipt.server for receipt in requests})) or "nobody"
            found.append(f"server: {len(requests)} receipts ({where}), expected exactly {number_word(self.arrivals)}")
        found += _connection_problems(None if self.via else line, requests)
        for number, receipt in enumerate(requests, start=1):
            # Of several arrivals the last is the one whose answer came back.
            found += self._receipt_problems(receipt, attempt.nonce, answered if number >= self.arrivals else None)
        return found

    def _envoy_problems(self, line: EnvoyLogged, answered: str | None) -> list[str]:
        """Where Envoy's line disagrees; `answered` is the secret of the server that curl was answered by."""
        found: list[str] = []
        if line.cluster != self.or_cluster or not line.cluster:
            check(found, "envoy", "the cluster", line.cluster, self.cluster)
        code = self.status if self.logged_code is None else self.logged_code
        check(found, "envoy", "the response code", line.code, code)
        check(found, "envoy", "the response flags", line.flags, self.flags)
        if self.via:
            check(found, "envoy", "the gateway it was handed to", line.upstream_host, self.via)
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
            check(found, "server", "the host it received", receipt.host, self.host)
        if self.path:
            check(found, "server", "the path", receipt.path, self.path.replace("{nonce}", nonce))
        return found + header_problems("server", self.received, receipt.headers)

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
        check(found, "curl", "the status", curl.status, self.status)
        if curl.answer.get("instance") not in self.instances.values():
            who = curl.answer.get("server") or "somebody unknown to the world"
            found.append(f"curl: answered by {who}, expected {self.name}")
        if self.tls:
            server = self.servers.get(curl.answer.get("instance", ""), "")
            check(found, "curl", "the certificate's owner", curl.certificate_organization, server)
        for header, value in self.headers.items():
            seen = curl.headers.get(header)
            if value == "*":
                if seen is None:
                    found.append(f"curl: no response header {header}, expected one")
            else:
                check(found, "curl", f"response header {header}", seen, value)
        if not self.at_least_seconds <= curl.seconds <= self.at_most_seconds:
            bounds = f"{self.at_least_seconds} to {self.at_most_seconds} s"
            found.append(f"curl: answered after {curl.seconds:.3f} s, expected {bounds}")
        for name, wanted in self.answered.items():
            check(found, "curl", f"the {name.replace('_', ' ')} the server saw", curl.answer.get(name), wanted)
        # The answer mostly repeats what the server received: good enough to see at a glance, the receipt decides.
        if "headers" in curl.answer:
            found += header_problems("curl", self.received, curl.answer["headers"] or [])
        return found


def _connection_problems(line: EnvoyLogged | None, requests: list[Receipt]) -> list[str]:
    """Whether the connection Envoy sent a request on is one that a server received it on."""
    remotes = sorted({receipt.remote for receipt in requests})
    if line is None or not remotes or line.upstream_local in remotes:
        return []
    return [f"server: received from {', '.join(remotes)}, but Envoy sent from {line.upstream_local}"]
