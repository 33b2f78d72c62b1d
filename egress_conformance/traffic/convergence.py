"""One check: a loop in the pod sends a request until all three witnesses agree, or the deadline passes."""

from __future__ import annotations

import ipaddress
import itertools
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING

from egress_conformance.cluster.execs import Exec
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.proxy import parse_stats
from egress_conformance.traffic.attempt import (
    Attempt,
    EnvoyLogged,
    join,
    lines_of,
    parse_attempt,
    parse_log,
    unaccounted,
    unescaped,
)
from egress_conformance.traffic.expect import Expectation
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.recorder import CheckDraft
from egress_conformance.waiting import wait_for

if TYPE_CHECKING:
    from egress_conformance.traffic.request import Request

AGREEING = 3
"""Attempts in a row that must agree, by all three witnesses, before a check holds."""

_INTERVAL_MS = 20
"""Between two attempts."""
_LONGEST_MS = 250
"""To this it grows while nothing changes, see attempts.sh; where many attempts are to come out alike it stays."""

_ADMIN_SECONDS = 10
_LOG_SECONDS = 3
CLOCK_SECONDS = 2
"""How much further back than the check Envoy's log is read: the kubelet takes whole seconds, by the node's clock."""
_FLUSHED_SECONDS = 0.2
_SILENCE_SECONDS = 0.3
"""How long Envoy must have logged nothing, where its log is off: flushed, a line is there after some 20 ms."""
_STALL_SECONDS = 2
"""An attempt that took this much longer than curl allows itself stood still: its node or its pod did."""
_GAP_SECONDS = 5
"""So much time without an attempt is missing from a check's: the mesh may have had too little left."""
_LOCAL_TROUBLE = {2: "curl could not start", 23: "curl could not write", 26: "curl could not read", 27: "out of memory"}
"""curl's exit codes that speak of the pod it runs in, not of the request (https://curl.se/docs/manpage.html#EXIT)."""
_STATS = r"cluster[.].*(upstream_rq_total|upstream_cx_total|upstream_cx_none_healthy|upstream_rq_retry)$"
_SCRIPT = resources.files("egress_conformance.traffic").joinpath("attempts.sh")


