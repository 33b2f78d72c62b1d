"""What the logs say: the requests, and of each lost one what its Envoy and istiod had to say about then."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from egress_conformance.mesh.config import ISTIO_NAMESPACE
from egress_conformance.report.upgrade import Lost
from egress_conformance.upgrade.logs import Line, Logs
from egress_conformance.upgrade.sent import SLOW_MS, Request, is_request, parse

NAMESPACE = "egress-load"
"""Namespace of the load's clients."""

PROXY = "istio-proxy"
PAST_THE_MESH = "past-the-mesh"
"""The container that sends where there is no mesh (manifests/upgrade/load-server.yaml)."""

REJECTED = "ACK ERROR"
"""How istiod's log names a configuration that a proxy rejected (pilot/pkg/xds: shouldRespond)."""

LISTENER = "\tlds: add/update listener "
"""How Envoy's own log names a listener that became another (source/common/listener_manager: LdsApiImpl)."""

DRAINED_SECONDS = 47
"""How long after that the connections of the old one may be closed: 45 s (ProxyConfig.drainDuration), and some slack.

Source: Envoy, Listener discovery service, `--drain-time-s`; istio/istio#53827.
"""

SHOWN = 4
"""Lines that are told of each witness with a lost request."""

SLACK_SECONDS = 1
"""How much before and after a request its lines are looked for: a connection was begun before, a push takes effect."""

_LASTED = re.compile(r'" \d+ \d+ (\d+) ')
"""Bytes received and sent, and milliseconds, in Envoy's access log as Istio has it by default.

Source: istio.io, Envoy Access Logs: default access log format.
"""

_TIME = re.compile(r"\[?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)\d*Z")


@dataclass(frozen=True)
class Said:
    """A line with a time in it: of a client's Envoy, or of istiod.

    Attributes:
        at: when it was said, in seconds since 1970. An access log has the begin of a request or a connection, and its
            line is written at the end.
        pod: who said it.
        text: the line.
    """

    at: float
    pod: str
    text: str

    @classmethod
    def of(cls, line: Line) -> "Said | None":
        """A line of Envoy's or of istiod's log; None for one that does not begin with a time."""
        match = _TIME.match(line.text)
        if match is None:
            return None
        lasted = _LASTED.search(line.text) if line.text.startswith("[") else None
        begins = datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp()
        return cls(begins + (int(lasted[1]) / 1000 if lasted else 0), line.source.pod, line.text)


def kept_of_client(container: str, text: str) -> bool:
    """Which lines of a client's logs are kept: Fortio's access log and errors, Envoy's access log and its listeners."""
    if container == PROXY:
        return text.startswith("[") or LISTENER in text
    return is_request(text) or is_error(text)


def kept_past_the_mesh(container: str, text: str) -> bool:
    """Which lines of the load's servers are kept: the requests that pass no mesh."""
    return container == PAST_THE_MESH and is_request(text)


def kept_of_istiod(_container: str, text: str) -> bool:
    """Which lines of istiod's log are kept: those about clients of the load."""
    return f".{NAMESPACE}" in text


def is_error(text: str) -> bool:
    """Whether a line of Fortio's own log tells of something that went wrong."""
    return text.startswith('{"ts":') and ('"level":"err"' in text or '"level":"warn"' in text)


def of_fortio(line: Line) -> Said:
    """A line of Fortio's own log, by its container: what went wrong, in its words."""
    said = json.loads(line.text)
    words = [str(said[key]) for key in ("msg", "err") if key in said]
    return Said(float(said["ts"]), f"{line.source.pod}/{line.source.container}", ": ".join(words))


@dataclass
class Evidence:
    """Reads the logs on as they grow.

    Attributes:
        requests: all that were sent.
        fortio: what Fortio logged of what went wrong.
        envoy: what the clients' Envoys logged of what went wrong, and which listeners became others.
        istiod: what istiod logged about the clients.
        stalls: requests past the mesh that were slow or lost: the machine stood still, and no mesh is to blame.
    """

    logs: Logs
    requests: list[Request] = field(default_factory=list)
    fortio: list[Said] = field(default_factory=list)
    envoy: list[Said] = field(default_factory=list)
    istiod: list[Said] = field(default_factory=list)
    stalls: list[Request] = field(default_factory=list)
    _read: int = 0

    def watch(self, world: str) -> None:
        """Say whose logs are wanted: of the clients, of istiod, and of what is sent past the mesh.

        Args:
            world: namespace of the load's servers.
        """
        self.logs.watch(NAMESPACE, "app=load", kept_of_client)
        self.logs.watch(world, "app=echo", kept_past_the_mesh)
        self.logs.watch(ISTIO_NAMESPACE, "app=istiod", kept_of_istiod)

    def read(self) -> "Evidence":
        """Read what came since."""
        fresh = self.logs.lines(self._read)
        self._read += len(fresh)
        for line in fresh:
            container = line.source.container
            if container == PAST_THE_MESH:
                sent = parse(line.text, line.source.pod, container)
                if not sent.ok or sent.ms > SLOW_MS:
                    self.stalls.append(sent)
            elif line.source.namespace == NAMESPACE and container != PROXY:
                if is_request(line.text):
                    self.requests.append(parse(line.text, line.source.pod, container))
                else:
                    self.fortio.append(of_fortio(line))
            elif (said := Said.of(line)) is not None:
                (self.envoy if container == PROXY else self.istiod).append(said)
        return self

    def between(self, begins: float, ends: float) -> list[Request]:
        """The requests that were begun within a time."""
        return [request for request in self.requests if begins <= request.at < ends]

    def stalled_ms(self, request: Request) -> float | None:
        """The slowest request past the mesh while another one was under way, if that was slow too."""
        over = request.at + request.ms / 1000
        meanwhile = [each.ms for each in self.stalls if each.at < over and each.at + each.ms / 1000 > request.at]
        return max(meanwhile, default=None)

    def rejected(self, begins: float, ends: float) -> list[str]:
        """Lines of istiod about configuration that clients of the load rejected within a time."""
        return [said.text for said in self.istiod if begins <= said.at < ends and REJECTED in said.text]

    def lost(self, request: Request, spans: Sequence[tuple[str, float, float]], started: float) -> Lost:
        """A lost request with what is known of it.

        Args:
            request: the request.
            spans: names, begins and ends of the parts of the time line.
            started: when the time line begins.
        """
        sender, over = f"{request.client}/{request.destination}", request.at + request.ms / 1000
        begins, ends = request.at - SLACK_SECONDS, over + SLACK_SECONDS
        fortio = [each.text for each in self.fortio if each.pod == sender and request.at <= each.at <= over + 0.1]
        its_envoy = [said for said in self.envoy if said.pod == request.client]
        envoy = [said.text for said in its_envoy if begins <= said.at < ends and LISTENER not in said.text]
        since = request.at - DRAINED_SECONDS
        listeners = [said.text for said in its_envoy if since <= said.at < ends and LISTENER in said.text]
        istiod = [said.text for said in self.istiod if begins <= said.at < ends and f"{request.client}." in said.text]
        segment = next((name for name, first, last in spans if first <= request.at < last), "")
        return Lost(
            at=round(request.at - started, 3),
            segment=segment,
            destination=request.destination,
            client=request.client,
            ms=round(request.ms, 1),
            outcome=request.outcome,
            past_the_mesh_ms=self.stalled_ms(request),
            fortio=fortio[:SHOWN],
            envoy=envoy[:SHOWN] + listeners[-SHOWN:],
            istiod=istiod[:SHOWN],
        )
