"""Keeps what the checks of one case saw, and says in words why one did not hold."""

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from egress_conformance.report import ledger
from egress_conformance.report.observed import Observed
from egress_conformance.traffic.attempt import Attempt
from egress_conformance.traffic.expect import Expectation
from egress_conformance.traffic.observe import observe
from egress_conformance.traffic.stable import Stable

_RUNS_SHOWN = 8
WITNESSES = ("curl", "envoy", "server")

DEADLINE_SECONDS = 30
"""How long a check may take to converge; istiod's debounce alone may take 10 s under load (PILOT_DEBOUNCE_MAX)."""

LATE_SECONDS = 5
"""From here on a convergence is called late in the measurements: it held, but a user would have noticed."""

PROOF_SECONDS = 5
"""How long a check is given that must not hold, as its subject is withheld."""

STILL_PROOF_SECONDS = 1
"""The same where nothing was changed since before the case began, so that nothing is on its way."""

Role = Literal["control before", "subject", "control after", "check"]


class CheckFailed(AssertionError):  # noqa: N818  (pytest treats it as what it is: a failed assertion)
    """An expectation did not hold.

    Args:
        gist: what was expected and who disagrees.
        details: the last attempts, which the ledger keeps with the check.
    """

    def __init__(self, gist: str, details: str) -> None:
        super().__init__(f"{gist}\n{details}")
        self.gist = gist


@dataclass
class CheckDraft:
    """A check under way.

    Args:
        description: the request, in words.
        expected: what it is to come to.
        role: what the check is to its case.
        changed: when the subject was last changed (monotonic seconds), None if never.
        stable: the words of the case that do not differ from run to run.
    """

    description: str
    expected: Expectation
    role: Role
    changed: float | None
    stable: Stable = field(default_factory=Stable)
    counted: dict[str, int] = field(default_factory=dict)
    _ready: float = 0
    _made: int = 0
    _held: bool = False
    _first_ms: float | None = None
    _sending_ms: float | None = None
    _rows: list[ledger.Attempt] = field(default_factory=list)
    _history: str = ""
    _doubts: list[tuple[float, str]] = field(default_factory=list)
    _stray: str = ""
    _observed: Observed = field(default_factory=Observed)

    def loop_is_ready(self) -> None:
        """The first attempt is about to be sent: attempts' times count from now."""
        self._ready = time.monotonic()

    def judged(self, attempts: list[Attempt], judged: list[Attempt], problems: list[list[str]]) -> bool:
        """Take in what the three witnesses say of the last attempts.

        Args:
            attempts: all of them so far.
            judged: the last few.
            problems: of each of those; empty when the witnesses agree with the expectation.

        Returns:
            Whether the check holds.
        """
        self._made = len(attempts)
        self._sending_ms = round(attempts[-1].start_ms + 1000 * attempts[-1].took, 1)
        self._history = _history(attempts)
        self._held = not any(problems)
        if not self._held:
            first = next(found[0] for found in problems if found)
            self._doubts.append((judged[-1].start_ms, first))
        # A change that was accepted counts from then on; otherwise the check counts from its own start.
        since = self._ready - self.changed if self.changed is not None else 0.0
        self._first_ms = round(judged[0].start_ms + 1000 * since, 1) if self._held else None
        self._rows = [
            ledger.Attempt(
                curl=str(attempt.curl),
                envoy=[str(entry) for entry in attempt.logged],
                server=[str(receipt) for receipt in attempt.received],
                agrees=not found,
                problems=found,
            )
            for attempt, found in zip(judged, problems, strict=True)
        ]
        self._observed = observe(self.description, self.expected, judged, self.stable)
        return self._held

    def stray(self, attempt: Attempt) -> None:
        """One attempt came out otherwise after the expectation had been met several times in a row."""
        self._held = False
        self._stray = f"attempt #{attempt.number} came out otherwise after the expectation had been met: {attempt.curl}"

    def judged_many(self, sent: int, lost: int, rows: list[ledger.Attempt], observed: Observed) -> None:
        """Take in what became of many requests.

        Args:
            sent: how many.
            lost: how many were not served as expected.
            rows: the first of those.
            observed: what all of them saw.
        """
        self._observed = observed
        self._made, self._held, self._rows = sent, not lost, rows
        self._history = f"{sent} requests sent, {lost} of them not served as expected"

    @property
    def late(self) -> str:
        """That it converged late, in words; "" if it did not."""
        if self._first_ms is None or self._first_ms < 1000 * LATE_SECONDS:
            return ""
        return f"{self.role}: {self.description} {self.expected} only after {self._first_ms / 1000:.1f} s"

    def finished(self) -> ledger.Check:
        """The check as the ledger keeps it."""
        return ledger.Check(
            role=self.role,
            expected=f"{self.description} {self.expected}",
            held=self._held,
            attempts_made=self._made,
            convergence_ms=self._first_ms,
            sending_ms=self._sending_ms,
            attempts=self._rows,
            envoy_counted=self.counted,
            observed=self._observed,
        )

    def failure(self) -> CheckFailed:
        """Why it does not hold: the expectation, what does not agree, and the last attempts by witness."""
        lines = [f"{self.role}: {self.description} must be so that it {self.expected}; after {self._made} attempts:"]
        problems = dict.fromkeys(problem for row in self._rows for problem in row.problems)
        lines += [f"  - {problem}" for problem in problems]
        lines += [text for text in (self._stray, disagreement(problems)) if text]
        lines.append(f"what curl saw, over time: {self._history}")
        gist = "\n".join(lines)
        doubts = [] if len(self._doubts) < 2 else [f"when all three were asked, over time: {_runs(self._doubts)}"]
        lines = [*doubts, "the last attempts, by witness:"]
        for number, row in enumerate(self._rows, start=self._made - len(self._rows) + 1):
            lines.append(f"  #{number}  curl    {row.curl}")
            for name, said in (("envoy", row.envoy), ("server", row.server)):
                lines += [f"       {name:<7} {text}" for text in said or ["nothing"]]
        if self.counted:
            lines.append("envoy counted meanwhile: " + ", ".join(f"{k} +{v}" for k, v in self.counted.items()))
        return CheckFailed(gist, "\n".join(lines))


