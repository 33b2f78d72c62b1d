"""Whose a cluster is, and when it can be used as it is."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from egress_conformance.cluster import kind as kind_module
from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.images import ImageSet
from egress_conformance.cluster.kind import Container, KindProvider, Record, refuse_foreign, why_make
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.options import Options

IMAGES = ImageSet(
    istio="1.31",
    full_version="1.31.0",
    node_image="node:full",
    kind=Path("/cache/kind"),
    istioctl=Path("/cache/istioctl"),
    hub="hub",
    tag="tag",
    upstream_envoy=True,
    client_image="client:1",
    world_image="world:1",
    digests={"client:1": "sha256:1"},
    to_load=("client:1", "world:1"),
    own_network=True,
)
RUNNING = Container("id1", "c-control-plane", "running")
WORKERS = (Container("id2", "c-worker", "running"), Container("id3", "c-worker2", "running"))


@dataclass
class Machine:
    """An engine with at most one kind cluster in it, and the kind command."""

    containers: list[Container] = field(default_factory=list)
    ran: list[tuple[str, ...]] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    in_node: set[str] = field(default_factory=lambda: {"client:1", "world:1", "registry.k8s.io/coredns/coredns:v1"})
    networks: dict[str, list[str]] = field(default_factory=dict)
    ready: bool = True
    refuse_to_create: bool = False
    interrupt: bool = False

    def __call__(self, argv: Sequence[str], *, stdin: str | None = None, **_: object) -> str:
        self.ran.append(tuple(argv))
        match list(argv):
            case ["docker", "ps", *_]:
                return "\n".join(f"{each.id} {each.name} {each.state}" for each in self.containers)
            case ["docker", "inspect", *_, node]:
                return f"172.18.0.{sorted(each.name for each in self.containers).index(node)}\n"
            case ["docker", "rm", *_]:
                self.containers.clear()
            case ["/cache/kind", "create", "cluster", *_]:
                self.configs.append(stdin or "")
                # Docker lists the newest first.
                self.containers += [*reversed(WORKERS[: self.configs[-1].count("role: worker")]), RUNNING]
                if self.interrupt:
                    raise KeyboardInterrupt
                if self.refuse_to_create:
                    raise CommandFailed(argv, 1, "ERROR: no room")
            case ["docker", "exec", "--interactive", node, "bash", "-s", "--", *words] if "," in words[-1]:
                self.networks[node] = words
            case ["docker", "exec", "--interactive", _, *command]:
                return self.in_container(command)
            case ["bash", *_]:
                self.in_node.update(argv[7:])
            case _:
                raise AssertionError(argv)
        return ""

    def in_container(self, command: list[str]) -> str:
        if command[-2:] == ["--raw", "/readyz"]:
            return "ok" if self.ready else "[-]etcd failed"
        if command[-4:] == ["get", "nodes", "--output", "json"]:
            names = sorted(each.name for each in self.containers)
            return json.dumps({"items": [self.described(name, number) for number, name in enumerate(names)]})
        if command[0] == "ctr":
            return "\n".join(self.in_node)
        if command == ["bash", "-s"]:
            return "3\n"
        return ""

    def described(self, name: str, number: int) -> dict[str, object]:
        addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": f"172.18.0.{number}"}]
        spec = {"podCIDR": f"10.244.{number}.0/24"}
        return {"metadata": {"name": name}, "spec": spec, "status": {"addresses": addresses}}

    @property
    def made(self) -> int:
        return len(self.configs)


class Images:
    """Where images come from, without any."""

    def __init__(self) -> None:
        self.base_image = "node:base"
        self.nodes_asked: list[bool] = []
        self.cni_asked: list[bool] = []

    def base(self, istio: str) -> str:  # noqa: ARG002
        return self.base_image

    def image_set(self, istio: str, *, node: bool, cni: bool) -> ImageSet:  # noqa: ARG002
        self.nodes_asked.append(node)
        self.cni_asked.append(cni)
        return IMAGES


@dataclass
class Bench:
    machine: Machine
    images: Images
    said: StringIO

    def provider(self, fresh: bool = False) -> KindProvider:
        return KindProvider(istio="1.31", console=Console(file=self.said, width=200), name="c", fresh=fresh)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path))
    machine, images = Machine(), Images()
    engine = Engine({"DOCKER_HOST": "unix:///x"}, "20", machine)
    monkeypatch.setattr(kind_module, "ensure_engine", lambda *_, **__: engine)
    monkeypatch.setattr(kind_module, "engine_that_answers", lambda: engine)
    monkeypatch.setattr(kind_module, "source_of", lambda *_, **__: images)
    return Bench(machine, images, StringIO())


def test_a_cluster_is_made_once_and_then_used_again(bench: Bench) -> None:
    first = bench.provider().up()
    second = bench.provider().up()
    assert first == second
    assert bench.machine.made == 1
    assert bench.images.nodes_asked == [True, False]
    assert first.context == "kind-c"
    assert first.node_containers == ("c-control-plane",)
    assert first.engine == {"DOCKER_HOST": "unix:///x"}
    assert first.release is not None
    assert (first.release.hub, first.release.tag) == ("hub", "tag")
    assert "disableDefaultCNI: true" in bench.machine.configs[0]
    assert bench.said.getvalue().splitlines() == ["making cluster c: there is none"]


def test_each_istio_has_a_cluster_of_its_own(bench: Bench) -> None:
    assert KindProvider(istio="1.29").cluster_name == "istio-egress-1-29"
    assert KindProvider().cluster_name == "istio-egress-1-31"


def test_istio_with_its_cni_node_agent_has_a_cluster_of_its_own(bench: Bench) -> None:
    assert KindProvider(istio="1.29", istio_cni=True).cluster_name == "istio-egress-1-29-cni"
    assert KindProvider(istio="1.29", istio_cni=True, nodes=3).cluster_name == "istio-egress-1-29-3-nodes-cni"
    for istio_cni in (True, False):
        provider = KindProvider(istio="1.31", console=Console(file=bench.said), name="c", istio_cni=istio_cni)
        release = provider.up().release
        assert release is not None
        assert release.cni is istio_cni
    assert bench.images.cni_asked == [True, False]
    with pytest.raises(UserError, match="--istio-cni is for the default revision: leave --revision out"):
        KindProvider(istio_cni=True, revision="canary")


def test_several_nodes_have_a_cluster_of_their_own_in_which_pods_reach_each_other(bench: Bench) -> None:
    assert KindProvider(istio="1.29", nodes=3).cluster_name == "istio-egress-1-29-3-nodes"
    provider = KindProvider(istio="1.31", console=Console(file=bench.said, width=200), name="c", nodes=3)
    cluster = provider.up()
    assert cluster.node_containers == ("c-control-plane", "c-worker", "c-worker2")
    assert bench.machine.networks == {
        "c-control-plane": ["10.244.0.0/24", "10.244.1.0/24,172.18.0.1", "10.244.2.0/24,172.18.0.2"],
        "c-worker": ["10.244.1.0/24", "10.244.0.0/24,172.18.0.0", "10.244.2.0/24,172.18.0.2"],
        "c-worker2": ["10.244.2.0/24", "10.244.0.0/24,172.18.0.0", "10.244.1.0/24,172.18.0.1"],
    }
    all_nodes = ("172.18.0.0", "172.18.0.1", "172.18.0.2")
    for node in cluster.node_containers:
        guard = ("bash", "-s", "--", "10.244.0.0/16", "10.96.0.0/16", *all_nodes)
        assert ("docker", "exec", "--interactive", node, *guard) in bench.machine.ran
    # As many as before: it is used again. The routes go when a node's container is restarted.
    bench.machine.networks.clear()
    provider.up()
    assert bench.machine.made == 1
    assert len(bench.machine.networks) == 3
    assert provider.escaped_packets() == 9
    bench.provider().up()
    assert bench.machine.made == 2
    assert "making cluster c: what it is made of has changed" in bench.said.getvalue()


@pytest.mark.parametrize("nodes", ["0", "10", "three", "-1", "1.5"])
def test_a_number_of_nodes_that_is_none(nodes: str) -> None:
    with pytest.raises(UserError, match="is no number of nodes from 1 to 9"):
        _ = Options(nodes=nodes).node_count


def test_changed_images_are_loaded_into_the_running_cluster(bench: Bench) -> None:
    bench.provider().up()
    bench.machine.in_node.discard("world:1")
    bench.provider().up()
    assert bench.machine.made == 1
    assert "loaded into c-control-plane: world:1" in bench.said.getvalue()


def test_a_cluster_of_something_else_is_made_anew_and_that_is_said(bench: Bench) -> None:
    bench.provider().up()
    bench.images.base_image = "node:newer"
    bench.provider().up()
    assert bench.machine.made == 2
    assert "making cluster c: what it is made of has changed" in bench.said.getvalue()


def test_fresh_makes_it_anew(bench: Bench) -> None:
    bench.provider().up()
    bench.provider(fresh=True).up()
    assert bench.machine.made == 2


def test_a_cluster_that_does_not_answer_is_made_anew(bench: Bench) -> None:
    bench.provider().up()
    bench.machine.ready = False
    bench.provider().up()
    assert bench.machine.made == 2
    assert "its API server does not answer" in bench.said.getvalue()


def test_a_cluster_of_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.machine.containers.append(RUNNING)
    with pytest.raises(UserError, match="a kind cluster c that this project did not make: remove it with: kind delete"):
        bench.provider().up()
    with pytest.raises(UserError, match="did not make"):
        bench.provider(fresh=True).up()
    bench.provider().down()
    assert bench.machine.containers == [RUNNING]
    assert bench.machine.made == 0
    assert bench.images.nodes_asked == []


def test_a_half_made_cluster_is_ours_and_made_anew(bench: Bench) -> None:
    provider = bench.provider()
    provider.home.mkdir(parents=True)
    (provider.home / "record.json").write_text(json.dumps({"base": "node:base", "containers": []}))
    bench.machine.containers.append(RUNNING)
    provider.up()
    assert bench.machine.made == 1
    assert "the last time it was not finished" in bench.said.getvalue()


def test_a_creation_that_fails_leaves_nothing(bench: Bench) -> None:
    bench.machine.refuse_to_create = True
    with pytest.raises(PlatformTrouble, match="cluster not made: ERROR: no room"):
        bench.provider().up()
    assert bench.machine.containers == []
    bench.machine.refuse_to_create = False
    bench.provider().up()


def test_an_interrupted_creation_leaves_nothing(bench: Bench) -> None:
    bench.machine.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        bench.provider().up()
    assert bench.machine.containers == []
    assert not (bench.provider().home / "record.json").exists()


def test_down_removes_it_and_may_be_called_twice(bench: Bench) -> None:
    bench.provider().up()
    bench.provider().down()
    assert bench.machine.containers == []
    assert not bench.provider().home.exists()
    bench.provider().down()


def test_escaped_packets_are_read_from_the_nodes(bench: Bench) -> None:
    provider = bench.provider()
    provider.up()
    assert provider.escaped_packets() == 3


@pytest.mark.parametrize(
    ("containers", "record", "foreign"),
    [
        ([], None, False),
        ([], Record("x", containers=("id1",)), False),
        ([RUNNING], None, True),
        ([RUNNING], Record("x"), False),
        ([RUNNING], Record("x", containers=("id1",)), False),
        ([RUNNING], Record("x", containers=("id2",)), True),
    ],
)
def test_whose_it_is(containers: list[Container], record: Record | None, foreign: bool) -> None:
    if foreign:
        with pytest.raises(UserError):
            refuse_foreign("c", containers, record)
    else:
        refuse_foreign("c", containers, record)


def test_a_stopped_cluster_is_made_anew() -> None:
    stopped = Container("id1", "c", "exited")
    assert why_make([stopped], Record("x", containers=("id1",)), Record("x"), fresh=False) == "it does not run any more"
    assert why_make([RUNNING], Record("x", containers=("id1",)), Record("x"), fresh=False) is None
    changed = Record("x", "another digest")
    assert (
        why_make([RUNNING], Record("x", containers=("id1",)), changed, fresh=False) == "what it is made of has changed"
    )


@pytest.mark.parametrize("name", ["", "Mine", "a_b", "-a", "a" * 42])
def test_a_name_that_no_cluster_can_have(name: str) -> None:
    with pytest.raises(UserError, match="is no name for a kind cluster"):
        KindProvider(istio="1.31", name=name)
