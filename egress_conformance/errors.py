"""The three ways a run can go wrong that are not a failed case, and the exit codes of every command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What each command of the project ends with."""

    PASSED = 0
    FAILED = 1
    INCONCLUSIVE = 2
    USER_ERROR = 3


class UserError(Exception):
    """Something the user can put right: shown as one line with the next step, exit code 3, nothing changed.

    Args:
        problem: what is wrong, in one clause.
        next_step: what to do about it, in one clause.
    """

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"{problem}: {next_step}")
        self.problem = problem
        self.next_step = next_step


class PlatformTrouble(Exception):  # noqa: N818  (a word of the design, not an error of ours)
    """The platform, not Istio, got in the way of a case: its verdict is inconclusive, never failed.

    Args:
        reason: one of the fixed reasons a ledger may carry, e.g. ``client pod gone``.
        detail: what was seen.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Timeout(PlatformTrouble):
    """A wait for the platform ran out.

    Args:
        what: what was waited for.
        seconds: the deadline.
        last: what was seen last.
        hint: what to try.
    """

    def __init__(self, what: str, seconds: float, last: str, hint: str) -> None:
        super().__init__("timed out", f"waited {seconds:.0f} s for {what}; last seen: {last}; try: {hint}")
