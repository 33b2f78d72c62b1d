"""Many requests, each of which must be served: nothing converges here, a single lost one is a failure."""

from __future__ import annotations

import itertools
import secrets
import time
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.report import ledger
from egress_conformance.traffic.attempt import EnvoyLogged, Receipt, nonce_of, parse_log
from egress_conformance.traffic.convergence import CLOCK_SECONDS, look_for_trouble
from egress_conformance.traffic.observe import observe_many, outcome
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.reaches import Reaches
from egress_conformance.traffic.recorder import CheckDraft
from egress_conformance.waiting import wait_for

if TYPE_CHECKING:
    from egress_conformance.cluster.execs import Exec
    from egress_conformance.traffic.request import Request

SECONDS = 60
"""How long a burst may take."""

ARRIVAL_SECONDS = 10
"""How long a burst may take until a server has received some more of it."""

_LOG_SECONDS = 5
_SHOWN = 5
_BLOCKED = 502
_SCRIPT = resources.files("egress_conformance.traffic").joinpath("many.sh")


@dataclass(frozen=True)
class Sent:
    """What curl says of one of many requests.

    Attributes:
        nonce: what marks it.
        status: HTTP status, 0 if there was no answer.
        exit_code: curl's.
        seconds: how long it took.
        connects: how many connections were made for it: 0 where one was used again.
    """

    nonce: str
    status: int
    exit_code: int
    seconds: float
    connects: int


