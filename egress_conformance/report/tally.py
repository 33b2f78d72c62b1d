"""What a run amounts to: counts, the sentence above every report, and the exit code."""

from collections import Counter
from collections.abc import Iterable

from egress_conformance.errors import ExitCode
from egress_conformance.report.ledger import CaseRecord, Ledger, Summary, Verdict
from egress_conformance.report.words import several

WORST_FIRST = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED, Verdict.SKIPPED)
_RAN = (Verdict.PASSED, Verdict.FAILED, Verdict.INCONCLUSIVE)


def counted(cases: Iterable[CaseRecord]) -> Counter[Verdict]:
    """Verdicts of the cases that count for conformance: those whose result is from no emulation."""
    return Counter(case.verdict for case in cases if not case.emulated)


def emulated(cases: Iterable[CaseRecord]) -> Counter[Verdict]:
    """Verdicts of the emulated cases, which are counted apart."""
    return Counter(case.verdict for case in cases if case.emulated)


def summarise(cases: Iterable[CaseRecord], seconds: float) -> Summary:
    """The summary a ledger of these cases carries.

    Args:
        cases: all of the run.
        seconds: how long the run took, from the first case to the last.
    """
    cases = list(cases)
    counts = counted(cases)
    return Summary(
        **{verdict.value: counts[verdict] for verdict in Verdict},
        emulated=emulated(cases).total(),
        seconds=seconds,
    )


def exit_code(ledger: Ledger) -> ExitCode:
    """What a run that made this ledger ends with.

    A failure beats an inconclusive case. Emulated cases are left out of the conformance count but not of
    the exit code: a failed one ends in 1 as well, for something the project says works does not. So does a
    packet that tried to leave the cluster. A run in which nothing came to be tried (no case, or all skipped) is the
    user's error.
    """
    verdicts = Counter(case.verdict for case in ledger.cases)
    if verdicts[Verdict.FAILED] or ledger.environment.escaped_packets:
        return ExitCode.FAILED
    if verdicts[Verdict.INCONCLUSIVE]:
        return ExitCode.INCONCLUSIVE
    return ExitCode.PASSED if verdicts[Verdict.PASSED] else ExitCode.USER_ERROR


def subject(ledger: Ledger) -> str:
    """What was tested: ``Istio 1.31.0 on envoy 1.39.3``."""
    plane = ledger.environment.data_plane
    return f"Istio {ledger.environment.istio} on {plane.kind} {plane.version}"


def outcome(ledger: Ledger) -> str:
    """What came of it: ``19 of 19 cases passed``, or ``2 failed, 1 inconclusive, 16 of 19 cases passed``."""
    counts, apart = counted(ledger.cases), emulated(ledger.cases)
    ran = sum(counts[verdict] for verdict in _RAN)
    told = [f"{counts[v]} {v}" for v in (Verdict.FAILED, Verdict.INCONCLUSIVE) if counts[v]]
    if ran:
        done = "proved: they fail without their subject" if any(case.proof for case in ledger.cases) else "passed"
        told.append(f"{counts[Verdict.PASSED]} of {several(ran, 'case')} {done}")
    else:
        told.append("no case counted for conformance was tried" if apart else "nothing was tried")
    beside = [f"{several(apart[v], 'emulated case')} {v}" for v in (Verdict.FAILED, Verdict.INCONCLUSIVE) if apart[v]]
    if escaped := ledger.environment.escaped_packets:
        beside.append(f"{several(escaped, 'packet')} tried to leave the cluster")
    return "; ".join([", ".join(told), *beside])


def headline(ledger: Ledger) -> str:
    """The one sentence above every report."""
    return f"{subject(ledger)}: {outcome(ledger)}"


def worst_first(cases: Iterable[CaseRecord]) -> list[CaseRecord]:
    """The cases in the order a reader wants them; within a verdict as in the ledger."""
    return sorted(cases, key=lambda case: WORST_FIRST.index(case.verdict))
