"""What the three witnesses of a check saw, less what differs from run to run: what a diff of two ledgers compares.

Each field is the sorted set of what was seen in the attempts that were judged. `-` stands for nothing, as in Envoy's
access log; a field without any entry was not asked for. `*` is a header's value that differs from run to run.
"""

from pydantic import Field

from egress_conformance.report.model import Model

Seen = list[str]

BLACK_HOLE = "BlackHoleCluster"
"""Where Envoy sends what goes nowhere. Whether it has read the server name of such a connection before is chance: only
a listener that tells TLS entries apart does, and one may still be there from the entry of an earlier case."""


class CurlObserved(Model):
    """What the client saw."""

    outcome: Seen = Field(default=[], description="HTTP status, or in words how it ended without one")
    http_version: Seen = Field(default=[], description="of the answer")
    answered_by: Seen = Field(default=[], description="the server of the world that answered, by name")
    headers: dict[str, Seen] = Field(default={}, description="response headers by lower-case name")


class EnvoyObserved(Model):
    """What the caller's Envoy logged."""

    lines: Seen = Field(default=[], description="how many lines an attempt")
    code: Seen = Field(default=[], description="response code")
    flags: Seen = Field(default=[], description="response flags")
    details: Seen = Field(default=[], description="response code details")
    termination: Seen = Field(default=[], description="connection termination details")
    failure: Seen = Field(default=[], description="upstream transport failure reason")
    cluster: Seen = Field(default=[], description="who carried it")
    route: Seen = Field(default=[], description="name of the route")
    upstream: Seen = Field(default=[], description="the server it was sent to, by name, with the port")
    authority: Seen = Field(default=[], description="Host that the client sent")
    sni: Seen = Field(default=[], description="what the client asked for in its TLS handshake")


class ServerObserved(Model):
    """What the servers of the world received."""

    arrivals: Seen = Field(default=[], description="how often an attempt's request arrived")
    name: Seen = Field(default=[], description="who received it")
    port: Seen = Field(default=[], description="at which it was received")
    protocol: Seen = Field(default=[], description="e.g. HTTP/1.1")
    host: Seen = Field(default=[], description="Host as it was received")
    path: Seen = Field(default=[], description="path as it was received")
    headers: dict[str, Seen] = Field(default={}, description="request headers by name, in the case of the wire")
    sni: Seen = Field(default=[], description="server name in the TLS handshake")
    alpn: Seen = Field(default=[], description="protocol agreed on within TLS")
    tls_version: Seen = Field(default=[], description="version agreed on")
    client_certificate: Seen = Field(default=[], description="its subject")


class Observed(Model):
    """What one check saw."""

    request: str = Field(default="", description="what was sent; empty for a check of something else")
    expected: str = Field(default="", description="the expectation that was applied")
    curl: CurlObserved = CurlObserved()
    envoy: EnvoyObserved = EnvoyObserved()
    server: ServerObserved = ServerObserved()
    seen: Seen = Field(default=[], description="for a check of something else than a request: what was seen")

    def flat(self) -> dict[str, str]:
        """What was seen by name, e.g. ``envoy.flags`` or ``server.headers.accept``, less what was not asked for."""
        found: dict[str, str] = {"expected": self.expected} if self.expected else {}
        if self.seen:
            found["seen"] = _joined(self.seen)
        for witness in ("curl", "envoy", "server"):
            for name, seen in getattr(self, witness):
                if isinstance(seen, dict):
                    found |= {f"{witness}.{name}.{header}": _joined(values) for header, values in seen.items()}
                elif seen:
                    found[f"{witness}.{name}"] = _joined(seen)
        if self.envoy.cluster == [BLACK_HOLE]:
            found.pop("envoy.sni", None)
        return found


def _joined(seen: Seen) -> str:
    return " | ".join(seen)
