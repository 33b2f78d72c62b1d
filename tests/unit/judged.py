"""One fully agreeing attempt, of each kind of request, and one thing that is changed in it: for tests of the judge."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from egress_conformance.traffic.attempt import Attempt, EnvoyLogged, parse_log
from egress_conformance.traffic.expect import Expectation
from egress_conformance.traffic.reaches import Reaches
from tests.unit.fakes import ALPHA, BETA, DECOY, SITE, curl_saw, log_line, receipt

Change = Callable[[Attempt], Attempt]

CLUSTER = f"outbound|80||{SITE.host}"


def logged(**changes: str) -> EnvoyLogged:
    return parse_log(log_line("n1-1", 40001, **changes))[0]


def attempt(**changes: Any) -> Attempt:  # noqa: ANN401
    """An HTTP request that alpha answered, as all three witnesses tell it."""
    connect = receipt(event="connect", nonce="", host="", path="", headers=[])
    agreed: dict[str, Any] = {"curl": curl_saw(), "logged": (logged(),), "received": (connect, receipt())}
    return Attempt(number=1, nonce="n1-1", sent=0, start_ms=0, **{**agreed, **changes})


def curl(**changes: object) -> Change:
    return lambda agreed: replace(agreed, curl=replace(agreed.curl, **changes))  # type: ignore[arg-type]


def envoy(**changes: object) -> Change:
    return lambda agreed: replace(agreed, logged=(replace(agreed.logged[0], **changes),))  # type: ignore[arg-type]


def server(**changes: object) -> Change:
    """The last receipt, which is the request's."""
    return lambda agreed: replace(
        agreed,
        received=(*agreed.received[:-1], replace(agreed.received[-1], **changes)),  # type: ignore[arg-type]
    )


def no_line(agreed: Attempt) -> Attempt:
    return replace(agreed, logged=())


def two_lines(agreed: Attempt) -> Attempt:
    return replace(agreed, logged=agreed.logged * 2)


def no_receipt(agreed: Attempt) -> Attempt:
    return replace(agreed, received=agreed.received[:-1])


def two_receipts(agreed: Attempt) -> Attempt:
    return replace(agreed, received=(*agreed.received, agreed.received[-1]))


def a_copy_at_the_decoy(agreed: Attempt) -> Attempt:
    return replace(agreed, received=(*agreed.received, receipt(DECOY)))


def reported(expectation: Expectation, agreed: Attempt, change: Change, expected: list[str]) -> None:
    """What was agreed on has no problem; what was changed has exactly these, in this order."""
    assert expectation.problems(agreed) == []
    assert expectation.at_a_glance(agreed.curl)
    changed = change(agreed)
    problems = expectation.problems(changed)
    assert [problem[: len(start)] for problem, start in zip(problems, expected, strict=False)] == expected
    assert len(problems) == len(expected), problems
    # What is seen at a glance is what curl alone can tell: all but the nonce, which is the judge's to compare.
    of_curl = [problem for problem in problems if problem.startswith("curl") and "nonce" not in problem]
    assert expectation.at_a_glance(changed.curl) == (not of_curl)


def reaches(**changes: Any) -> Reaches:  # noqa: ANN401
    given: dict[str, Any] = {
        "name": SITE.host,
        "instances": {f"{each.address}:80": each.instance for each in (ALPHA, BETA)},
        "servers": {each.instance: each.name for each in (ALPHA, BETA)},
        "cluster": CLUSTER,
    }
    return Reaches(**{**given, **changes})


def tls() -> tuple[Reaches, Attempt]:
    cluster = f"outbound|443||{SITE.host}"
    expectation = reaches(
        instances={f"{ALPHA.address}:443": ALPHA.instance},
        servers={ALPHA.instance: ALPHA.name},
        cluster=cluster,
        tls=True,
        logged_code=0,
    )
    line = logged(
        request="- - -", code="0", details="-", upstream_host=f"{ALPHA.address}:443", cluster=cluster, sni=SITE.host
    )
    saw = curl_saw(headers={"server": "world"}, http_version="2", certificate_organization="alpha")
    hello = receipt(event="hello", port=443, nonce="", sni=SITE.host)
    return expectation, attempt(curl=saw, logged=(line,), received=(hello, receipt(port=443, protocol="HTTP/2")))


def tcp() -> tuple[Reaches, Attempt]:
    cluster = f"outbound|9000||{SITE.host}"
    expectation = reaches(instances={f"{ALPHA.address}:9000": ALPHA.instance}, cluster=cluster, status=0, logged_code=0)
    line = logged(request="- - -", code="0", details="-", upstream_host=f"{ALPHA.address}:9000", cluster=cluster)
    saw = curl_saw(status=0, headers={}, http_version="0")
    return expectation, attempt(curl=saw, logged=(line,), received=(receipt(port=9000, event="payload"),))
