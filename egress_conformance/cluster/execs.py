"""Commands in containers: each by an exec of its own, or many by one, in a shell that stays."""

import json
import re
import time
from collections.abc import Callable
from importlib import resources
from types import TracebackType
from typing import Any

from egress_conformance.errors import PlatformTrouble

IDLE_SECONDS = 30
"""A shell that was idle for longer is not used again: what lies between us and the API server may have dropped it."""

END_SECONDS = 5
"""How long a command may take to end once nobody wants anything of it any more."""

_MARK = "\036"
_MARK_LENGTH = 40
"""More than it is long, with number and exit code."""

_SCRIPT = resources.files("egress_conformance.cluster").joinpath("shell.sh")


class Exec:
    """A command that runs in a container.

    Args:
        socket: the connection, from the Kubernetes client.
        where: `namespace/pod`, for messages.
    """

    def __init__(self, socket: Any, where: str) -> None:  # noqa: ANN401  (the client has no types)
        self._socket = socket
        self._where = where
        self._unread = ""

    def __enter__(self) -> "Exec":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a command that still runs is on its own."""
        # close() does nothing once the other side has said goodbye; the TCP connection is still open then.
        self._socket.sock.shutdown()

    def is_usable(self) -> bool:
        """Whether it is still there, as far as can be told without asking."""
        try:
            self._socket.update(timeout=0)
            return bool(self._socket.is_open())
        except Exception:  # noqa: BLE001  (websocket-client raises many kinds; whichever it is, it is of no use any more)
            return False

    def line(self, seconds: float) -> str | None:
        """The next line of stdout, or None when the command has ended.

        Raises:
            PlatformTrouble: no line came in time, or the connection broke.
        """
        deadline = time.monotonic() + seconds
        while "\n" not in self._unread:
            if not self._read_more(deadline):
                if self._socket.is_open():
                    raise PlatformTrouble("exec silent", f"nothing from {self._where} for {seconds:.0f} s")
                rest, self._unread = self._unread, ""
                return rest or None
        line, _, self._unread = self._unread.partition("\n")
        return line

    def _read_more(self, deadline: float) -> bool:
        """Take in what has come, or what comes until then; False if nothing came or it has ended."""
        try:
            while True:
                chunk = str(self._socket.read_stdout(timeout=max(0.0, deadline - time.monotonic())) or "")
                self._unread += chunk
                if chunk:
                    return True
                if not self._socket.is_open() or time.monotonic() >= deadline:
                    return False
        except Exception as error:  # websocket-client raises many kinds
            raise PlatformTrouble("exec broke off", f"in {self._where}: {error}") from error

    def send(self, line: str) -> None:
        """Write a line to the command's stdin; one that has ended reads no more, and `line` tells of its end."""
        if not self._socket.is_open():
            return
        try:
            self._socket.write_stdin(line + "\n")
        except Exception as error:
            raise PlatformTrouble("exec broke off", f"in {self._where}: {error}") from error

    def output(self, seconds: float) -> str:
        """Wait for the end of the command and return its stdout.

        Raises:
            PlatformTrouble: it did not end in time, or ended with an error.
        """
        try:
            self._socket.run_forever(timeout=seconds)
            ended = not self._socket.is_open()
            status = json.loads(self._socket.read_channel(3) or '{"status": "unknown"}')
            out, errors = str(self._socket.read_stdout() or ""), self._errors()
        except Exception as error:
            raise PlatformTrouble("exec broke off", f"in {self._where}: {error}") from error
        if not ended:
            raise PlatformTrouble("exec silent", f"{self._where}: not done after {seconds:.0f} s")
        if status.get("status") != "Success":
            raise PlatformTrouble("exec failed", f"in {self._where}: {status.get('message')} {errors}")
        return out

    def _errors(self) -> str:
        """What is on stderr."""
        return str(self._socket.read_stderr() or "").strip()


class Shell(Exec):
    """A bash in a container that runs one command after another.

    Args:
        socket: the connection to a bash that runs shell.sh.
        where: `namespace/pod`, for messages.
        give_back: takes it when a command has ended.
    """

    def __init__(self, socket: Any, where: str, give_back: Callable[["Shell"], None]) -> None:  # noqa: ANN401
        super().__init__(socket, where)
        self._give_back = give_back
        self._number = 0
        self._code: int | None = None
        self.idle_since = time.monotonic()

    def start(self, command: list[str]) -> "Shell":
        """Start a command; the one before must have ended."""
        self._number, self._code = self._number + 1, None
        self.send(f"{self._number} {' '.join(map(quoted, command))}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._ends():
            self.idle_since = time.monotonic()
            self._give_back(self)
        else:
            self.close()

    def _ends(self) -> bool:
        try:
            while self.line(END_SECONDS) is not None:
                pass
        except PlatformTrouble:
            return False
        return self._code is not None

    def line(self, seconds: float) -> str | None:
        """The next line of the command's stdout, or None when it has ended.

        Raises:
            PlatformTrouble: no line came in time, or the connection broke.
        """
        if self._code is not None:
            return None
        line = super().line(seconds)
        if line is None or _MARK not in line:
            return line
        rest, _, end = line.partition(_MARK)
        number, _, code = end.partition(" ")
        if int(number) == self._number:
            self._code = int(code)
        return rest or self.line(seconds)

    def output(self, seconds: float) -> str:
        """Wait for the end of the command and return its stdout.

        Raises:
            PlatformTrouble: it did not end in time, or ended with an error.
        """
        deadline = time.monotonic() + seconds
        while (end := re.search(rf"{_MARK}{self._number} (\d+)\n\Z", self._unread[-_MARK_LENGTH:])) is None:
            if not self._read_more(deadline):
                if self._socket.is_open():
                    raise PlatformTrouble("exec silent", f"{self._where}: not done after {seconds:.0f} s")
                raise PlatformTrouble("exec broke off", f"in {self._where}: {self._errors() or 'it ended'}")
        out = self._unread[: -len(end[0])]
        self._unread, self._code = "", int(end[1])
        if self._code:
            raise PlatformTrouble("exec failed", f"in {self._where}: exit code {self._code} {self._errors()}")
        return out


class Shells:
    """The shells that are kept, by container.

    Args:
        connect: runs a command by an exec of its own: namespace, pod, container, command.
    """

    def __init__(self, connect: Callable[[str, str, str, list[str]], Any]) -> None:
        self._connect = connect
        self._idle: dict[tuple[str, str, str], list[Shell]] = {}

    def run(self, namespace: str, pod: str, container: str, command: list[str]) -> Exec:
        """Start a command in a shell that is idle, or in a new one.

        Raises:
            PlatformTrouble: the pod is gone.
        """
        idle = self._idle.setdefault((namespace, pod, container), [])
        while idle:
            shell = idle.pop()
            if time.monotonic() - shell.idle_since < IDLE_SECONDS and shell.is_usable():
                return shell.start(command)
            shell.close()
        script = _SCRIPT.read_text(encoding="utf-8")
        socket = self._connect(namespace, pod, container, ["bash", "-c", script, "shell"])
        return Shell(socket, f"{namespace}/{pod}", idle.append).start(command)

    def close(self) -> None:
        """Close those that are idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()


def quoted(word: str) -> str:
    """A word as bash reads it on one line."""
    for raw, escape in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r")):
        word = word.replace(raw, escape)
    return f"$'{word}'"
