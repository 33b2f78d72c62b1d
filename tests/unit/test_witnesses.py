"""Every combination of the three witnesses agreeing or not: who does not is named, with what it says instead.

curl, Envoy's log and the servers each tell one of several stories; a check holds only if all tell the expected one.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from egress_conformance.report import ledger
from egress_conformance.report.observed import BLACK_HOLE
from egress_conformance.traffic.expect import PASSTHROUGH
from egress_conformance.traffic.recorder import WITNESSES, CheckFailed
from egress_conformance.world.world import Server
from tests.unit.fakes import ALPHA, BETA, DECOY, SITE, Clock
from tests.unit.loops import BLOCKED, CLUSTER, REACHED, START, Outcome, Pod, always


@dataclass(frozen=True)
class Story:
    """What one witness says of each attempt.

    Attributes:
        name: in words.
        told: how it must be told in the failure; "" if it is what is expected.
        curl: what curl writes out, where the story is curl's.
        answered: whose answer curl got.
        lines: how Envoy's lines differ from one of a request that alpha answered, where it is Envoy's.
        received: who received it, where it is the servers'.
    """

    name: str
    told: str
    curl: dict[str, Any] = field(default_factory=dict)
    answered: Server | None = None
    lines: tuple[dict[str, str], ...] = ()
    received: tuple[tuple[Server, dict[str, str]], ...] = ()


OK = {"headers": "HTTP/1.1 200 OK"}
FROM_PROXY = {"headers": "HTTP/1.1 503 Service Unavailable\r\nserver: envoy", "http_code": 503}
TIMED_OUT = {"code": 28, "errormsg": "timed out", "http_code": 0}

REACHES = {
    "curl": (
        Story("200 from alpha", "", REACHED.curl, ALPHA),
        Story("200, but the wrong server answered", f"answered by decoy, expected {SITE.host}", OK, DECOY),
        Story("200, from nobody of the world", f"answered by somebody unknown to the world, expected {SITE.host}", OK),
        Story("503", "the status is 503, expected 200", FROM_PROXY),
        Story("no answer", "exit code is 28 (timed out), expected 0", TIMED_OUT),
    ),
    "envoy": (
        Story("sent to alpha", "", lines=({},)),
        Story(
            "another cluster",
            f"the cluster is {PASSTHROUGH!r}, expected {CLUSTER!r}",
            lines=({"cluster": PASSTHROUGH},),
        ),
        Story(
            "sent elsewhere",
            f"sent it to {DECOY.address}:80, expected one of ['{ALPHA.address}:80']",
            lines=({"upstream_host": f"{DECOY.address}:80"},),
        ),
        Story("nothing", "logged 0 lines of this attempt, expected exactly one"),
        Story("twice", "logged 2 lines of this attempt, expected exactly one", lines=({}, {})),
    ),
    "server": (
        Story("received by alpha", "", received=((ALPHA, {}),)),
        Story("nothing", "0 receipts (nobody), expected exactly one"),
        Story("received by the decoy", f"received by decoy, expected {SITE.host}", received=((DECOY, {}),)),
        Story("a copy at beta", "2 receipts (alpha, beta), expected exactly one", received=((ALPHA, {}), (BETA, {}))),
    ),
}
UNREACHED = {"code": "0", "flags": "UH", "upstream_host": "-", "upstream_local": "-", "cluster": BLACK_HOLE}
IS_BLOCKED = {
    "curl": (
        Story("502 from the proxy", "", BLOCKED.curl),
        Story("200 from alpha", "the status is 200, expected 502", OK, ALPHA),
        Story("200 from the decoy", "the status is 200, expected 502", OK, DECOY),
        Story(
            "502 from somebody else",
            "response header server is None, expected 'envoy'",
            {"headers": "HTTP/1.1 502 Bad Gateway", "http_code": 502},
        ),
        Story("a reset", "exit code is 56 (reset), expected 0", {"code": 56, "errormsg": "reset", "http_code": 0}),
    ),
    "envoy": (
        Story("502 by its own route", "", lines=BLOCKED.lines),
        Story("sent to alpha", f"the upstream host is '{ALPHA.address}:80', expected '-'", lines=({},)),
        Story("the black hole", f"the cluster is {BLACK_HOLE!r}, expected ''", lines=(UNREACHED,)),
        Story("nothing", "logged 0 lines of this attempt, expected exactly one"),
    ),
    "server": (
        Story("nothing", ""),
        Story("alpha received it", "alpha:80 request HTTP/1.1", received=((ALPHA, {}),)),
        Story("the decoy received it", "decoy:80 request HTTP/1.1", received=((DECOY, {}),)),
        Story("a connection at the decoy", "decoy:80 connect", received=((DECOY, {"event": "connect", "nonce": ""}),)),
    ),
}

Stories = tuple[Story, Story, Story]


def combinations(told: dict[str, tuple[Story, ...]]) -> list[Any]:
    """Each story of each witness with each of the others'."""
    return [
        pytest.param(stories, id="; ".join(f"{who}: {story.name}" for who, story in zip(told, stories, strict=True)))
        for stories in itertools.product(*told.values())
    ]


