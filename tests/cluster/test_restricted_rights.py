"""An existing cluster with little leave: namespaces that are given, a ServiceAccount's rights, a proxy in between."""

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.names import Names
from egress_conformance.mesh.manifests import fill
from egress_conformance.namespaces import Given
from egress_conformance.report.summary import told_folder
from tests.cluster.conftest import Ended, Found, UnderWay, command, start
from tests.cluster.forwarder import Forwarder

NAMES = Names(("egress-world", "egress-client-1", "egress-client-2"))
RIGHTS = Path(__file__).resolve().parents[2] / "docs/ci/kubernetes/namespaces.yaml"
ACCOUNT = "/api/v1/namespaces/egress-conformance-ci/serviceaccounts/egress-conformance/token"


class ConnectProxy(Forwarder):
    """An HTTP proxy that leads to one server (RFC 9110, section 9.3.6)."""

    def _forward(self, pair: tuple[socket.socket, socket.socket]) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += pair[0].recv(1)
        assert asked.startswith(f"CONNECT {self._server[0]}:{self._server[1]} ".encode()), asked
        pair[0].sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        super()._forward(pair)


@dataclass(frozen=True)
class Restricted:
    """The cluster as somebody with little leave has it."""

    found: Found
    kubeconfig: Path
    proxy: ConnectProxy

    def options(self) -> list[str]:
        """What is the same for all commands."""
        return [*self.found.existing(self.kubeconfig), "--namespaces", ",".join(NAMES.given)]

    def command(self, name: str, *arguments: str) -> Ended:
        return command(name, *self.options(), *arguments)

    def start(self, log: Path, *arguments: str) -> UnderWay:
        return start(log, "run", *self.options(), *arguments)

    def namespaces(self) -> set[str]:
        """All that there are."""
        return {each["metadata"]["name"] for each in self.found.kube.find("v1", "Namespace")}

    def ours(self) -> list[str]:
        """What is the suite's in the namespaces that were given."""
        given = Given(self.found.kube, NAMES)
        return [each for name in NAMES.given for each in given.ours(name)]


def rights() -> list[Doc]:
    """As they are shipped; and what --allow-mesh-changes needs beside them."""
    docs = fill(RIGHTS, {})
    for doc in docs:
        for rule in doc.get("rules", []):
            if doc["metadata"].get("namespace") == "istio-system" and rule["resources"] == ["configmaps"]:
                rule["verbs"].append("patch")
    return docs


@pytest.fixture(scope="module")
def restricted(cluster: Found, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restricted]:
    docs = rights()
    for doc in docs:
        cluster.kube.apply(doc)
    token = json.loads(cluster.kube.raw("POST", ACCOUNT, body={"spec": {"expirationSeconds": 3600}}))["status"]["token"]
    config = yaml.safe_load(Path(cluster.info.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": token}
    server = urlsplit(config["clusters"][0]["cluster"]["server"])
    assert server.hostname is not None
    assert server.port is not None
    with ConnectProxy(server.hostname, server.port) as proxy:
        config["clusters"][0]["cluster"]["proxy-url"] = f"http://127.0.0.1:{proxy.port}"
        kubeconfig = tmp_path_factory.mktemp("restricted") / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(config))
        given = Restricted(cluster, kubeconfig, proxy)
        yield given
        # Also after a test that failed: the original of the mesh config lies in one of these namespaces.
        ended = given.command("down")
    assert ended.code == 0, ended.said
    for doc in reversed(docs):
        cluster.kube.delete(doc)


def test_a_run_makes_no_namespace_and_leaves_nothing(restricted: Restricted) -> None:
    before = restricted.found.config.text()
    namespaces = restricted.namespaces()
    ended = restricted.command("run", "--cases", "RES-01 POL-01 SCP-01 VAL-07")
    assert ended.code == 0, ended.said
    assert restricted.proxy.connections > 0
    folder = told_folder(ended.said)
    assert folder is not None
    ledger = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
    came_to = {case["id"]: (case["verdict"], case["reason"]) for case in ledger["cases"]}
    assert came_to.pop("RES-01") == ("passed", "")
    assert came_to.pop("SCP-01") == ("skipped", "needs a further namespace; with --namespaces none is made")
    verdict, reason = came_to.pop("VAL-07")
    assert (verdict, reason.rpartition(", ")[2]) == ("skipped", "or none may look")
    assert came_to == {"POL-01": ("passed", "")}
    assert restricted.found.config.text() == before
    assert restricted.namespaces() <= namespaces  # those of earlier tests may have gone meanwhile
    assert {*NAMES.given} <= restricted.namespaces()
    assert restricted.ours() == []


def test_what_a_killed_run_left_is_listed_and_removed(restricted: Restricted, suite: Path) -> None:
    before = restricted.found.config.text()
    (suite / "in-place-seconds").touch()
    run = restricted.start(suite / "log", "-n", "2", str(suite / "suites"))
    run.wait_for(suite / "in-place")
    run.kill()
    assert restricted.found.config.text() != before
    left = set(restricted.ours())
    assert "Pod egress-world/alpha" in left
    assert left & {f"Pod {name}/client" for name in NAMES.clients}
    listed = restricted.command("status")
    assert listed.code == 0, listed.said
    assert "namespace egress-world: " in listed.out
    assert "a run holds it, or crashed: " in listed.out
    removed = restricted.command("down")
    assert removed.code == 0, removed.said
    assert "mesh config restored" in removed.out
    assert restricted.found.config.text() == before
    assert restricted.ours() == []


def test_too_few_namespaces(restricted: Restricted) -> None:
    ended = restricted.command("run", "-n", "3")
    assert ended.code == 3, ended.said
    assert "3 workers need as many namespaces for clients; --namespaces has 2: name more, or use -n 2" in ended.said
