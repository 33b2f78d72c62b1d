"""What a check observed, from the attempts that were judged: typed, and the same in each run of one version."""

from collections.abc import Iterable
from typing import Any

from egress_conformance.report.observed import CurlObserved, EnvoyObserved, Observed, ServerObserved
from egress_conformance.traffic.attempt import Attempt, EnvoyLogged, Receipt, joined
from egress_conformance.traffic.expect import Expectation
from egress_conformance.traffic.stable import Stable

NOTHING = "-"
VARIES = "*"

# How curl ends without an answer (https://curl.se/docs/manpage.html#EXIT). A connection that is closed without an
# answer is an empty reply (52), or a failure in sending (55) or receiving (56): the close races with the request.
_CLOSED = "closed without an answer"
_ENDINGS = {
    0: _CLOSED,
    6: "host not resolved",
    7: "connection refused",
    28: "no answer in time",
    35: "TLS handshake failed",
    52: _CLOSED,
    55: _CLOSED,
    56: _CLOSED,
    60: "certificate not accepted",
}

# Headers whose value says something and is the same each time; of the others the name does. Left out altogether:
# framing, which depends on the length of random parts; `connection`, which Envoy sets while it drains; and what the
# world's servers say of themselves.
_TELLING = {
    "accept",
    "content-type",
    "expect",
    "grpc-status",
    "host",
    "location",
    "server",
    "te",
    "upgrade",
    "via",
    "x-envoy-attempt-count",
    "x-envoy-decorator-operation",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-envoy-overloaded",
    "x-envoy-ratelimited",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
}
_LEFT_OUT = {"connection", "content-length", "keep-alive", "transfer-encoding"}
_OF_THE_WORLD = "x-world-"


def observe(request: str, expectation: Expectation, attempts: list[Attempt], stable: Stable) -> Observed:
    """What some attempts saw.

    Args:
        request: what was sent, in words.
        expectation: what they were judged by.
        attempts: those that were judged.
        stable: the words of the case.
    """
    words = _Words(stable, expectation)
    lines = [line for attempt in attempts for line in attempt.logged]
    receipts = [receipt for attempt in attempts for receipt in attempt.requests]
    curls = [attempt.curl for attempt in attempts]
    answered = [curl for curl in curls if curl.status]
    answers = [curl.answer for curl in curls if curl.answer]
    return Observed(
        request=words(request),
        expected=words(str(expectation)),
        curl=CurlObserved(
            outcome=words.all(outcome(curl.exit_code, curl.status, answered=bool(curl.body)) for curl in curls),
            http_version=words.all(curl.http_version for curl in answered),
            answered_by=words.all(answer["server"] for answer in answers),
            headers=words.headers([list(curl.headers.items()) for curl in answered], lower=True),
        ),
        envoy=EnvoyObserved(
            lines=words.all(str(len(attempt.logged)) for attempt in attempts),
            details=words.all(line.details for line in lines),
            termination=words.all(line.connection_termination_details for line in lines),
            failure=words.all(line.transport_failure for line in lines),
            route=words.all(line.route for line in lines),
            upstream=words.all(line.upstream_host for line in lines),
            authority=words.all(line.authority for line in lines),
            sni=words.all(line.sni for line in lines),
            **_carried(lines, words),
        ),
        server=ServerObserved(
            arrivals=words.all(str(len(attempt.requests)) for attempt in attempts),
            name=words.all(receipt.server for receipt in receipts),
            port=words.all(str(receipt.port) for receipt in receipts),
            protocol=words.all(receipt.protocol for receipt in receipts),
            host=words.all(receipt.host for receipt in receipts),
            path=words.all(receipt.path for receipt in receipts),
            headers=words.headers([receipt.headers for receipt in receipts], lower=False),
            sni=words.all(receipt.sni for receipt in receipts),
            alpn=words.all(answer.get("alpn", "") for answer in answers),
            tls_version=words.all(answer.get("tls_version", "") for answer in answers),
            client_certificate=words.all(answer.get("client_certificate", "") for answer in answers),
        ),
    )


def observe_many(
    request: str,
    expectation: Expectation,
    *,
    outcomes: Iterable[str],
    log: list[EnvoyLogged],
    receipts: list[Receipt],
    stable: Stable,
) -> Observed:
    """What many requests saw: only what does not depend on how many there were, and on when something changed.

    Args:
        request: what was sent, in words.
        expectation: what must have come of each.
        outcomes: what curl says of them.
        log: what Envoy logged of them.
        receipts: what the servers received of them.
        stable: the words of the case.
    """
    words = _Words(stable, expectation)
    received = [receipt for receipt in receipts if receipt.event in {"request", "payload"}]
    return Observed(
        request=words(request),
        expected=words(f"{expectation}, every single one"),
        curl=CurlObserved(outcome=words.all(outcomes)),
        envoy=EnvoyObserved(**_carried(log, words)),
        server=ServerObserved(
            name=words.all(receipt.server for receipt in received),
            port=words.all(str(receipt.port) for receipt in received),
            protocol=words.all(receipt.protocol for receipt in received),
        ),
    )


def outcome(exit_code: int, status: int, *, answered: bool = False) -> str:
    """How a request ended for the client, in words that do not depend on a race.

    Args:
        exit_code: curl's.
        status: HTTP status, 0 if there was none.
        answered: whether there was an answer without one.
    """
    ending = _ENDINGS.get(exit_code, f"curl's exit code {exit_code}")
    if status:
        return f"{status}, then {ending}" if exit_code else str(status)
    return "answered" if answered and not exit_code else ending


def _carried(lines: list[EnvoyLogged], words: "_Words") -> dict[str, list[str]]:
    return {
        "code": words.all(str(line.code) for line in lines),
        "flags": words.all(line.flags for line in lines),
        "cluster": words.all(line.cluster for line in lines),
    }


class _Words:
    """The words of one check: those of its case, and one for each set of things that may come out one way or the other.

    Which of several servers answers an attempt is chance; three attempts need not see all of them.
    """

    def __init__(self, stable: Stable, expectation: Expectation) -> None:
        self._stable = stable
        self._telling = _TELLING.difference(expectation.chance())
        self._common: dict[str, str] = {}
        for group in expectation.interchangeable():
            # In their order: hosts are numbered as they are first seen.
            named = sorted({stable.text(value): None for value in group})
            servers = sorted({name.partition(":")[0] for name in named})
            self._common |= dict.fromkeys(named, " or ".join(named))
            self._common |= dict.fromkeys(servers, " or ".join(servers))

    def __call__(self, text: str) -> str:
        return self._stable.text(text)

    def all(self, seen: Iterable[Any]) -> list[str]:
        """The sorted set."""
        named = {self._stable.text(str(each)) or NOTHING for each in seen}
        return sorted({self._common.get(name, name) for name in named})

    def headers(self, messages: Iterable[Iterable[Iterable[str]]], *, lower: bool) -> dict[str, list[str]]:
        """The headers of some messages by name, with the values of those that are the same each time."""
        held = [list(map(tuple, message)) for message in messages]
        names = {name.lower() if lower else name for message in held for name, _ in message}
        kept = {name for name in names if name.lower() not in _LEFT_OUT and not name.lower().startswith(_OF_THE_WORLD)}
        found = {}
        for name in sorted(kept):
            values = [joined(message).get(name.lower(), NOTHING) for message in held]
            telling = name.lower() in self._telling
            found[name] = self.all(each if telling or each == NOTHING else VARIES for each in values)
        return found