class Many:
    """Many requests under way.

    Args:
        request: what is sent.
        expectation: what must come of each.
        times: how many at the most.
        per_second: how many a second; None: one after the other.
        check: takes down what is seen.
        then_blocked: from some request on, and none before, each must be answered 502 by the proxy.

    Attributes:
        sent: what curl says of each, once they have ended.
        served: how many of them each server received, by its name, once they are judged.
    """

    def __init__(
        self,
        request: Request,
        expectation: Reaches,
        times: int,
        per_second: int | None,
        check: CheckDraft,
        *,
        then_blocked: bool = False,
    ) -> None:
        self._request = request
        self._expectation = expectation
        self._times = times
        self._check = check
        self._then_blocked = then_blocked
        self._prefix = f"n{secrets.token_hex(5)}"
        self._rate = ["--rate", f"{per_second}/s"] if per_second else []
        self._loop: Exec | None = None
        self._began = 0.0
        self._mark: dict[str, int] = {}
        self.sent: list[Sent] = []
        self.served: Counter[str] = Counter()

    def __enter__(self) -> Many:
        client = self._request.client
        self._began = time.monotonic()
        self._mark = client.world.mark()
        client.recorder.bursts.append(self._prefix)
        command = ["bash", "-c", _SCRIPT.read_text(encoding="utf-8"), "many", self._prefix, str(self._times)]
        self._loop = client.kube.exec(
            client.namespace, client.pod, CLIENT, [*command, *self._rate, *self._request.arguments], bash=True
        )
        if self._loop.line(SECONDS) != "started":
            with self._loop:
                raise PlatformTrouble("client pod broken", "the loop in the pod did not start")
        self._check.loop_is_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            with self._loop:
                self.stop()

    def stop(self) -> None:
        """Send no more of them, and take in what became of those that were sent."""
        if self._loop is not None and not self.sent:
            self._loop.send("stop")
            self._read(self._loop)

    def arrive(self, *, more: int = 0) -> None:
        """Wait until servers have received one of them, or some more than now.

        Args:
            more: how many more than now; 0: one at all.

        Raises:
            CheckFailed: they do not arrive; what became of them instead.
        """
        wanted = self._received() + more if more else 1
        what = f"{wanted} requests of the burst to arrive"
        hint = "see what the client's proxy logged"
        try:
            wait_for(
                what,
                lambda: True if self._received() >= wanted else None,
                seconds=ARRIVAL_SECONDS,
                hint=hint,
                every=0.02,
                seen=lambda: f"{self._received()} of them",
            )
        except Timeout as timeout:
            self.stop()
            self.judge()
            # Each that was sent was served: too few were.
            self._request.client.recorder.fact(what, str(timeout), held=False)

    def _received(self) -> int:
        receipts = self._request.client.world.receipts(self._mark, [self._prefix])
        return sum(receipt.event == "request" for receipt in receipts)

    @property
    def connections(self) -> int:
        """How many connections were made for all of them."""
        return sum(sent.connects for sent in self.sent)

    def wait(self) -> None:
        """Wait until all of them are sent.

        Raises:
            PlatformTrouble: that took more than a minute, or some were not sent.
        """
        if self._loop is not None:
            end = self._read(self._loop)
            if len(self.sent) != self._times:
                detail = f"{len(self.sent)} of {self._times} requests were sent; curl {end}"
                raise PlatformTrouble("client pod broken", detail)

    def _read(self, loop: Exec) -> str:
        """Take in what became of each request; what is said of the end."""
        while True:
            line = loop.line(SECONDS)
            if line is None:
                raise PlatformTrouble("exec broke off", "the loop in the pod ended before its time")
            if line.startswith("ended"):
                return line
            sent = parse_sent(line)
            look_for_trouble(sent.exit_code, sent.seconds, allowed=self._request.seconds, said=line)
            self.sent.append(sent)

    def judge(self) -> None:
        """Ask the three witnesses of every request.

        Raises:
            CheckFailed: one of them was not served as expected.
        """
        receipts = self._request.client.world.receipts(self._mark, [self._prefix])
        log = self._log({receipt.connection for receipt in receipts})
        self.served.update(receipt.server for receipt in receipts if receipt.event == "request")
        served = self._served_first() if self._then_blocked else self.sent
        problems = problems_of_many(served, self._expectation, log, receipts)
        if self._then_blocked:
            problems |= problems_once_blocked(self.sent[len(served) :], log, receipts)
        rows = [
            ledger.Attempt(curl=f"request {nonce}", envoy=[], server=[], agrees=False, problems=found)
            for nonce, found in list(problems.items())[:_SHOWN]
        ]
        outcomes = {outcome(sent.exit_code, sent.status) for sent in self.sent}
        # The one that was under way when the burst was stopped is logged or not, as it comes.
        nonces = {sent.nonce for sent in self.sent}
        log = [entry for entry in log if self._expectation.as_bytes or nonce_of(entry.path) in nonces]
        receipts = [receipt for receipt in receipts if receipt.nonce in nonces]
        observed = observe_many(
            self._request.description,
            self._expectation,
            outcomes=outcomes,
            log=log,
            receipts=receipts,
            stable=self._check.stable,
        )
        self._check.judged_many(len(self.sent), len(problems), rows, observed)
        if problems:
            raise self._check.failure()

    def _served_first(self) -> list[Sent]:
        """Those before the first that was answered otherwise."""
        return list(itertools.takewhile(lambda sent: sent.status == self._expectation.status, self.sent))

    def _log(self, connections: set[tuple[str, int]]) -> list[EnvoyLogged]:
        """Envoy's log of them, once it holds a line for each; what is there after a while if not."""
        client = self._request.client
        seen: list[EnvoyLogged] = []
        as_bytes = self._expectation.as_bytes
        wanted = connections if as_bytes else {sent.nonce for sent in self.sent}

        def look() -> list[EnvoyLogged] | None:
            nonlocal seen
            # No further back: connections before these may have had the same ends.
            since = time.monotonic() - self._began + CLOCK_SECONDS
            text = client.kube.logs(client.namespace, client.pod, "istio-proxy", since=since)
            if as_bytes:
                seen = [entry for entry in parse_log(text) if entry.connection in connections]
                return seen if {entry.connection for entry in seen} >= wanted else None
            seen = [entry for entry in parse_log(text) if (nonce_of(entry.path) or "").startswith(self._prefix)]
            return seen if {nonce_of(entry.path) for entry in seen} >= wanted else None

        try:
            return wait_for("Envoy's access log", look, seconds=_LOG_SECONDS, hint="is access logging on?", every=0.1)
        except Timeout:
            # A missing line is for the judge to report, with what the other witnesses saw.
            return seen


