"""What a request is expected to come to, and where a witness disagrees. Pure logic: nothing here talks to anything."""

import re
from collections.abc import Iterable
from typing import Protocol

from egress_conformance.traffic.attempt import Attempt, CurlSaw, EnvoyLogged, Receipt, joined

PASSTHROUGH = "PassthroughCluster"


class Expectation(Protocol):
    """An outcome that can be told at a glance from curl alone, and judged by all three witnesses."""

    def __str__(self) -> str: ...

    def at_a_glance(self, curl: CurlSaw) -> bool:
        """Whether curl saw what is expected: enough to stop sending and ask the other two."""
        ...

    def is_slow(self, curl: CurlSaw) -> bool:  # noqa: ARG002
        """Whether its time alone speaks against what curl saw: a machine that stood still for a moment may do that."""
        return False

    def problems(self, attempt: Attempt) -> list[str]:
        """Where a witness disagrees, as `witness: what it says instead`; empty when all three agree."""
        ...

    def accounts_for(self, receipt: Receipt) -> bool:  # noqa: ARG002
        """Whether a receipt that neither curl nor Envoy's log accounts for is expected, e.g. of a mirrored request."""
        return False

    def is_logged(self) -> bool:
        """Whether the caller's Envoy logs it: not where its log is off, or where it never gets to know what it is."""
        return True

    def interchangeable(self) -> list[list[str]]:
        """Things any of which may be seen, by chance, set by set: clusters, and servers as `ip:port`."""
        return []

    def chance(self) -> tuple[str, ...]:
        """Request headers, in lower case, whose value is chance where otherwise it is the same in each run."""
        return ()


def check(problems: list[str], witness: str, what: str, seen: object, expected: object) -> None:
    """Put down that a witness saw something else than expected, if it did."""
    if seen != expected:
        problems.append(f"{witness}: {what} is {seen!r}, expected {expected!r}")


def number_word(count: int) -> str:
    """A number as it stands in a sentence."""
    return "one" if count == 1 else str(count)


def one_line(problems: list[str], attempt: Attempt, *, logged: bool = True) -> EnvoyLogged | None:
    """The one line Envoy must have logged of an attempt; None, where it must not log and did not."""
    if not logged and not attempt.logged:
        return None
    if not logged:
        problems.append(f"envoy: logged {len(attempt.logged)} lines of this attempt, expected none")
        return None
    if len(attempt.logged) == 1:
        return attempt.logged[0]
    problems.append(f"envoy: logged {len(attempt.logged)} lines of this attempt, expected exactly one")
    return None


def header_problems(witness: str, expected: dict[str, str | None], headers: Iterable[Iterable[str]]) -> list[str]:
    """Where request headers, as a server received them, are not as expected."""
    values = joined(headers)
    found = []
    for name, pattern in expected.items():
        value = values.get(name.lower())
        if pattern is None and value is not None:
            found.append(f"{witness}: the server received {name}: {value!r}, expected none")
        elif pattern is not None and (value is None or re.fullmatch(pattern, value) is None):
            found.append(f"{witness}: the server received {name}: {value!r}, expected {pattern!r}")
    return found
