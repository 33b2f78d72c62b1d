"""Which container engine is used, when one is started, and that only our own is ever stopped."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from egress_conformance.cluster import engine as engine_module
from egress_conformance.cluster.commands import CommandFailed, run
from egress_conformance.cluster.engine import (
    Engine,
    engine_that_answers,
    ensure_engine,
    may_raise_limits,
    stop_engine,
)
from egress_conformance.errors import UserError

QUIET = Console(file=StringIO())


class Engines:
    """The engines that answer, by DOCKER_HOST; "" is the machine's own."""

    def __init__(self, *hosts: str, starts: bool = False) -> None:
        self.hosts = hosts
        self.starts = starts
        self.started: tuple[str, ...] = ()

    def __call__(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **_: object) -> str:
        if argv[0] == "setsid":
            self.started = tuple(argv)
            if self.starts:
                self.hosts = (argv[argv.index("--host") + 1],)
            return ""
        if (env or {}).get("DOCKER_HOST", "") in self.hosts:
            return "20.10.24\n"
        raise CommandFailed(argv, 1, "Cannot connect to the Docker daemon")


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    # Not in tmp_path, which xdist makes too long for a socket's name.
    with tempfile.TemporaryDirectory(prefix="cache-") as name:
        monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", name)
        (Path(name) / "engine").mkdir()
        yield Path(name)


def test_the_machines_own_engine_comes_first(cache: Path) -> None:
    ours = f"unix://{cache}/engine/docker.sock"
    assert engine_that_answers(Engines("", ours)) == Engine({}, "20.10.24")
    assert engine_that_answers(Engines(ours)) == Engine({"DOCKER_HOST": ours}, "20.10.24")
    assert engine_that_answers(Engines()) is None


def test_an_engine_that_is_named_and_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    with pytest.raises(UserError, match="no container engine answers at DOCKER_HOST=unix:///nowhere: start it"):
        ensure_engine(QUIET, install=True, runner=Engines())


def test_who_is_not_root_is_told_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(UserError, match="no container engine answers, and only root may start one: start Docker"):
        ensure_engine(QUIET, install=True, runner=Engines())


def test_none_is_installed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _tool: None)
    with pytest.raises(UserError, match=r"--no-install forbids installing it: install docker\.io"):
        ensure_engine(QUIET, install=False, runner=Engines())


def test_a_cache_too_deep_for_a_socket_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: tool)
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(cache / ("x" * 100)))
    with pytest.raises(UserError, match="too long for a socket: set EGRESS_CONFORMANCE_CACHE"):
        ensure_engine(QUIET, install=False, runner=Engines())


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: tool)


@pytest.mark.usefixtures("root")
def test_our_own_engine_has_nothing_in_common_with_the_machines(cache: Path) -> None:
    engines = Engines(starts=True)
    found = ensure_engine(QUIET, install=False, runner=engines)
    assert found.env == {"DOCKER_HOST": f"unix://{cache}/engine/docker.sock"}
    flags = engines.started[engines.started.index("--host") :]
    assert all(value.removeprefix("unix://").startswith(f"{cache}/engine/") for value in flags[1::2])
    assert set(flags[::2]) == {"--host", "--config-file", "--data-root", "--exec-root", "--pidfile"}


@pytest.mark.usefixtures("root")
def test_an_engine_that_does_not_start_is_an_error_with_its_last_words(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "START_SECONDS", 0.1)
    (cache / "engine" / "log").write_text("starting\nno space left on device\n")
    with pytest.raises(UserError, match="does not start, it says: no space left on device: read "):
        ensure_engine(QUIET, install=False, runner=Engines())


def test_no_other_process_is_stopped(cache: Path) -> None:
    assert not stop_engine()
    (cache / "engine" / "pid").write_text(str(os.getpid()))
    assert not stop_engine()
    (cache / "engine" / "pid").write_text("not a number")
    assert not stop_engine()


def test_our_own_engine_is_stopped(cache: Path) -> None:
    pidfile = cache / "engine" / "pid"
    argv = ["dockerd", "-c", "import time; time.sleep(60)", "--pidfile", str(pidfile)]
    process = subprocess.Popen(argv, executable=sys.executable)
    pidfile.write_text(str(process.pid))
    while engine_module._running_pid() is None:  # until it has become what it is started as
        assert process.poll() is None
        time.sleep(0.01)

    # A parent has to collect its child before it is gone; the real engine is nobody's child.
    real_kill = os.kill

    def kill(pid: int, number: int) -> None:
        real_kill(pid, number)
        process.wait(10)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.kill", kill)
        assert stop_engine()
    assert process.returncode == -15


@pytest.mark.parametrize(("mask", "may"), [("000001ffffffffff", True), ("000001fffeffffff", False)])
def test_the_missing_capability_is_detected(tmp_path: Path, mask: str, may: bool) -> None:
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t0\nCapBnd:\t{mask}\n")
    assert may_raise_limits(status) is may


def test_a_program_that_is_not_there_fails_like_in_a_shell() -> None:
    with pytest.raises(CommandFailed, match="not found") as caught:
        run(("no-such-program",))
    assert caught.value.code == 127


def test_a_program_gets_its_input_and_says_why_it_failed(tmp_path: Path) -> None:
    assert run(("cat",), stdin="hello") == "hello"
    with pytest.raises(CommandFailed, match="ended with 3: why"):
        run(("sh", "-c", "echo why >&2; exit 3"))
    with pytest.raises(CommandFailed, match="ended with 3: why"):
        run(("sh", "-c", "echo why >&2; exit 3"), log=tmp_path / "log")
    assert (tmp_path / "log").read_text() == "why\n"


def test_a_program_over_its_deadline_ends_with_its_children(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="no end within"):
        run(("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/pid; wait"), seconds=0.5)
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists():
        # What is left of it may be a zombie until init collects it.
        if Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            break
        assert time.monotonic() < deadline
        time.sleep(0.01)
