"""What the load sent: read from Fortio's access log, and counted by destination and over time."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from egress_conformance.report.upgrade import Sent, Series

SLOW_MS = 1000
"""From here on a request that was answered is told as a slow one."""

REGISTERED = "-registered"
UNREGISTERED = "-unregistered"
"""How the names of destinations end: whether the mesh knows them by a ServiceEntry."""

BUCKETS = 240
"""Parts of the time line, for the plot."""


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        at: when it was begun, in seconds since 1970, by the clock of the node.
        ms: how long it took.
        ok: whether it had the answer it should have: 200, or its own bytes from a TCP echo.
        outcome: Fortio's word for it: the status, or the error.
        client: the pod it was sent from.
        destination: where to.
    """

    at: float
    ms: float
    ok: bool
    outcome: str
    client: str
    destination: str


def is_registered(destination: str) -> bool:
    """Whether a destination is registered, by its name."""
    return not destination.endswith(UNREGISTERED)


def is_request(line: str) -> bool:
    """Whether a line of a client's log is one of Fortio's access log; what else it says there begins otherwise."""
    return line.startswith('{"latency":')


def parse(line: str, client: str, destination: str) -> Request:
    """A line of Fortio's access log (`-access-log-format json`).

    Args:
        line: e.g. ``{"latency":0.0012,"timestamp":1756353600000000000,"thread":0,"iter":7,"ok":true,"details":"200"}``.
        client: the pod.
        destination: the container, which is called like the destination.
    """
    said = json.loads(line)
    return Request(said["timestamp"] / 1e9, said["latency"] * 1e3, said["ok"], said["details"], client, destination)


def sent(
    requests: Iterable[Request], destinations: Sequence[str], stalled_ms: Callable[[Request], float | None]
) -> list[Sent]:
    """Count requests by destination.

    Args:
        requests: those that count.
        destinations: in this order.
        stalled_ms: how slow a request past the mesh was meanwhile; None if it was not.
    """
    found: dict[str, list[Request]] = {name: [] for name in destinations}
    for request in requests:
        found[request.destination].append(request)
    return [_sent(name, members, stalled_ms) for name, members in found.items()]


def _sent(destination: str, requests: list[Request], stalled_ms: Callable[[Request], float | None]) -> Sent:
    served = [request.ms for request in requests if request.ok]
    return Sent(
        destination=destination,
        registered=is_registered(destination),
        requests=len(requests),
        lost=len(requests) - len(served),
        stalled=sum(not request.ok and stalled_ms(request) is not None for request in requests),
        slow=sum(ms > SLOW_MS for ms in served),
        slowest_ms=round(max(served), 1) if served else None,
    )


def series(
    requests: Iterable[Request], destinations: Sequence[str], begins: float, ends: float
) -> tuple[float, list[Series]]:
    """Each destination over time.

    Args:
        requests: all of them.
        destinations: in this order.
        begins: of the time line, in seconds since 1970.
        ends: its end.

    Returns:
        How many seconds a bucket is long, and the destinations.
    """
    length = max(1.0, math.ceil((ends - begins) / BUCKETS))
    count = max(1, math.ceil((ends - begins) / length))
    slowest: dict[str, list[float | None]] = {name: [None] * count for name in destinations}
    lost: dict[str, list[int]] = defaultdict(lambda: [0] * count)
    for request in requests:
        place = min(max(int((request.at - begins) / length), 0), count - 1)
        if not request.ok:
            lost[request.destination][place] += 1
            continue
        before = slowest[request.destination][place]
        slowest[request.destination][place] = round(max(before or 0, request.ms), 1)
    return length, [
        Series(destination=name, registered=is_registered(name), slowest_ms=slowest[name], lost=lost[name])
        for name in destinations
    ]


def lacking(requests: Iterable[Request], pairs: Sequence[tuple[str, str]], wanted: int, *, served: bool) -> list[str]:
    """Clients and destinations between which there were fewer requests than wanted.

    Args:
        requests: those that count.
        pairs: client and destination.
        wanted: how many each pair must have.
        served: only those that came out well count.
    """
    counts = dict.fromkeys(pairs, 0)
    for request in requests:
        if (request.ok or not served) and (request.client, request.destination) in counts:
            counts[request.client, request.destination] += 1
    return [f"{client} to {name} ({count})" for (client, name), count in counts.items() if count < wanted]