def parse_sent(line: str) -> Sent:
    """Parse a line of many.sh.

    Raises:
        PlatformTrouble: it is garbled.
    """
    try:
        status, code, seconds, connects, url = line.split()
        sent = Sent(nonce_of(url) or "", int(status), int(code), float(seconds), int(connects))
    except ValueError:
        raise PlatformTrouble("client pod broken", f"the loop in the pod said {line[:200]!r}") from None
    return sent


def problems_of_many(
    sent: list[Sent], expectation: Reaches, log: list[EnvoyLogged], receipts: list[Receipt]
) -> dict[str, list[str]]:
    """Where a witness disagrees, by request.

    Args:
        sent: what curl says.
        expectation: what must have come of each.
        log: what Envoy logged of them.
        receipts: what the servers received of them.
    """
    lines: dict[str | tuple[str, int] | None, list[EnvoyLogged]] = {}
    for entry in log:
        # Of what passes as bytes Envoy logs the connection, not its requests.
        lines.setdefault(entry.connection if expectation.as_bytes else nonce_of(entry.path), []).append(entry)
    connections = {receipt.nonce: receipt.connection for receipt in receipts}
    code = 0 if expectation.as_bytes else expectation.status
    arrived = Counter(receipt.nonce for receipt in receipts if receipt.event in {"request", "payload"})
    strangers = {
        receipt.nonce: receipt.server
        for receipt in receipts
        if receipt.event == "request" and receipt.instance not in expectation.instances.values()
    }
    found: dict[str, list[str]] = {}
    if not sent:
        return {"none": ["curl: sent nothing"]}
    for each in sent:
        problems = []
        if each.exit_code or each.status != expectation.status:
            problems.append(f"curl: exit code {each.exit_code}, status {each.status}, expected {expectation.status}")
        mine = lines.get(connections.get(each.nonce) if expectation.as_bytes else each.nonce, [])
        if len(mine) != 1:
            problems.append(f"envoy: logged {len(mine)} lines of it, expected exactly one")
        problems += [
            f"envoy: {entry}, expected {code} by {expectation.cluster}, flags {expectation.flags}"
            for entry in mine
            if (entry.code, entry.cluster, entry.flags) != (code, expectation.cluster, expectation.flags)
        ]
        if arrived[each.nonce] != 1:
            problems.append(f"server: {arrived[each.nonce]} receipts, expected exactly one")
        if each.nonce in strangers:
            problems.append(f"server: received by {strangers[each.nonce]}, expected {expectation.name}")
        if problems:
            found[each.nonce] = problems
    return found


def problems_once_blocked(sent: list[Sent], log: list[EnvoyLogged], receipts: list[Receipt]) -> dict[str, list[str]]:
    """Where a witness disagrees that each of these was answered 502 by the proxy, as REGISTRY_ONLY does, by request.

    Args:
        sent: what curl says; none at all is a problem, too.
        log: what Envoy logged of them.
        receipts: what the servers received.
    """
    lines: dict[str | None, list[EnvoyLogged]] = {}
    for entry in log:
        lines.setdefault(nonce_of(entry.path), []).append(entry)
    arrived = {receipt.nonce for receipt in receipts}
    if not sent:
        return {"the last": ["curl: none was blocked"]}
    found: dict[str, list[str]] = {}
    for each in sent:
        problems = [] if each.status == _BLOCKED else [f"curl: status {each.status}, expected {_BLOCKED}"]
        routes = [(entry.code, entry.route, entry.upstream_host) for entry in lines.get(each.nonce, [])]
        if routes != [(_BLOCKED, "block_all", "-")]:
            problems.append(f"envoy: {routes}, expected one {_BLOCKED} by block_all, to nobody")
        if each.nonce in arrived:
            problems.append("server: received it in spite of it")
        if problems:
            found[each.nonce] = problems
    return found