def disagreement(problems: Iterable[str]) -> str:
    """That the witnesses contradict each other, in words; "" where all three speak against the expectation, or none.

    Args:
        problems: what is wrong, each beginning with the witness it is about.
    """
    against = {witness for witness in WITNESSES if any(problem.startswith(f"{witness}: ") for problem in problems)}
    in_favour = [witness for witness in WITNESSES if witness not in against]
    if not against or not in_favour:
        return ""
    accusers = " and ".join(witness for witness in WITNESSES if witness in against)
    return f"the witnesses disagree: {' and '.join(in_favour)} saw what was expected, {accusers} did not"


def _history(attempts: list[Attempt]) -> str:
    return _runs((attempt.start_ms, str(attempt.curl)) for attempt in attempts)


def _runs(seen: Iterable[tuple[float, str]]) -> str:
    """What was seen when, in runs of the same: `0.0 s: 200 (150 times); 18.2 s: 502 (3 times)`; the last few.

    Args:
        seen: milliseconds and what was seen then.
    """
    runs = []
    for what, group in itertools.groupby(seen, key=lambda one: one[1]):
        members = list(group)
        times = f"{len(members)} times" if len(members) > 1 else "once"
        runs.append(f"{members[0][0] / 1000:.1f} s: {what} ({times})")
    return "; ".join(runs[-_RUNS_SHOWN:])


