"""Running other programs: the one seam that unit tests replace."""

import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class CommandFailed(Exception):  # noqa: N818  (named like subprocess' own words: a command failed)
    """A program ended with an exit code other than 0.

    Args:
        argv: what was run.
        code: its exit code.
        output: the end of what it printed.
    """

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"{shlex.join(argv)} ended with {code}: {output.strip()[-2000:]}")
        self.argv = argv
        self.code = code
        self.output = output


class Runner(Protocol):
    """Runs a program to its end."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        log: Path | None = None,
        seconds: float | None = 120,
    ) -> str:
        """Run a program and give what it printed to standard output.

        Args:
            argv: the program and its arguments.
            env: variables on top of this process's own.
            stdin: what it reads.
            log: a file that gets all it prints, instead of the caller.
            seconds: the deadline; None for builds, which take what they take.

        Raises:
            CommandFailed: it ended with an exit code other than 0, or is not there (code 127),
                or its deadline passed (code 124).
        """
        ...


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    log: Path | None = None,
    seconds: float | None = 120,
) -> str:
    """The real `Runner`. Whatever interrupts it ends the program and all it started."""
    whole_env = {**os.environ, **(env or {})}
    try:
        with (log or Path(os.devnull)).open("ab") as sink:
            process = subprocess.Popen(
                argv,
                env=whole_env,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=sink if log else subprocess.PIPE,
                stderr=sink if log else subprocess.PIPE,
                start_new_session=True,
            )
    except FileNotFoundError:
        raise CommandFailed(argv, 127, f"{argv[0]} not found") from None
    try:
        out, err = process.communicate(None if stdin is None else stdin.encode(), seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        raise CommandFailed(argv, 124, f"no end within {seconds} s") from None
    except BaseException:
        _end(process)
        raise
    printed = (out or b"").decode(errors="replace")
    if process.returncode:
        said = (err or b"").decode(errors="replace") if log is None else tail(log)
        raise CommandFailed(argv, process.returncode, said or printed)
    return printed


def tail(path: Path, lines: int = 15) -> str:
    """Give the last lines of a file."""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with its children, and wait until it is gone."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.communicate(timeout=10)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        return
