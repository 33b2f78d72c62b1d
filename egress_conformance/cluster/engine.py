"""The container engine: the one that answers, or one of our own that leaves the machine's own settings alone."""

import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from egress_conformance.cluster.cache import cache_dir, held
from egress_conformance.cluster.commands import CommandFailed, Runner, run, tail
from egress_conformance.cluster.packages import ensure_packages
from egress_conformance.cluster.recipe import IMAGES
from egress_conformance.errors import Timeout, UserError
from egress_conformance.waiting import wait_for

# Bit of CAP_SYS_RESOURCE in the capability masks of /proc/PID/status.
CAP_SYS_RESOURCE = 24
# The kernel takes no longer path for a socket (sun_path is 108 bytes with its end).
LONGEST_SOCKET = 107
START_SECONDS = 60


@dataclass(frozen=True)
class Engine:
    """A container engine that answers.

    Attributes:
        env: what its command line needs in the environment.
        version: version of the engine.
        run: runs programs.
    """

    env: dict[str, str]
    version: str
    run: Runner = field(default=run, repr=False, compare=False)

    def docker(self, *args: str, stdin: str | None = None, seconds: float | None = 120) -> str:
        """Run the docker command and give what it printed.

        Raises:
            CommandFailed: it ended with an exit code other than 0.
        """
        return self.run(("docker", *args), env=self.env, stdin=stdin, seconds=seconds)

    def image_id(self, image: str) -> str | None:
        """The digest of an image the engine has, or None."""
        try:
            return self.docker("image", "inspect", "--format", "{{.Id}}", image).strip()
        except CommandFailed as failure:
            if "no such image" in failure.output.lower():
                return None
            raise


def engine_that_answers(runner: Runner = run) -> Engine | None:
    """The engine the environment names, or else our own, if one of them answers."""
    for env in ({}, {"DOCKER_HOST": f"unix://{_home() / 'docker.sock'}"}):
        try:
            version = runner(("docker", "version", "--format", "{{.Server.Version}}"), env=env, seconds=20)
        except CommandFailed:
            continue
        return Engine(env, version.strip(), runner)
    return None


def ensure_engine(console: Console, *, install: bool, runner: Runner = run) -> Engine:
    """Find an engine that answers, or start our own, or install and start it.

    Args:
        console: where it is said what is installed and started.
        install: whether packages may be installed.
        runner: runs programs.

    Raises:
        UserError: no engine answers, and none may be installed or started.
    """
    found = engine_that_answers(runner)
    if found:
        return found
    if "DOCKER_HOST" in os.environ:
        raise UserError(
            f"no container engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}",
            "start it, or unset DOCKER_HOST",
        )
    if os.geteuid() != 0:
        raise UserError(
            "no container engine answers, and only root may start one",
            "start Docker and put yourself in its group, or run this as root",
        )
    _check_home()
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        ensure_packages(
            ["docker.io", "iptables"], why="a container engine", console=console, install=install, runner=runner
        )
        found = engine_that_answers(runner)  # on a machine with services its package has started one
        if found:
            return found
    with held(_home() / "lock", lambda: console.print("waiting for another process that starts an engine")):
        found = engine_that_answers(runner)
        if found is None:
            console.print("starting a container engine of our own", highlight=False)
            found = _start(runner)
    return found


def stop_engine() -> bool:
    """Stop our own engine, and only that.

    Returns:
        Whether it was running.
    """
    pid = _running_pid()
    if pid is None:
        return False
    os.kill(pid, 15)
    wait_for(
        "our container engine to end",
        lambda: True if _running_pid() is None else None,
        seconds=60,
        hint=f"read {_home() / 'log'}",
    )
    return True


def _home() -> Path:
    return cache_dir() / "engine"


def _running_pid() -> int | None:
    """The process id in our pidfile, if that process is a dockerd started with that pidfile."""
    pidfile = _home() / "pid"
    try:
        pid = int(pidfile.read_text())
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if Path(argv[0]).name == "dockerd" and str(pidfile) in argv else None


def _check_home() -> None:
    """See that the engine's sockets can be where they will be, and make their directory."""
    longest = _home() / "exec" / "containerd" / "containerd.sock.ttrpc"
    if len(str(longest)) > LONGEST_SOCKET:
        raise UserError(f"the path of {longest} is too long for a socket", "set EGRESS_CONFORMANCE_CACHE shorter")
    _home().mkdir(parents=True, exist_ok=True)


def _start(runner: Runner) -> Engine:
    """Start dockerd with nothing in common with the machine's own, detached from this process."""
    home = _home()
    log = home / "log"
    if _running_pid() is None:
        (home / "pid").unlink(missing_ok=True)
        (home / "daemon.json").write_text(json.dumps(_settings(home)))
        files = {"--config-file": "daemon.json", "--data-root": "data", "--exec-root": "exec", "--pidfile": "pid"}
        flags = [word for flag, name in files.items() for word in (flag, str(home / name))]
        runner(("setsid", "--fork", "dockerd", "--host", f"unix://{home / 'docker.sock'}", *flags), log=log)
    try:
        return wait_for(
            "our own container engine",
            lambda: engine_that_answers(runner),
            seconds=START_SECONDS,
            hint=f"read {log}",
            every=0.5,
        )
    except Timeout:
        last = tail(log, 1) if log.exists() else "nothing"
        raise UserError(f"our own container engine does not start, it says: {last}", f"read {log}") from None


def _settings(home: Path) -> dict[str, object]:
    """What goes into daemon.json: nothing, but where root may not raise limits a runtime that does not try."""
    if may_raise_limits():
        return {}
    # A copy, as the checkout this runs from may go while the engine stays.
    wrapper = shutil.copy(IMAGES / "engine" / "runc-without-sys-resource", home)
    return {"runtimes": {"no-sys-resource": {"path": str(wrapper)}}, "default-runtime": "no-sys-resource"}


def may_raise_limits(status: Path = Path("/proc/self/status")) -> bool:
    """Whether processes of this machine may have CAP_SYS_RESOURCE, which privileged containers ask for."""
    for line in status.read_text().splitlines():
        name, _, mask = line.partition(":")
        if name == "CapBnd":
            return bool(int(mask, 16) >> CAP_SYS_RESOURCE & 1)
    return True
