"""What this machine, or an existing cluster, has and lacks for a run. Changes nothing."""

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from egress_conformance.cluster import pull
from egress_conformance.cluster.build import Builder, check_disk, check_go, disk_needed
from egress_conformance.cluster.cache import cache_dir
from egress_conformance.cluster.commands import Runner, run
from egress_conformance.cluster.engine import Engine, engine_that_answers, may_raise_limits
from egress_conformance.cluster.existing import ExistingProvider
from egress_conformance.cluster.kind import nodes_of
from egress_conformance.cluster.names import MADE, Names
from egress_conformance.cluster.progress import duration
from egress_conformance.cluster.recipe import Recipe, missing, missing_tools
from egress_conformance.cluster.recipes import recipes
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import ExitCode, UserError

# kind, istiod, the world and four clients take about 2 GB; a compiler as much again.
MEMORY_GB = 4
CORES = 2
# One node takes about a hundred; each further one as many again.
INOTIFY_INSTANCES = 128


class State(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        state: whether it is as a run needs it.
        what: what was looked at.
        seen: what it is.
        next_step: what to do about it, where something should be done.
    """

    state: State
    what: str
    seen: str
    next_step: str = ""


def examine(
    *,
    provider: str = "kind",
    istio: str | None = None,
    kubeconfig: Path | None = None,
    context: str | None = None,
    revision: str | None = None,
    allow_mesh_changes: bool = False,
    client_image: str = "",
    world_image: str = "",
    namespaces: Names = MADE,
    images: str = "auto",
    runner: Runner = run,
    root: Path = Path("/"),
) -> list[Finding]:
    """Look at everything that a run with these options needs.

    Args:
        provider: where Kubernetes would come from.
        istio: the version of Istio, the newest by default.
        kubeconfig: as the provider "existing" has it; so are the next six.
        context: see `ExistingProvider`.
        revision: see `ExistingProvider`.
        allow_mesh_changes: see `ExistingProvider`.
        client_image: see `ExistingProvider`.
        world_image: see `ExistingProvider`.
        namespaces: see `ExistingProvider`.
        images: as the provider "kind" has it.
        runner: runs programs.
        root: where /proc and /sys are.
    """
    python = Finding(State.OK, "Python", platform.python_version())
    if provider == "existing":
        cluster = ExistingProvider(
            kubeconfig, context, revision, allow_mesh_changes, client_image, world_image, namespaces=namespaces
        )
        return [python, *_cluster(cluster)]
    pulls = images == "pull" or (images == "auto" and pull.registry_answers())
    engine = engine_that_answers(runner)
    return [
        python,
        *_engine(engine, root),
        *_machine(root, pulls=pulls),
        Finding(State.OK, "images", "pulled, as a registry answers" if pulls else "built, not pulled"),
        *_artefacts(istio or versions().newest, engine, runner, pulls=pulls),
        *_clusters(engine),
    ]


def render(findings: list[Finding], console: Console) -> ExitCode:
    """Print findings as a table.

    Returns:
        The exit code for them: USER_ERROR if anything is missing.
    """
    colours = {State.OK: "green", State.WARNING: "yellow", State.MISSING: "red"}
    table = Table("", "", box=None, show_header=False, pad_edge=False)
    table.add_column(overflow="fold")  # a path that is cut short cannot be copied
    for finding in findings:
        next_step = f"\n→ {finding.next_step}" if finding.next_step else ""
        table.add_row(f"[{colours[finding.state]}]{finding.state}", finding.what, _plain(finding.seen + next_step))
    console.print(table)
    lacking = [finding.what for finding in findings if finding.state is State.MISSING]
    console.print(f"\nmissing: {', '.join(lacking)}" if lacking else "\nnothing is missing", markup=False)
    return ExitCode.USER_ERROR if lacking else ExitCode.PASSED


def _plain(text: str) -> str:
    """Text that is no markup, as addresses and kubeconfigs may hold brackets."""
    return text.replace("[", r"\[")


def _cluster(provider: ExistingProvider) -> Iterator[Finding]:
    found: list[Finding] = []
    try:
        provider.examine(lambda what, seen: found.append(Finding(State.OK, what, seen)))
    except UserError as error:
        found.append(Finding(State.MISSING, "cluster", error.problem, error.next_step))
    yield from found


def _engine(engine: Engine | None, root: Path) -> Iterator[Finding]:
    what, is_root = "container engine", os.geteuid() == 0
    yield Finding(State.OK, "user", "root" if is_root else "not root: can start and install nothing")
    if engine is not None:
        own = f"our own, {engine.env['DOCKER_HOST']}" if engine.env else "the machine's"
        yield Finding(State.OK, what, f"Docker {engine.version} ({own})")
    elif os.environ.get("DOCKER_HOST"):
        yield Finding(State.MISSING, what, "none answers at DOCKER_HOST", "start it, or unset DOCKER_HOST")
    elif not is_root:
        yield Finding(State.MISSING, what, "none answers", "start Docker and join its group, or run this as root")
    elif shutil.which("dockerd"):
        yield Finding(State.OK, what, "none answers; a run starts one of our own")
    elif shutil.which("apt-get"):
        yield Finding(State.WARNING, what, "there is none; a run installs docker.io, unless given --no-install")
    else:
        yield Finding(State.MISSING, what, "there is none", "install Docker: this is not Debian or Ubuntu")
    if may_raise_limits(root / "proc/self/status"):
        yield Finding(State.OK, "CAP_SYS_RESOURCE", "there")
    elif engine is None or engine.env:
        yield Finding(State.OK, "CAP_SYS_RESOURCE", "not there; our own engine does without it")
    else:
        step = "stop that engine, so that a run starts one of our own, which does without it"
        yield Finding(State.WARNING, "CAP_SYS_RESOURCE", "not there; a kind node may not start in this engine", step)


def _machine(root: Path, *, pulls: bool) -> Iterator[Finding]:
    if (root / "sys/fs/cgroup/cgroup.controllers").exists():
        yield Finding(State.OK, "cgroup", "version 2")
    elif pulls:
        seen = "version 1, which kubelet refuses since Kubernetes 1.35; node images that are built here allow it"
        yield Finding(State.WARNING, "cgroup", seen, "use --images build")
    else:
        yield Finding(State.OK, "cgroup", "version 1; the node image allows it")
    instances = int((root / "proc/sys/fs/inotify/max_user_instances").read_text())
    watches = (root / "proc/sys/fs/inotify/max_user_watches").read_text().strip()
    seen = f"{instances} instances, {watches} watches a user"
    yield _at_least(instances, INOTIFY_INSTANCES, "inotify", seen, "sysctl fs.inotify.max_user_instances=512")
    memory = _memory_gb(root)
    yield _at_least(memory, MEMORY_GB, "memory", f"{memory:.1f} GB available", f"free some: {MEMORY_GB} GB are good")
    cores = len(os.sched_getaffinity(0))
    yield _at_least(cores, CORES, "cores", str(cores), "waits may run out on fewer than two: use -n 1")


def _at_least(have: float, want: float, what: str, seen: str, next_step: str) -> Finding:
    return Finding(State.OK, what, seen) if have >= want else Finding(State.WARNING, what, seen, next_step)


def _memory_gb(root: Path) -> float:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024 / 1e9
    raise AssertionError("Linux tells MemAvailable since 3.14")


def _artefacts(istio: str, engine: Engine | None, runner: Runner, *, pulls: bool) -> Iterator[Finding]:
    try:
        wanted = _wanted(istio, pulls=pulls)
    except UserError as error:
        yield Finding(State.MISSING, f"Istio {istio}", error.problem, error.next_step)
        return
    todo = list(dict.fromkeys(recipe for each in wanted for recipe in missing(each, _is_done(engine))))
    what = "client and world" if pulls else f"Istio {istio}"
    if todo:
        # Two steps never run at once, so their times add up. Which images are there only an engine knows.
        steps = f"{len(todo)} steps, typically {duration(sum(recipe.typical for recipe in todo))}"
        yield Finding(State.OK, what, f"to be built in {steps}" if engine else f"to be built in at most {steps}")
    else:
        yield Finding(State.OK, what, "cached: nothing to build")
    go = any("go" in recipe.tools for recipe in todo)
    yield _check("Go", lambda: _go(runner), needed=go)
    yield _check("disk", lambda: _disk(disk_needed(todo)), needed=True)
    tools = [tool for tool in missing_tools(todo) if tool != "go"]
    if tools and os.geteuid() == 0:
        yield Finding(State.WARNING, "build tools", f"a run installs {' '.join(tools)}, unless given --no-install")
    elif tools:
        yield Finding(State.MISSING, "build tools", f"there is no {' '.join(tools)}", "install it as root")


def _wanted(istio: str, *, pulls: bool) -> list[Recipe]:
    if pulls:
        pull.release_of(istio)
        built = recipes(versions(), versions().newest)
        return [built.client, built.world]
    built = recipes(versions(), istio)
    return [built.node, built.base, built.kind, built.istio, built.istio_images, built.client, built.world]


def _is_done(engine: Engine | None) -> Callable[[Recipe], bool]:
    """Whether an artefact is there; with no engine to ask, its images are not."""
    builder = Builder(engine or Engine({}, ""), Console(), install=False)
    return lambda recipe: builder.is_done(recipe) if engine or not recipe.repositories else False


def _check(what: str, look: Callable[[], str], *, needed: bool) -> Finding:
    try:
        return Finding(State.OK, what, look())
    except UserError as error:
        return Finding(State.MISSING if needed else State.WARNING, what, error.problem, error.next_step)


def _go(runner: Runner) -> str:
    check_go(versions().go, runner)
    return runner(("go", "version")).strip()


def _disk(needed_gb: int) -> str:
    check_disk(cache_dir(), needed_gb)
    home = next(path for path in (cache_dir(), *cache_dir().parents) if path.exists())
    return f"{shutil.disk_usage(home).free / 1e9:.0f} GB free at {home}"


def _clusters(engine: Engine | None) -> Iterator[Finding]:
    names = sorted(path.parent.name for path in cache_dir().glob("clusters/*/record.json"))
    if not names:
        yield Finding(State.OK, "clusters", "none of ours")
    for name in names:
        nodes = nodes_of(engine, name) if engine else []
        state = ", ".join(f"{node.name} {node.state}" for node in nodes) or "not up"
        yield Finding(State.OK, "cluster", f"{name}: {state}")