class Convergence:
    """One check under way.

    Args:
        request: what is sent.
        expectation: what must come of it.
        times: how many attempts in a row must agree.
        check: takes down what is seen.
        chance_before: whether some attempts may have agreed by chance before the change: then it has arrived when so
            many have as are asked for, not sooner.
    """

    def __init__(
        self,
        request: Request,
        expectation: Expectation,
        times: int,
        check: CheckDraft,
        *,
        chance_before: bool = False,
    ) -> None:
        self._request = request
        self._client = request.client
        self._expectation = expectation
        self._times = times
        self._enough = max(AGREEING, times) if chance_before else AGREEING
        self._check = check
        self._unlogged = not expectation.is_logged()
        self._attempts: list[Attempt] = []
        self._began = time.monotonic()
        self._before: dict[str, int] = {}

    def run(self) -> list[Attempt]:
        """Watch the loop.

        Returns:
            The last attempts, all of which agree.

        Raises:
            CheckFailed: the deadline passed without agreement.
            PlatformTrouble: the loop broke.
        """
        world, client = self._client.world, self._client
        mark = world.mark()
        prefix = f"n{secrets.token_hex(5)}"
        longest = _LONGEST_MS if self._times <= AGREEING else _INTERVAL_MS
        command = ["bash", "-c", _SCRIPT.read_text(encoding="utf-8"), "attempts", prefix]
        command += [f"{client.recorder.deadline:.0f}", str(_INTERVAL_MS), str(longest)]
        command += [_STATS, escaped(self._request.stdin)]
        with client.kube.exec(
            client.namespace, client.pod, CLIENT, command + self._request.arguments, bash=True
        ) as loop:
            if self._watch(loop, mark, prefix):
                return self._attempts[-self._times :]
        if not self._attempts:
            raise PlatformTrouble("client pod broken", "the loop in the pod sent nothing")
        # The loop may have spent its time between the last agreeing attempt and the word of the other two.
        agrees = [self._expectation.at_a_glance(attempt.curl) for attempt in self._attempts[-self._times :]]
        if self._judge(mark, prefix) and all(agrees) and len(agrees) == self._times:
            return self._attempts[-self._times :]
        raise self._check.failure()

    def _watch(self, loop: Exec, mark: dict[str, int], prefix: str) -> bool:
        """Follow the loop until the three witnesses agree or it has spent its time. Whether they agree."""
        # How many agreed in a row, and how many of those since the other two were last in doubt.
        streak, undoubted = 0, 0
        ready_us, settling, settled, converged = 0, False, False, False
        while (line := loop.line(self._request.seconds + _ADMIN_SECONDS)) != "spent":
            if line is None:
                raise PlatformTrouble("exec broke off", "the loop in the pod ended before its time")
            word, *words = line.split("\t")
            if word == "ready":
                with _understood(line):
                    ready_us, self._before = int(words[0]), parse_stats(unescaped(words[1]))
                self._check.loop_is_ready()
            elif word == "attempt":
                with _understood(line):
                    self._attempts.append(parse_attempt(words, ready_us))
                last = self._attempts[-1]
                if not settled:
                    self._look_for_a_gap()
                settled = False
                look_for_trouble(last.curl.exit_code, last.took, allowed=self._request.seconds, said=str(last.curl))
                agrees = self._expectation.at_a_glance(last.curl)
                if converged and not agrees and self._is_stray(mark, prefix):
                    # Nothing changed meanwhile: this is no propagation any more, and no later success mends it.
                    raise self._check.failure()
                streak, undoubted = (streak + 1, undoubted + 1) if agrees else (0, 0)
                converged = undoubted >= self._enough
                if streak >= self._times and not settling:
                    # Curl agrees often enough: with the loop standing still, ask the other two witnesses.
                    settling = True
                    loop.send("settle")
            elif word == "settled":
                with _understood(line):
                    self._count(parse_stats(unescaped(words[0])))
                agree = self._judge(mark, prefix)
                loop.send("quit" if agree else "go")
                if agree:
                    return True
                # The other two have not come round: what curl sees may still change.
                settling, settled, undoubted, converged = False, True, 0, False
            else:
                raise _broken(line)
        return False

    def _look_for_a_gap(self) -> None:
        """See that the loop did not stand still between two attempts: its time passed, and nothing was tried."""
        for before, after in itertools.pairwise(self._attempts[-2:]):
            gap = after.sent - before.sent - before.took
            if gap > _GAP_SECONDS:
                detail = f"nothing was sent for {gap:.1f} s; was its node paused?"
                raise PlatformTrouble("client pod stood still", detail)

    def _is_stray(self, mark: dict[str, int], prefix: str) -> bool:
        """Whether the last attempt came out otherwise after all three witnesses had agreed on those before it.

        One that was merely slow did not, nor one after attempts that curl alone took for what is expected: then the
        mesh is still on its way.
        """
        *before, last = self._attempts
        if self._expectation.is_slow(last.curl) or not self._judge(mark, prefix, before[-self._enough :]):
            return False
        self._judge(mark, prefix)
        self._check.stray(last)
        return True

    def _count(self, after: dict[str, int]) -> None:
        self._check.counted = {
            name: value - self._before.get(name, 0)
            for name, value in sorted(after.items())
            if value != self._before.get(name, 0) and "xds-grpc" not in name
        }

    def _judge(self, mark: dict[str, int], prefix: str, judged: list[Attempt] | None = None) -> bool:
        """Ask the other two witnesses, and judge some attempts, by default the last; whether all is as expected."""
        numbers = {attempt.number for attempt in judged or self._attempts[-self._times :]}
        client = self._client
        # A name is the case's own; an address is not: others may ask for it at the same time.
        names = [] if _is_address(self._request.host) else [self._request.host]
        match = [prefix, *names, client.address]
        log = self._log(mark, match)
        receipts = client.world.receipts(mark, match)
        self._attempts = [join(attempt, log, receipts) for attempt in self._attempts]
        judged = [attempt for attempt in self._attempts if attempt.number in numbers]
        problems = [self._expectation.problems(attempt) for attempt in judged]
        strange = [receipt for receipt in receipts if not self._expectation.accounts_for(receipt)]
        stray = unaccounted(self._attempts, log, strange, tuple(client.recorder.bursts))
        problems[-1] += [f"server: {receipt}, which neither curl nor Envoy accounts for" for receipt in stray]
        return self._check.judged(self._attempts, judged, problems)

    def _log(self, mark: dict[str, int], match: list[str]) -> list[EnvoyLogged]:
        """Envoy's log, once it holds a line for each attempt that connected; what is there after a while if not."""
        wanted = [attempt for attempt in self._attempts if attempt.curl.local_port]
        seen: list[EnvoyLogged] = []
        start = time.monotonic()

        def look() -> list[EnvoyLogged] | None:
            nonlocal seen
            client = self._client
            since = time.monotonic() - self._began + CLOCK_SECONDS
            text = client.kube.logs(client.namespace, client.pod, "istio-proxy", since=since)
            seen = parse_log(text)
            missing = [attempt for attempt in wanted if not lines_of(attempt, seen, [])]
            if missing and time.monotonic() - start > _FLUSHED_SECONDS:
                # There by now, if at all; the servers may know on which connections.
                receipts = client.world.receipts(mark, match)
                missing = [attempt for attempt in missing if not lines_of(attempt, seen, receipts)]
            return None if missing else seen

        seconds = _SILENCE_SECONDS if self._unlogged else _LOG_SECONDS
        try:
            return wait_for("Envoy's access log", look, seconds=seconds, hint="is access logging on?", every=0.02)
        except Timeout:
            # A missing line is for the judge to report, with what the other witnesses saw.
            return seen


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def look_for_trouble(exit_code: int, took: float, *, allowed: float, said: str) -> None:
    """See that a request says something about the mesh, not about the pod it was sent from.

    Args:
        exit_code: curl's.
        took: seconds.
        allowed: seconds curl was given.
        said: what curl says of it.

    Raises:
        PlatformTrouble: it says something about the pod.
    """
    why = _LOCAL_TROUBLE.get(exit_code)
    if why is not None:
        raise PlatformTrouble("client pod broken", f"{why}: {said}; is its disk full?")
    if took > allowed + _STALL_SECONDS:
        raise PlatformTrouble("client pod stood still", f"one request took {took:.1f} s; was its node paused?")


def _broken(line: str) -> PlatformTrouble:
    return PlatformTrouble("client pod broken", f"the loop in the pod said {line[:200]!r}")


@contextmanager
def _understood(line: str) -> Iterator[None]:
    """What the loop says must make sense; a pod that garbles it says nothing about Istio."""
    try:
        yield
    except (ValueError, IndexError, KeyError) as error:
        raise _broken(line) from error


def escaped(text: str | bytes) -> str:
    """What `printf %b` writes as these bytes: an argument can hold no NUL, and an exec takes only text."""
    data = text.encode() if isinstance(text, str) else text
    return "".join(chr(byte) if 32 <= byte < 127 and byte != ord("\\") else f"\\0{byte:03o}" for byte in data)
