"""Commands in containers: what is heard of them, and a shell that serves many; its bash is a real one."""

# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator

import pytest

from egress_conformance.cluster import execs
from egress_conformance.cluster.execs import Exec, Shells, quoted
from egress_conformance.errors import PlatformTrouble


class Socket:
    """A websocket as the Kubernetes client has it: what came with the goodbye is still in its buffer."""

    def __init__(self, *chunks: str, is_open: bool = False) -> None:
        self.chunks = list(chunks)
        self.stays_open = is_open
        self.written: list[str] = []

    def is_open(self) -> bool:
        return self.stays_open

    def read_stdout(self, timeout: float) -> str:
        if not self.chunks and self.stays_open:
            time.sleep(timeout)
        return self.chunks.pop(0) if self.chunks else ""

    def write_stdin(self, text: str) -> None:
        self.written.append(text)


def test_what_came_with_the_goodbye_is_heard_line_by_line() -> None:
    process = Exec(Socket("fir", "st\nattempt\nspent\n", "no end"), "ns/client")
    assert [process.line(1) for _ in range(5)] == ["first", "attempt", "spent", "no end", None]


def test_a_command_that_falls_silent_is_the_platforms_trouble() -> None:
    with pytest.raises(PlatformTrouble, match="exec silent: nothing from ns/client for 0 s"):
        Exec(Socket("half a li", is_open=True), "ns/client").line(0.1)


def test_a_command_that_has_ended_is_told_nothing_more() -> None:
    open_socket, closed_socket = Socket(is_open=True), Socket()
    for socket in (open_socket, closed_socket):
        Exec(socket, "ns/client").send("settle")
    assert (open_socket.written, closed_socket.written) == (["settle\n"], [])


class Bash:
    """A container with a bash: what the websocket of an exec in it does."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        self.sock = self

    def shutdown(self) -> None:
        """Closes the connection."""
        self.process.kill()
        self.process.communicate()

    def update(self, timeout: float) -> None:
        pass

    def is_open(self) -> bool:
        return self.process.poll() is None

    def write_stdin(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def read_stdout(self, timeout: float) -> str:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], timeout)
        return os.read(self.process.stdout.fileno(), 4096).decode() if ready else ""

    def read_stderr(self) -> str:
        assert self.process.stderr is not None
        ready, _, _ = select.select([self.process.stderr], [], [], 1)
        return os.read(self.process.stderr.fileno(), 4096).decode() if ready else ""


class Pods(Shells):
    """The shells in pods that a test has."""

    def __init__(self) -> None:
        super().__init__(self.connect)
        self.connected: list[Bash] = []

    def connect(self, namespace: str, pod: str, container: str, command: list[str]) -> Bash:
        self.connected.append(Bash(command))
        return self.connected[-1]

    def command(self, *command: str) -> Exec:
        return self.run("ns", "client", "client", list(command))

    def output(self, *command: str) -> str:
        with self.command(*command) as process:
            return process.output(5)


@pytest.fixture
def pods() -> Iterator[Pods]:
    pods = Pods()
    yield pods
    pods.close()
    for bash in pods.connected:
        bash.shutdown()


NASTY = ["", "it's", 'a "b" $HOME `id` \\n \\', "two\nlines\r", "*", "ü\t"]


def test_one_exec_serves_many_commands(pods: Pods) -> None:
    for word in NASTY:
        assert pods.output("printf", "%s", word) == word
    long = "x" * 100_000
    assert pods.output("printf", "%s", long) == long
    assert len(pods.connected) == 1


def test_a_command_may_talk_back_and_forth(pods: Pods) -> None:
    script = 'echo ready; read -r word; echo "heard $word"; printf "no end"'
    with pods.command("bash", "-c", script) as loop:
        assert loop.line(5) == "ready"
        loop.send("settle")
        assert [loop.line(5) for _ in range(4)] == ["heard settle", "no end", None, None]
    assert pods.output("echo", "next") == "next\n"
    assert len(pods.connected) == 1


def test_what_a_command_did_not_stay_to_hear_is_no_command(pods: Pods) -> None:
    with pods.command("true") as loop:
        assert loop.line(5) is None
        loop.send("touch here")
    with pods.command("echo", "next") as process:
        assert process.output(5) == "next\n"
    assert len(pods.connected) == 1


def test_two_commands_at_once_have_a_shell_each(pods: Pods) -> None:
    with pods.command("cat") as loop:
        loop.send("a")
        assert loop.line(5) == "a"
        assert pods.output("echo", "b") == "b\n"
        # One that is not to end by itself is ended with its connection.
        with contextlib.suppress(ZeroDivisionError), loop:
            raise ZeroDivisionError
    assert len(pods.connected) == 2
    assert not pods.connected[0].is_open()


def test_a_command_that_fails_says_so_and_the_next_one_is_served(pods: Pods) -> None:
    with pytest.raises(PlatformTrouble, match="exec failed: in ns/client: exit code 7 no good"):
        pods.output("bash", "-c", "echo no good >&2; exit 7")
    assert pods.output("echo", "next") == "next\n"


def test_a_command_that_does_not_end_in_time_is_left_behind(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execs, "END_SECONDS", 0.1)
    with (
        pytest.raises(PlatformTrouble, match="exec silent: ns/client: not done after 0 s"),
        pods.command("cat") as hung,
    ):
        hung.output(0.1)
    with pods.command("cat"):
        pass
    assert pods.output("echo", "next") == "next\n"
    assert [bash.is_open() for bash in pods.connected] == [False, False, True]


def test_a_shell_that_broke_off_is_not_used_again(pods: Pods) -> None:
    pods.output("true")
    pods.connected[0].shutdown()
    assert pods.output("echo", "next") == "next\n"
    with pytest.raises(PlatformTrouble, match="exec broke off"), pods.command("bash", "-c", "kill -9 $PPID") as process:
        process.output(5)
    with pods.command("bash", "-c", "kill -9 $PPID") as process:
        assert process.line(5) is None
    assert pods.output("echo", "next") == "next\n"


def test_one_that_was_idle_for_long_is_not_used_again(pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    pods.output("true")
    pods.output("true")
    assert len(pods.connected) == 1
    monkeypatch.setattr(execs, "IDLE_SECONDS", 0)
    pods.output("true")
    assert [bash.is_open() for bash in pods.connected] == [False, True]


def test_a_word_stays_on_one_line() -> None:
    assert [quoted(word).count("\n") for word in NASTY] == [0] * len(NASTY)
