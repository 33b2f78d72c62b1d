"""Many requests, each of which must be served: nothing converges here, a single lost one is a failure."""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.report import ledger
from egress_conformance.traffic.attempt import EnvoyLogged, Receipt, nonce_of, parse_log
from egress_conformance.traffic.convergence import look_for_trouble
from egress_conformance.traffic.expect import Reaches
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.recorder import CheckDraft
from egress_conformance.waiting import wait_for

if TYPE_CHECKING:
    from egress_conformance.cluster.kube import Exec
    from egress_conformance.traffic.client import Request

SECONDS = 60
"""How long a burst may take."""

_LOG_SECONDS = 5
_SHOWN = 5
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

    Attributes:
        sent: what curl says of each, once they have ended.
        served: how many of them each server received, by its name, once they are judged.
    """

    def __init__(
        self, request: Request, expectation: Reaches, times: int, per_second: int | None, check: CheckDraft
    ) -> None:
        self._request = request
        self._expectation = expectation
        self._times = times
        self._check = check
        self._prefix = f"n{secrets.token_hex(5)}"
        self._rate = ["--rate", f"{per_second}/s"] if per_second else []
        self._loop: Exec | None = None
        self._mark: dict[str, int] = {}
        self.sent: list[Sent] = []
        self.served: Counter[str] = Counter()

    def __enter__(self) -> Many:
        client = self._request.client
        self._mark = client.world.mark()
        client.recorder.bursts.append(self._prefix)
        command = ["bash", "-c", _SCRIPT.read_text(encoding="utf-8"), "many", self._prefix, str(self._times)]
        self._loop = client.kube.exec(
            client.namespace, client.pod, CLIENT, [*command, *self._rate, *self._request.arguments]
        )
        if self._loop.line(SECONDS) != "started":
            with self._loop:
                raise PlatformTrouble("client pod broken", "the loop in the pod did not start")
        self._check.loop_is_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            with self._loop as loop:
                if not self.sent:
                    loop.send("stop")
                    self._read(loop)

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
        log = self._log()
        receipts = self._request.client.world.receipts(self._mark, [self._prefix])
        self.served.update(receipt.server for receipt in receipts if receipt.event == "request")
        problems = problems_of_many(self.sent, self._expectation, log, receipts)
        rows = [
            ledger.Attempt(curl=f"request {nonce}", envoy=[], server=[], agrees=False, problems=found)
            for nonce, found in list(problems.items())[:_SHOWN]
        ]
        self._check.judged_many(len(self.sent), len(problems), rows)
        if problems:
            raise self._check.failure()

    def _log(self) -> list[EnvoyLogged]:
        client = self._request.client
        seen: list[EnvoyLogged] = []
        wanted = {sent.nonce for sent in self.sent}

        def look() -> list[EnvoyLogged] | None:
            nonlocal seen
            text = client.kube.logs(client.namespace, client.pod, "istio-proxy", since=2 * SECONDS)
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
    lines: dict[str | None, list[EnvoyLogged]] = {}
    for entry in log:
        lines.setdefault(nonce_of(entry.path), []).append(entry)
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
        mine = lines.get(each.nonce, [])
        if len(mine) != 1:
            problems.append(f"envoy: logged {len(mine)} lines of it, expected exactly one")
        problems += [
            f"envoy: {entry}, expected {expectation.status} by {expectation.cluster}, flags {expectation.flags}"
            for entry in mine
            if (entry.code, entry.cluster, entry.flags) != (expectation.status, expectation.cluster, expectation.flags)
        ]
        if arrived[each.nonce] != 1:
            problems.append(f"server: {arrived[each.nonce]} receipts, expected exactly one")
        if each.nonce in strangers:
            problems.append(f"server: received by {strangers[each.nonce]}, expected {expectation.name}")
        if problems:
            found[each.nonce] = problems
    return found
