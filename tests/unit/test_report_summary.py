"""What a run amounts to, and how the terminal says it."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from egress_conformance.errors import ExitCode
from egress_conformance.report import exit_code, headline, print_summary, summarise
from egress_conformance.report.ledger import Ledger, Verdict
from egress_conformance.report.words import duration, milliseconds, reason, shown, utc
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.sample_ledger import sample

P, F, S, INC = Verdict.PASSED, Verdict.FAILED, Verdict.SKIPPED, Verdict.INCONCLUSIVE


def run(*verdicts: Verdict, emulated: tuple[Verdict, ...] = (), escaped: int | None = 0) -> Ledger:
    ledger = sample()
    some = ledger.cases[0]
    return ledger.model_copy(
        update={
            "environment": ledger.environment.model_copy(update={"escaped_packets": escaped}),
            "cases": [some.model_copy(update={"verdict": verdict}) for verdict in verdicts]
            + [some.model_copy(update={"verdict": verdict, "emulated": True}) for verdict in emulated],
        }
    )


@pytest.mark.parametrize(
    ("ledger", "code", "said"),
    [
        (run(P, P), ExitCode.PASSED, "2 of 2 cases passed"),
        (run(P, S), ExitCode.PASSED, "1 of 1 case passed"),
        (run(P, F, INC), ExitCode.FAILED, "1 failed, 1 inconclusive, 1 of 3 cases passed"),
        (run(P, INC), ExitCode.INCONCLUSIVE, "1 inconclusive, 1 of 2 cases passed"),
        (run(), ExitCode.USER_ERROR, "nothing was tried"),
        (run(S, S), ExitCode.USER_ERROR, "nothing was tried"),
        (run(P, emulated=(F,)), ExitCode.FAILED, "1 of 1 case passed; 1 emulated case failed"),
        (run(P, emulated=(INC,)), ExitCode.INCONCLUSIVE, "1 of 1 case passed; 1 emulated case inconclusive"),
        (run(P, emulated=(P,)), ExitCode.PASSED, "1 of 1 case passed"),
        (run(emulated=(P,)), ExitCode.PASSED, "no case counted for conformance was tried"),
        (run(P, escaped=2), ExitCode.FAILED, "1 of 1 case passed; 2 packets tried to leave the cluster"),
        (run(P, escaped=None), ExitCode.PASSED, "1 of 1 case passed"),
    ],
)
def test_exit_code_and_headline(ledger: Ledger, code: ExitCode, said: str) -> None:
    assert exit_code(ledger) is code
    assert headline(ledger) == f"Istio 1.31.0 on envoy 1.39.3: {said}"


def test_a_summary_counts_emulated_cases_apart() -> None:
    summary = summarise(sample().cases, 74.6)
    assert summary == sample().summary
    assert (summary.passed, summary.failed, summary.skipped, summary.inconclusive, summary.emulated) == (18, 2, 3, 1, 2)


def printed(ledger: Ledger, *, terminal: bool = False, width: int = 100) -> str:
    out = io.StringIO()
    print_summary(ledger, Path("reports/runs/one").absolute(), Console(file=out, force_terminal=terminal, width=width))
    return out.getvalue()


def test_the_terminal_says_what_did_not_pass_and_why() -> None:
    lines = printed(sample()).splitlines()
    (at,) = [index for index, line in enumerate(lines) if line.startswith("FAILED       TLS-05 Under REGISTRY_ONLY")]
    assert lines[at + 1].strip().startswith("check: it must be so that HTTPS to tls-05.world.test is blocked")
    (at,) = [index for index, line in enumerate(lines) if line.startswith("INCONCLUSIVE TCP-05")]
    assert lines[at + 1].strip().startswith("client pod gone")
    assert "SKIPPED      TEL-03 HDR-03" in lines
    assert any(line.startswith("FAILED       HDR-02 (emulated)") for line in lines)
    assert "slowest propagation: POL-06 2.38 s, HDR-05 733 ms, RES-01 467 ms" in lines
    assert lines[-1] == "report: reports/runs/one/report.html"
    assert headline(sample()) in lines


def test_it_is_plain_where_nobody_looks_and_wrapped_where_somebody_does() -> None:
    assert "\x1b" not in printed(sample())
    coloured = printed(sample(), terminal=True, width=60)
    assert "\x1b[" in coloured
    assert max(len(shown(line)) for line in printed(sample()).splitlines()) > 100


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_any_text_is_shown_and_not_obeyed(text: str, verdict: Verdict) -> None:
    told = printed(hostile(text, verdict))
    assert "\x1b" not in told
    assert "\x07" not in told
    assert told.count("report: ") == 1


def test_markup_is_text() -> None:
    assert "[bold]markup[/bold] [/]" in printed(hostile("[bold]markup[/bold] [/]"))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (3599.7, "1 h 0 min"), (3725, "1 h 2 min")],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("ms", "said"), [(0.2, "0 ms"), (999.4, "999 ms"), (999.6, "1.00 s"), (9996, "10 s"), (65_000, "1 min 5 s")]
)
def test_milliseconds(ms: float, said: str) -> None:
    assert milliseconds(ms) == said


@pytest.mark.parametrize(
    ("started", "said"),
    [
        ("2026-08-28T03:41:07Z", "28 August 2026, 03:41 UTC"),
        ("2026-08-28T03:41:07+09:00", "27 August 2026, 18:41 UTC"),
        ("2026-08-28T03:41:07", "28 August 2026, 03:41 UTC"),
        ("yesterday", "yesterday"),
    ],
)
def test_time_stamps_are_read_as_utc(started: str, said: str) -> None:
    assert utc(started) == said


@pytest.mark.parametrize(
    ("text", "gist", "rest"),
    [
        ("", "", ""),
        ("timed out: nothing", "timed out: nothing", ""),
        (
            "of three:\n  - one\n  - two\nthe last attempts:\n  #1  curl",
            "of three: one; two",
            "the last attempts:\n  #1  curl",
        ),
        ("assert [1] == [2]\n  \n  - a diff", "assert [1] == [2]", "  \n  - a diff"),
        ("one\ntwo", "one", "two"),
    ],
)
def test_a_reason_has_a_gist(text: str, gist: str, rest: str) -> None:
    assert (reason(text).gist, reason(text).rest) == (gist, rest)


def test_cases_that_are_inconclusive_for_one_reason_are_told_together() -> None:
    ledger = run(INC, INC, F, F)
    changes: tuple[dict[str, str], ...] = tuple({"id": f"TST-0{n}", "reason": "client not admitted"} for n in range(4))
    cases = [case.model_copy(update=change) for case, change in zip(ledger.cases, changes, strict=True)]
    lines = printed(ledger.model_copy(update={"cases": cases})).splitlines()
    assert lines.count("INCONCLUSIVE TST-00 TST-01") == 1
    assert [line[:19] for line in lines if line.startswith("FAILED")] == ["FAILED       TST-02", "FAILED       TST-03"]
    assert sum("client not admitted" in line for line in lines) == 3
