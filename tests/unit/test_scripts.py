"""The shell scripts, in a project tree whose tools are stand-ins that say what they were called with."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TOOLS = ("bash", "cat", "chmod", "dirname", "env", "flock", "mkdir", "mktemp", "readlink", "rm", "sha256sum", "sleep")

# A Python of a given version: makes "virtual environments" that hold a copy of itself, and logs what it is asked.
PYTHON = """#!/usr/bin/env bash
echo "python $*" >>"$LOG"
case "$*" in
  -V) echo "Python {version}" ;;
  *"version_info < (3, 11)"*) exit {too_old} ;;
  *"import ensurepip"*) [[ -e $ENSUREPIP ]] ;;
  *"-venv"*) echo python3.11-venv ;;
  "-m venv"*)
    mkdir -p "${{@: -1}}/bin"
    cat "$0" >"${{@: -1}}/bin/python"
    chmod +x "${{@: -1}}/bin/python" ;;
  "-m pip"*) exit "${{PIP_EXIT:-0}}" ;;
  *) exit 9 ;;
esac
"""


class Project:
    """A copy of the scripts in a tree of its own, run with nothing on PATH but what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root / "project"
        self.path = root / "bin"
        self.log = root / "log"
        self.ensurepip = root / "ensurepip"
        shutil.copytree(SCRIPTS, self.root / "scripts")
        (self.root / "requirements.lock").write_text("a==1\n")
        (self.root / "pyproject.toml").write_text("[project]\n")
        self.path.mkdir()
        self.ensurepip.touch()
        for tool in TOOLS:
            real = shutil.which(tool)
            assert real, f"{tool} is needed for this test"
            (self.path / tool).symlink_to(real)

    def tool(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def python(self, version: str = "3.11.2", name: str = "python3", *, too_old: bool = False) -> None:
        self.tool(self.path / name, PYTHON.format(version=version, too_old=int(too_old)))

    def in_venv(self, name: str, text: str) -> None:
        self.tool(self.root / ".venv/bin" / name, f"#!/usr/bin/env bash\n{text}\n")

    def start(self, script: str, *arguments: str, **env: str) -> subprocess.Popen[str]:
        variables = {"PATH": str(self.path), "LOG": str(self.log), "ENSUREPIP": str(self.ensurepip), **env}
        return subprocess.Popen(
            [self.root / "scripts" / script, *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        with self.start(script, *arguments, **env) as process:
            out, errors = process.communicate(timeout=30)
        return subprocess.CompletedProcess(arguments, process.returncode, out, errors)

    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def ready(project: Project) -> Project:
    """A project whose environment is made."""
    project.python()
    project.in_venv("egress-conformance", 'printf "[%s]" "$@"; exit 2')
    assert project.run("run").returncode == 2
    project.log.unlink()
    return project


def test_first_start_installs_the_locked_packages_with_hashes(project: Project) -> None:
    project.python()
    project.in_venv("egress-conformance", "exit 0")
    done = project.run("run")
    assert done.returncode == 0, done.stderr
    assert "Installing the locked Python packages" in done.stderr
    pip = [line.split("--no-input ")[1] for line in project.asked() if "-m pip" in line]
    assert pip == [
        f"--require-hashes --no-deps --requirement {project.root}/requirements.lock",
        f"--no-deps --no-build-isolation --editable {project.root}",
    ]


def test_later_start_only_hands_over(ready: Project) -> None:
    done = ready.run("run", "--istio", "1.29", "-k", "two words", "")
    assert done.stdout == "[run][--istio][1.29][-k][two words][]"
    assert done.stderr == ""
    assert done.returncode == 2
    assert ready.asked() == []


@pytest.mark.parametrize("file", ["requirements.lock", "pyproject.toml"])
def test_changed_inputs_bring_the_environment_up_to_date(ready: Project, file: str) -> None:
    (ready.root / file).write_text("changed\n")
    ready.run("run")
    assert any("-m pip" in line for line in ready.asked())
    assert not any("-m venv" in line for line in ready.asked())


def test_environment_without_its_python_is_made_again(ready: Project) -> None:
    (ready.root / ".venv/bin/python").unlink()
    ready.run("run")
    assert f"python -m venv --clear {ready.root}/.venv" in ready.asked()


def test_pip_failure_is_a_user_error_and_is_tried_again(project: Project) -> None:
    project.python()
    done = project.run("run", PIP_EXIT="1")
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("pip could not make the Python environment: ")
    project.in_venv("egress-conformance", "exit 0")
    assert project.run("run").returncode == 0


def test_no_python(project: Project) -> None:
    done = project.run("run")
    assert done.returncode == 3
    assert done.stderr.startswith("no Python 3.11 or newer on PATH (python3 is missing): install one")
    assert done.stderr.count("\n") == 1
    assert not (project.root / ".venv").exists()


def test_python_too_old(project: Project) -> None:
    project.python("3.9.2", too_old=True)
    done = project.run("run")
    assert done.returncode == 3
    assert "(python3 is Python 3.9.2)" in done.stderr


def test_newer_python_beside_an_old_one(project: Project) -> None:
    project.python("3.9.2", too_old=True)
    project.python("3.12.1", "python3.12")
    project.in_venv("egress-conformance", "exit 0")
    assert project.run("run").returncode == 0


def test_missing_ensurepip_and_no_install(project: Project) -> None:
    project.python()
    project.ensurepip.unlink()
    project.tool(project.path / "apt-get", '#!/usr/bin/env bash\necho "apt-get $*" >>"$LOG"\n')
    done = project.run("run", "-m", "article", "--no-install")
    assert done.returncode == 3
    assert done.stderr.endswith("--no-install is given: apt-get install python3.11-venv\n")
    assert not any("apt-get" in line for line in project.asked())


def test_missing_ensurepip_without_apt(project: Project) -> None:
    project.python()
    project.ensurepip.unlink()
    done = project.run("run")
    assert done.returncode == 3
    assert "cannot make a virtual environment: as root: apt-get install python3.11-venv" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs")
def test_missing_ensurepip_is_installed_by_root(project: Project) -> None:
    project.python()
    project.ensurepip.unlink()
    project.tool(project.path / "apt-get", '#!/usr/bin/env bash\necho "apt-get $*" >>"$LOG"\n')
    project.in_venv("egress-conformance", "exit 0")
    done = project.run("run")
    assert done.returncode == 0
    assert "Installing python3.11-venv with apt-get" in done.stderr
    assert "apt-get install -y -qq python3.11-venv" in project.asked()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_command(ready: Project, number: signal.Signals) -> None:
    ready.in_venv(
        "egress-conformance",
        'trap "echo got it; exit 7" INT TERM; echo ready; while true; do sleep 0.05; done',
    )
    with ready.start("run") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (7, "got it\n")


def test_test_runs_its_stages_in_order(ready: Project) -> None:
    for tool in ("ruff", "mypy", "pytest", "egress-conformance", "python"):
        ready.in_venv(tool, f'echo "{tool} $*" >>"$LOG"')
    done = ready.run("test")
    assert done.returncode == 0
    assert ready.asked() == [
        "ruff check .",
        "ruff format --check .",
        "mypy ",
        "pytest tests/unit",
        "egress-conformance catalogue --check",
        "egress-conformance up --wait",
        "pytest tests/cluster --durations 8",
        "egress-conformance run --wait",
        "egress-conformance prove --wait -m article",
        "python -m tests.broken.matrix endpoint-swapped three-percent-fail",
        "egress-conformance soak 2 --wait --cases HTTP-0[1-6]* RES-0[145]",
    ]
    assert re.search(r"=== unit tests \(at \d+ s\): pytest tests/unit", done.stdout)
    assert [line.split("  ")[0] for line in done.stdout.splitlines()[-13:]] == [
        "Python environment",
        "lint",
        "format",
        "types",
        "unit tests",
        "catalogue",
        "images and cluster",
        "cluster tests",
        "the suite",
        "proof",
        "broken meshes",
        "soak",
        "total",
    ]


def test_test_stops_at_the_first_failure_with_its_code(ready: Project) -> None:
    ready.in_venv("ruff", "exit 0")
    ready.in_venv("mypy", 'echo "mypy" >>"$LOG"; exit 5')
    done = ready.run("test")
    assert done.returncode == 5
    assert ready.asked() == ["mypy"]
    what, _, *how = done.stdout.splitlines()[-2].split()
    assert (what, how) == ("types", ["FAILED,", "exit", "code", "5"])


def test_test_unit_stops_before_the_cluster(ready: Project) -> None:
    for tool in ("ruff", "mypy", "pytest", "egress-conformance"):
        ready.in_venv(tool, f'echo "{tool} $*" >>"$LOG"')
    assert ready.run("test", "--unit").returncode == 0
    assert ready.asked()[-1] == "egress-conformance catalogue --check"


def test_test_without_python_is_a_user_error(project: Project) -> None:
    done = project.run("test", "--unit")
    assert done.returncode == 3
    assert "no Python 3.11 or newer" in done.stderr


@pytest.mark.parametrize("arguments", [["--fast"], ["--unit", "more"]])
def test_test_refuses_unknown_arguments(ready: Project, arguments: list[str]) -> None:
    done = ready.run("test", *arguments)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.endswith("usage: ./scripts/test [--unit]\n")


def test_bench_hands_over(ready: Project) -> None:
    ready.in_venv("python", 'printf "[%s]" "$@"; exit 2')
    done = ready.run("bench", "cost", "--cases", "RES-01 POL-*")
    assert (done.returncode, done.stdout) == (2, "[-m][tests.bench][cost][--cases][RES-01 POL-*]")


def test_lock_uses_the_uv_that_is_there(ready: Project) -> None:
    ready.tool(ready.path / "uv", '#!/usr/bin/env bash\necho "uv $*" >>"$LOG"\n')
    assert ready.run("lock", "--upgrade").returncode == 0
    (asked,) = ready.asked()
    assert asked.startswith("uv pip compile --universal --python-version 3.11 --generate-hashes")
    assert asked.endswith("--upgrade pyproject.toml")


GATE_TOOLS = ("cp", "kill", "sed", "base64", "gzip")

# A run that leaves a ledger unless the version is in $WITHOUT, and ends with $RUN_EXIT; a diff that says what it got.
SUITE = """echo "egress-conformance $*" >>"$LOG"
if [[ $1 == diff ]]; then exit "${DIFF_EXIT:-0}"; fi
if [[ " $* " != *" ${WITHOUT:-none} "* ]]; then
  mkdir -p "$ROOT/reports/runs/$3"
  echo "$3" >"$ROOT/reports/runs/$3/ledger.json"
  ln -sfn "runs/$3" "$ROOT/reports/latest"
fi
exit "${RUN_EXIT:-0}"
"""


@pytest.fixture
def gate(ready: Project) -> Project:
    """A project in which runs leave ledgers."""
    for tool in (*GATE_TOOLS, "ln"):
        (ready.path / tool).symlink_to(shutil.which(tool) or "missing")
    ready.in_venv("egress-conformance", f'ROOT="{ready.root}"\n{SUITE}')
    return ready


def test_a_gate_compares_two_runs(gate: Project) -> None:
    done = gate.run("gate", "1.29", "1.31", "--images", "auto", DIFF_EXIT="1", RUN_EXIT="1")
    assert done.returncode == 1, done.stderr
    folder = gate.root / "reports/runs/gate"
    assert gate.asked() == [
        "egress-conformance run --istio 1.29 --images auto",
        "egress-conformance run --istio 1.31 --images auto",
        f"egress-conformance diff {folder}/old {folder}/new --html {folder}/diff.html --json {folder}/diff.json",
    ]
    assert [(folder / name / "ledger.json").read_text() for name in ("old", "new")] == ["1.29\n", "1.31\n"]


def test_a_gate_takes_the_allowances_of_a_team(gate: Project) -> None:
    allow = gate.root / "allow.yaml"
    allow.write_text("allow: []\n")
    assert gate.run("gate", "1.29", "1.31", EGRESS_ALLOW=str(allow)).returncode == 0
    assert gate.asked()[-1].endswith(f"--allow {allow}")


def test_a_gate_misses_the_allowances_before_it_runs_anything(gate: Project) -> None:
    done = gate.run("gate", "1.29", "1.31", EGRESS_ALLOW="allow.yaml")
    assert (done.returncode, done.stderr) == (3, "allow.yaml cannot be read: unset EGRESS_ALLOW, or make it\n")
    assert not gate.log.exists()


@pytest.mark.parametrize("version", ["1.29", "1.31"])
@pytest.mark.parametrize(("run_exit", "expected"), [("3", 3), ("2", 2), ("0", 3)])
def test_a_gate_stays_shut_where_a_run_left_no_ledger(
    gate: Project, version: str, run_exit: str, expected: int
) -> None:
    """The ledger of an earlier run must not be taken for it."""
    assert gate.run("gate", "1.28", "1.29").returncode == 0
    gate.log.unlink()
    assert gate.run("gate", "1.29", "1.31", WITHOUT=version, RUN_EXIT=run_exit).returncode == expected
    assert not [line for line in gate.asked() if " diff " in line]


def test_a_gate_needs_two_versions(gate: Project) -> None:
    done = gate.run("gate", "1.29")
    assert (done.returncode, done.stderr) == (
        3,
        "two versions of Istio are needed: usage: ./scripts/gate OLD NEW [options of ./scripts/run]\n",
    )


KUBECTL = """#!/usr/bin/env bash
echo "kubectl $*" >>"$LOG"
case "$*" in
  *" get pods "*) printf '%s\\n' $PODS ;;
  *" logs "*)
    echo "320 passed"
    if [[ $* != *"${WITHOUT:-none}"* ]]; then
      echo "-----BEGIN LEDGER-----"
      echo "{\\"of\\": \\"${@: -1}\\"}" | gzip --stdout | base64
      echo "-----END LEDGER-----"
    fi ;;
esac
"""


@pytest.fixture
def job(gate: Project) -> Project:
    """A project with a kubectl that knows the pods of a Job."""
    gate.tool(gate.path / "kubectl", KUBECTL)
    return gate


def test_ledgers_are_read_from_the_logs_of_a_job(job: Project) -> None:
    folder = job.root / "ledgers"
    done = job.run("ledgers", "shards", str(folder), "--context", "staging", PODS="pod/shards-0 pod/shards-1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{folder}/shards-0.json", f"{folder}/shards-1.json"]
    assert (folder / "shards-0.json").read_text() == '{"of": "pod/shards-0"}\n'
    assert job.asked()[0] == (
        "kubectl --namespace egress-conformance-ci --context staging "
        "get pods --selector batch.kubernetes.io/job-name=shards --output name"
    )


def test_a_pod_without_a_ledger_is_named(job: Project) -> None:
    folder = job.root / "ledgers"
    done = job.run("ledgers", "shards", str(folder), PODS="pod/shards-0 pod/shards-1", WITHOUT="shards-0")
    assert (done.returncode, done.stderr) == (3, "no ledger in the log of shards-0: kubectl logs says why\n")
    assert [path.name for path in folder.iterdir()] == ["shards-1.json"]


def test_a_job_without_pods_is_told(job: Project) -> None:
    done = job.run("ledgers", "shards", str(job.root), PODS="")
    assert done.returncode == 3
    assert done.stderr.startswith("no pod of Job shards: ")
