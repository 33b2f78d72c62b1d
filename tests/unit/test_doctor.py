"""The doctor on machines that are a few files, with programs that are canned answers."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from rich.console import Console

from egress_conformance.cluster import build
from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.doctor import Finding, State, examine, render
from egress_conformance.cluster.engine import CAP_SYS_RESOURCE
from egress_conformance.errors import ExitCode


class Machine:
    """A machine to look at; as it is made, it lacks nothing but what has to be built."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.go = "go1.26.1"
        self.engine_env: dict[str, str] | None = {}
        self.images = False
        self.nodes = ""
        self.write("proc/self/status", f"CapBnd:\t{1 << CAP_SYS_RESOURCE:016x}\n")
        self.write("proc/sys/fs/inotify/max_user_instances", "128\n")
        self.write("proc/sys/fs/inotify/max_user_watches", "65536\n")
        self.write("proc/meminfo", "MemTotal: 1 kB\nMemAvailable:    8000000 kB\n")
        self.write("sys/fs/cgroup/cgroup.controllers", "cpu\n")

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,  # noqa: ARG002
        log: Path | None = None,  # noqa: ARG002
        seconds: float | None = 120,  # noqa: ARG002
    ) -> str:
        match tuple(argv):
            case ("docker", "version", *_):
                if self.engine_env is not None and bool(self.engine_env) == bool(env):
                    return "20.10.24\n"
                raise CommandFailed(argv, 1, "Cannot connect to the Docker daemon")
            case ("docker", "image", "inspect", *_):
                if self.images:
                    return "sha256:id\n"
                raise CommandFailed(argv, 1, "Error: No such image")
            case ("docker", "ps", *_):
                return self.nodes
            case ("go", "env", "GOVERSION") if self.go:
                return self.go
            case ("go", "version") if self.go:
                return f"go version {self.go} linux/amd64\n"
            case ("go", *_):
                raise CommandFailed(argv, 127, "go not found")
        raise AssertionError(argv)

    def findings(self, **options: object) -> dict[str, Finding]:
        found = examine(runner=self, root=self.root, **{"images": "build", **options})  # type: ignore[arg-type]
        assert len({finding.what for finding in found}) == len(found)
        return {finding.what: finding for finding in found}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def machine(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr(build, "DISK_TO_COMPILE", 0)
    monkeypatch.setattr(build, "DISK_TO_PACK", 0)
    monkeypatch.setattr("shutil.which", lambda program: f"/usr/bin/{program}")
    return Machine(tmp_path)


def without(monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    monkeypatch.setattr("shutil.which", lambda program: None if program in programs else f"/usr/bin/{program}")


def test_a_machine_that_lacks_nothing(machine: Machine) -> None:
    found = machine.findings()
    assert {finding.state for finding in found.values()} == {State.OK}
    assert found["container engine"].seen == "Docker 20.10.24 (the machine's)"
    assert found["inotify"].seen == "128 instances, 65536 watches a user"
    assert found["memory"].seen == "8.2 GB available"
    assert found["Go"].seen == "go version go1.26.1 linux/amd64"
    assert found["Istio 1.31"].seen.startswith("to be built in ")
    assert found["clusters"].seen == "none of ours"


def test_everything_cached_needs_no_go(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.images, machine.go = True, ""
    monkeypatch.setattr(Builder, "path", lambda *_: machine.root)
    found = machine.findings(istio="1.29")
    assert found["Istio 1.29"].seen == "cached: nothing to build"
    assert found["Go"].state is State.WARNING


@pytest.mark.parametrize(("go", "seen"), [("", "Go is missing"), ("go1.19.8", "Go is too old")])
def test_go_is_missing_when_there_is_something_to_build(machine: Machine, go: str, seen: str) -> None:
    machine.go = go
    finding = machine.findings()["Go"]
    assert finding.state is State.MISSING
    assert finding.seen.startswith(seen)
    assert finding.next_step == "install Go >= 1.26"


def test_unknown_version(machine: Machine) -> None:
    assert machine.findings(istio="1.2")["Istio 1.2"].state is State.MISSING
    assert machine.findings(istio="latest", images="pull")["Istio latest"].next_step.startswith("choose one of 1.28")


def test_pulled_images_need_only_client_and_world_built(machine: Machine) -> None:
    found = machine.findings(istio="1.30.4", images="pull")
    assert found["images"].seen == "pulled, as a registry answers"
    assert found["client and world"].seen.startswith("to be built in 3 steps")


@pytest.mark.parametrize(("answers", "seen"), [(True, "pulled, as a registry answers"), (False, "built, not pulled")])
def test_auto_asks_the_registry(machine: Machine, monkeypatch: pytest.MonkeyPatch, answers: bool, seen: str) -> None:
    monkeypatch.setattr("egress_conformance.cluster.pull.registry_answers", lambda: answers)
    assert machine.findings(images="auto")["images"].seen == seen


def test_cgroup_1_only_with_images_built_here(machine: Machine) -> None:
    (machine.root / "sys/fs/cgroup/cgroup.controllers").unlink()
    assert machine.findings()["cgroup"].state is State.OK
    assert machine.findings(images="pull")["cgroup"].next_step == "use --images build"


def test_limits_that_are_low(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write("proc/sys/fs/inotify/max_user_instances", "64\n")
    machine.write("proc/meminfo", "MemAvailable: 1000000 kB\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    found = machine.findings()
    assert [found[what].state for what in ("inotify", "memory", "cores")] == [State.WARNING] * 3
    assert found["inotify"].next_step == "sysctl fs.inotify.max_user_instances=512"


def test_disk_nearly_full(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "DISK_TO_COMPILE", 10**9)
    finding = machine.findings()["disk"]
    assert finding.state is State.MISSING
    assert finding.seen.startswith("the disk is nearly full: ")


def test_no_engine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.engine_env = None
    found = machine.findings()
    assert found["container engine"].seen == "none answers; a run starts one of our own"
    assert "in at most " in found["Istio 1.31"].seen
    without(monkeypatch, "dockerd")
    assert machine.findings()["container engine"].state is State.WARNING
    without(monkeypatch, "dockerd", "apt-get")
    assert machine.findings()["container engine"].state is State.MISSING
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    finding = machine.findings()["container engine"]
    assert (finding.state, finding.next_step) == (
        State.MISSING,
        "start Docker and join its group, or run this as root",
    )
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere")
    assert machine.findings()["container engine"].seen == "none answers at DOCKER_HOST"


def test_no_right_to_raise_limits(machine: Machine) -> None:
    machine.write("proc/self/status", "CapBnd:\t0000000000000000\n")
    assert machine.findings()["CAP_SYS_RESOURCE"].state is State.WARNING
    machine.engine_env = {"DOCKER_HOST": "ours"}
    assert machine.findings()["CAP_SYS_RESOURCE"].seen == "not there; our own engine does without it"


def test_build_tools_are_installed_by_root_only(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "mmdebstrap")
    assert machine.findings()["build tools"].state is State.WARNING
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.findings()["build tools"].state is State.MISSING


def test_our_clusters_are_listed(machine: Machine, cache: Path) -> None:
    (cache / "clusters/ours").mkdir(parents=True)
    (cache / "clusters/ours/record.json").write_text(json.dumps({}))
    machine.nodes = "abc ours-control-plane running\n"
    assert machine.findings()["cluster"].seen == "ours: ours-control-plane running"
    machine.engine_env = None
    assert machine.findings()["cluster"].seen == "ours: not up"


def test_existing_cluster_that_cannot_be_read(tmp_path: Path) -> None:
    found = examine(provider="existing", kubeconfig=tmp_path / "none")
    assert [(finding.state, finding.what) for finding in found] == [(State.OK, "Python"), (State.MISSING, "cluster")]
    assert found[1].seen.endswith("cannot be read (No such file or directory)")
    assert found[1].next_step == "name another with --kubeconfig"


def printed(*findings: Finding) -> tuple[ExitCode, str]:
    file = io.StringIO()
    return render(list(findings), Console(file=file, width=100)), file.getvalue()


def test_render() -> None:
    code, text = printed(
        Finding(State.OK, "one", "[red]as it is[/red]"),
        Finding(State.WARNING, "two", "low", "raise it"),
        Finding(State.MISSING, "three", "gone", "find it"),
    )
    assert code == ExitCode.USER_ERROR
    assert [line.rstrip() for line in text.splitlines()] == [
        "ok       one    [red]as it is[/red]",
        "warning  two    low",
        "                → raise it",
        "missing  three  gone",
        "                → find it",
        "",
        "missing: three",
    ]


def test_render_cuts_nothing_short() -> None:
    _, text = printed(Finding(State.OK, "disk", "/" + 150 * "x"))
    assert text.count("x") == 150


def test_render_with_nothing_missing() -> None:
    code, text = printed(Finding(State.WARNING, "two", "low", "raise it"))
    assert code == ExitCode.PASSED
    assert text.endswith("\nnothing is missing\n")