@dataclass
class Recorder:
    """What one case did and saw.

    Attributes:
        checks: its checks, in order.
        applied: the YAML it applied, as it was sent.
        observations: what it saw beyond the verdict, where two runs of one version see the same.
        measurements: what it measured, which differs from run to run and so is no part of a diff.
        stable: replaces what differs from run to run.
        hosts: the hosts it asked for.
        evidence: longer dumps by name, made when a check fails.
        emulated: whether its result is from an emulation.
        seconds: how long a check may take to converge.
        withheld: whether the subject is to be withheld, to prove that the case can fail.
        bursts: what the nonces of traffic that the case keeps up beside its checks begin with.
        failed_in_subject: whether an assertion failed where the subject should have been in place.
        rejects_on_purpose: whether the case itself has proxies reject configuration; such a case needs the mesh alone.
    """

    checks: list[ledger.Check] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    observations: dict[str, Any] = field(default_factory=dict)
    measurements: dict[str, Any] = field(default_factory=dict)
    stable: Stable = field(default_factory=Stable)
    hosts: list[str] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)
    emulated: bool = False
    bursts: list[str] = field(default_factory=list)
    withheld: bool = False
    seconds: float = DEADLINE_SECONDS
    failed_in_subject: bool = False
    rejects_on_purpose: bool = False
    _depth: int = 0
    _changed: float | None = None

    @contextmanager
    def subject(self) -> Iterator[None]:
        """Within this the subject of the case is in place; enter it when the cluster has accepted the change."""
        self._depth += 1
        self._changed = time.monotonic()
        try:
            yield
        except AssertionError:
            self.failed_in_subject = True
            raise
        finally:
            self._depth -= 1
            self._changed = time.monotonic()

    def changes_now(self) -> None:
        """What takes a while to undo is undone by now: what comes after it counts from here."""
        self._changed = time.monotonic()

    @contextmanager
    def subject_throughout(self) -> Iterator[None]:
        """The same for a subject that was in place before the case began: its mode. Nothing propagates."""
        self._depth += 1
        try:
            yield
        except AssertionError:
            self.failed_in_subject = True
            raise
        finally:
            self._depth -= 1

    @property
    def deadline(self) -> float:
        """Seconds a check may take; one that is to fail need not wait as long as one that is to hold."""
        if not (self.withheld and self._depth):
            return self.seconds
        return STILL_PROOF_SECONDS if self._changed is None else PROOF_SECONDS

    @property
    def _role(self) -> Role:
        if self._depth:
            return "subject"
        return "control before" if self._changed is None else "control after"

    @contextmanager
    def check(self, description: str, expectation: Expectation) -> Iterator[CheckDraft]:
        """Record one check, whether it holds or not."""
        draft = CheckDraft(description, expectation, self._role, self._changed, self.stable)
        try:
            yield draft
        finally:
            self.checks.append(draft.finished())
            if draft.late:
                self.measurements.setdefault("converged late", []).append(draft.late)

    def fact(
        self, expected: str, seen: str, *, held: bool, envoy: Sequence[str] = (), server: Sequence[str] = ()
    ) -> None:
        """Record a check of something other than a request, e.g. the API server's answer.

        Args:
            expected: what should be so.
            seen: what was seen, in words that do not differ from run to run but for hosts, addresses and random ids.
            held: whether that is as expected.
            envoy: what the caller's proxy says of it, where it is asked.
            server: what the world says of it, where it is asked.

        Raises:
            CheckFailed: it did not hold.
        """
        problems = [] if held else [seen]
        row = ledger.Attempt(curl=seen, envoy=[*envoy], server=[*server], agrees=held, problems=problems)
        self.checks.append(
            ledger.Check(
                role=self._role,
                expected=expected,
                held=held,
                attempts_made=1,
                convergence_ms=None,
                attempts=[row],
                envoy_counted={},
                observed=Observed(expected=self.stable.text(expected), seen=[self.stable.text(seen)]),
            )
        )
        if not held:
            raise CheckFailed(f"{self._role}: {expected}; but: {seen}", "")

    @property
    def propagation_ms(self) -> float | None:
        """From the cluster's acceptance of the subject to the first agreeing attempt."""
        times = [check.convergence_ms for check in self.checks if check.role == "subject"]
        return times[0] if times and self._changed is not None else None

    def final_checks(self) -> list[ledger.Check]:
        """The checks; in a case that changed nothing there are no controls, just checks."""
        if self._changed is not None:
            return self.checks
        return [check.model_copy(update={"role": "check"}) for check in self.checks]
