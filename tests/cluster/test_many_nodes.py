"""A cluster of three nodes: clients are spread over them, and shards share it by Leases, as pods of a Job would."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from egress_conformance.cluster.kind import KindProvider
from egress_conformance.cluster.kube import Kube
from egress_conformance.options import Options
from egress_conformance.report.summary import told_folder
from tests.cluster.conftest import Found, brought_up, command, start, write_suite

NODES = ("--nodes", "3")

WHERE = """\
import pathlib
import time

from egress_conformance.case import case


def somewhere(mesh, client, world):
    pod = client.kube.get("v1", "Pod", client.pod, client.namespace)
    folder = pathlib.Path("{folder}")
    (folder / f"{{client.namespace}}.node").write_text(pod["spec"]["nodeName"])
    site = world.site()
    with mesh.apply("entry.yaml", host=site.host):
        client.get(site.url()).reaches(site, cluster=f"outbound|80||{{site.host}}")
    end = time.monotonic() + 60
    while len(list(folder.glob("*.node"))) < 4 and time.monotonic() < end:
        time.sleep(0.1)
"""
ONE_OF_THEM = '''

@case("MINE-0{number}", source="a test")
def test_{number}(mesh, client, world):
    """A client on any node MUST reach what is registered."""
    somewhere(mesh, client, world)
'''
"""Each of four workers gets one case, as none ends before all of them have begun."""

FLIPS = '''\
import pathlib
import time

from egress_conformance.case import Mode, case


def flipped(mesh, client, world, marker):
    site = world.site()
    with mesh.given("entry.yaml", host=site.host), mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
        client.get(site.url()).reaches(site, cluster=f"outbound|80||{{site.host}}")
        pathlib.Path(marker).touch()
        time.sleep(pathlib.Path(f"{{marker}}-seconds").exists() and 120)


@case("MINE-01", mode=Mode.ALLOW_ANY, flips=True, source="a test")
def test_first(mesh, client, world):
    """The first shard's case MUST have the mesh alone."""
    flipped(mesh, client, world, "{folder}/first")


@case("MINE-02", mode=Mode.ALLOW_ANY, flips=True, source="a test")
def test_second(mesh, client, world):
    """The second shard's case MUST have the mesh alone."""
    flipped(mesh, client, world, "{folder}/second")
'''


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Found]:
    """A cluster of three nodes, removed at the end."""
    with brought_up(Options(nodes="3", wait=True)) as found:
        yield found
    KindProvider(nodes=3, install=False).down()


def suite(folder: Path, cases: str) -> str:
    """A team's own suite with these cases."""
    write_suite(folder, cases.format(folder=folder))
    return str(folder / "suites")


def workers_of(kube: Kube) -> set[str]:
    """The nodes that are not the control plane's."""
    nodes = {node["metadata"]["name"] for node in kube.find("v1", "Node")}
    return {name for name in nodes if not name.endswith("-control-plane")}


def test_clients_are_spread_over_the_nodes(three_nodes: Found, tmp_path: Path) -> None:
    nodes = workers_of(three_nodes.kube)
    assert len(nodes) == 2
    cases = WHERE + "".join(ONE_OF_THEM.format(number=number) for number in range(1, 5))
    ended = command("run", *NODES, "-n", "4", suite(tmp_path, cases))
    assert ended.code == 0, ended.said
    on = Counter(path.read_text() for path in tmp_path.glob("*.node"))
    assert on == dict.fromkeys(nodes, 2)
    assert three_nodes.leftovers() == []


def shard(index: int, *arguments: str) -> list[str]:
    return ["run", *NODES, "--shard", f"{index}/2", "--join", "test", "-n", "2", *arguments]


def test_shards_share_the_cluster_and_make_one_ledger(three_nodes: Found, tmp_path: Path) -> None:
    before = three_nodes.config.text()
    cases = ("--cases", "POL-01 POL-03 RES-0[145] SCP-05 HTTP-0[12]")
    both = [start(tmp_path / f"log-{index}", *shard(index, *cases)) for index in (1, 2)]
    said = [each.ended(seconds=240) for each in both]
    assert [each.code for each in said] == [0, 0], "\n".join(each.said for each in said)
    assert sum("joining run r" in each.said for each in said) == 1
    folders = [told_folder(each.said) for each in said]
    merged = command("merge", *map(str, folders), "--into", str(tmp_path / "merged"))
    assert merged.code == 0, merged.said
    ledger = json.loads((tmp_path / "merged" / "ledger.json").read_text(encoding="utf-8"))
    assert ledger["summary"]["passed"] == len(ledger["cases"]) == 8
    assert three_nodes.config.text() == before
    assert three_nodes.leftovers() == []


def test_a_shard_that_was_killed_holds_up_the_other_for_a_while_only(three_nodes: Found, tmp_path: Path) -> None:
    before = three_nodes.config.text()
    cases = suite(tmp_path, FLIPS)
    (tmp_path / "first-seconds").touch()
    one = start(tmp_path / "log-1", *shard(1, cases))
    one.wait_for(tmp_path / "first")
    two = start(tmp_path / "log-2", *shard(2, cases))
    # It is at work, and would flip the mesh if it might.
    two.wait_for_line("joining run r")
    assert not (tmp_path / "second").exists()
    one.kill()
    ended = two.ended(seconds=180)
    assert ended.code == 0, ended.said
    assert (tmp_path / "second").exists()
    assert three_nodes.config.text() == before
    assert three_nodes.leftovers() == []