def test_they_are_all_combinations_of_agreeing_or_not() -> None:
    for told in (REACHES, IS_BLOCKED):
        assert tuple(told) == WITNESSES
        # The first story of each is the expected one, and no other.
        assert [[bool(story.told) for story in stories][:2] for stories in told.values()] == [[False, True]] * 3
        found = {tuple(bool(story.told) for story in param.values[0]) for param in combinations(told)}
        assert found == set(itertools.product([False, True], repeat=3))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(START).install(monkeypatch)


def outcomes(stories: Stories) -> Iterator[Outcome]:
    curl, envoy, server = stories
    return always(Outcome(curl.curl, envoy.lines, curl.answered, server.received))


def the_text_says(stories: Stories, told: dict[str, tuple[Story, ...]], caught: CheckFailed) -> None:
    """Whom the failure accuses, of what, and who it says saw what was expected."""
    said = dict(zip(told, stories, strict=True))
    accused = [witness for witness, story in said.items() if story.told]
    in_favour = [witness for witness in said if witness not in accused]
    problems = [line for line in caught.gist.splitlines() if line.startswith("  - ")]
    assert {line.removeprefix("  - ").partition(":")[0] for line in problems} == set(accused)
    for witness in accused:
        start = f"  - {witness}: {said[witness].told}"
        assert any(line.startswith(start) for line in problems), f"{start!r} is not in\n{caught.gist}"
    verdict = (
        f"\nthe witnesses disagree: {' and '.join(in_favour)} saw what was expected, {' and '.join(accused)} did not\n"
    )
    assert (verdict in caught.gist) == bool(in_favour)
    assert ("the witnesses disagree" in caught.gist) == bool(in_favour)


def the_ledger_says(stories: Stories, check: ledger.Check) -> None:
    assert check.held == (not any(story.told for story in stories))
    assert all(attempt.agrees for attempt in check.attempts) == check.held


@pytest.mark.parametrize("stories", combinations(REACHES))
def test_a_request_reaches_a_site_only_if_all_three_say_so(clock: Clock, stories: Stories) -> None:
    request = Pod(outcomes(stories), clock).request()
    if not any(story.told for story in stories):
        request.reaches(SITE, cluster=CLUSTER)
    else:
        with pytest.raises(CheckFailed) as caught:
            request.reaches(SITE, cluster=CLUSTER)
        the_text_says(stories, REACHES, caught.value)
    the_ledger_says(stories, request.client.recorder.checks[0])


@pytest.mark.parametrize("stories", combinations(IS_BLOCKED))
def test_a_request_is_blocked_only_if_all_three_say_so(clock: Clock, stories: Stories) -> None:
    request = Pod(outcomes(stories), clock).request()
    if not any(story.told for story in stories):
        request.is_blocked()
    else:
        with pytest.raises(CheckFailed) as caught:
            request.is_blocked()
        the_text_says(stories, IS_BLOCKED, caught.value)
    the_ledger_says(stories, request.client.recorder.checks[0])
