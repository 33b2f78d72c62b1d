"""A client pod whose loop plays what a test says, and the world and the log that go with it."""
# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from egress_conformance.cluster.execs import Exec
from egress_conformance.errors import PlatformTrouble
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.traffic.request import Request
from egress_conformance.world.world import Server
from tests.unit.fakes import (
    ALPHA,
    CLIENT,
    SITE,
    Clock,
    FakeExec,
    FakeKube,
    FakeWorld,
    answer,
    attempt_line,
    log_line,
    receipt,
)

START = 1000.0
CLUSTER = f"outbound|80||{SITE.host}"


@dataclass(frozen=True)
class Outcome:
    """How an attempt comes out at each witness.

    Attributes:
        curl: what curl writes out, as `attempt_line` takes it.
        lines: how Envoy's lines of it differ from one of a request that alpha answered.
        answered: whose answer curl got.
        received: who received it, and how the receipt differs from that of a request.
    """

    curl: dict[str, Any]
    lines: tuple[dict[str, str], ...]
    answered: Server | None = None
    received: tuple[tuple[Server, dict[str, str]], ...] = ()


BLOCKED = Outcome(
    {"headers": "HTTP/1.1 502 Bad Gateway\r\nserver: envoy", "http_code": 502},
    (
        {
            "code": "502",
            "details": "direct_response",
            "upstream_host": "-",
            "cluster": "-",
            "upstream_local": "-",
            "route": "block_all",
        },
    ),
)
REACHED = Outcome({"headers": "HTTP/1.1 200 OK"}, ({},), ALPHA, ((ALPHA, {}),))
PASSED_THROUGH = replace(REACHED, lines=({"cluster": PASSTHROUGH},))
DISK_FULL = Outcome({"code": 23, "errormsg": "Failure writing output"}, ())
UNLOGGED = replace(REACHED, lines=())


@dataclass
class Pod:
    """The client pod as it is seen from outside, and the world it talks to.

    Attributes:
        outcomes: of one attempt after the other.
        deaf: it hears nothing.
        pauses: seconds it stands still after an attempt.
        slow: how many attempts it makes until it hears that it is to settle, time by time.
    """

    outcomes: Iterator[Outcome]
    clock: Clock
    world: FakeWorld = field(default_factory=FakeWorld)
    lines: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    argv: list[str] = field(default_factory=list)
    loop: "Loop | None" = None
    deaf: bool = False
    slow: tuple[int, ...] = ()
    pauses: dict[int, float] = field(default_factory=dict)

    def request(self) -> Request:
        kube = FakeKube(log=lambda: "\n".join(self.lines), execs=self.exec)
        return Client(kube, "ns", CLIENT, self.world, Recorder()).get(SITE.url())

    def exec(self, command: list[str]) -> Exec:
        if command[0] == "curl":
            raise PlatformTrouble("exec broke off", "no proxy's view here")
        self.argv = command
        self.loop = Loop(self, prefix=command[4], lifetime=float(command[5]))
        return self.loop


class Loop(FakeExec):
    """attempts.sh: says the same, and ends when the outcomes do or its time is spent."""

    def __init__(self, pod: Pod, prefix: str, lifetime: float) -> None:
        super().__init__()
        self._pod = pod
        self._prefix = prefix
        self._until = pod.clock.now + lifetime
        self._number = 0
        self._said = self._script()
        self.told = ""

    def line(self, seconds: float) -> str | None:
        assert not self.closed
        return next(self._said, None)

    def send(self, line: str) -> None:
        assert not self.told, f"told {line} while still about to {self.told}"
        self.told = line
        self._pod.commands.append(line)

    def _script(self) -> Iterator[str]:
        yield "ready\t0\tcluster.a.upstream_rq_total: 1"
        for outcome in self._pod.outcomes:
            if self._pod.clock.now >= self._until:
                break
            self._number += 1
            yield self._attempt(outcome)
            self._pod.clock.sleep(1 + self._pod.pauses.get(self._number, 0))
            if self.told == "settle" and not self._pod.deaf and not self._slow():
                self.told = ""
                yield f"settled\tcluster.a.upstream_rq_total: {1 + self._number}"
                assert self.told in {"go", "quit"}, "the loop waits to be told how to go on"
                if self.told == "quit":
                    return
                self.told = ""
        yield "spent"

    def _slow(self) -> bool:
        """Whether it has not heard yet what it was told."""
        first, *rest = self._pod.slow or (0,)
        self._pod.slow = (first - 1, *rest) if first else tuple(rest)
        return bool(first)

    def _attempt(self, outcome: Outcome) -> str:
        nonce, remote = f"{self._prefix}-{self._number}", f"{CLIENT}:5{self._number}"
        for line in outcome.lines:
            self._pod.lines.append(log_line(nonce, 40000 + self._number, **{"upstream_local": remote, **line}))
        for server, changes in outcome.received:
            made = {"nonce": nonce, "remote": remote, "path": f"/headers?attempt={nonce}", **changes}
            self._pod.world.received.append(receipt(server, **made))
        body = answer(outcome.answered, nonce) if outcome.answered else b""
        start = int((self._pod.clock.now - START) * 1e6)
        return attempt_line(self._number, nonce, start=start, body=body, **outcome.curl)


def always(outcome: Outcome) -> Iterator[Outcome]:
    while True:
        yield outcome


def then(*runs: tuple[int, Outcome]) -> Iterator[Outcome]:
    """So many of each, and the last one for ever."""
    for count, outcome in runs:
        for _ in range(count):
            yield outcome
    yield from always(runs[-1][1])
