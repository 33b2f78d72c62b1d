"""What is done on the nodes of a kind cluster: DNS that asks nobody outside, and a guard that counts who tries."""

import json
from collections.abc import Sequence

from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.recipe import IMAGES
from egress_conformance.errors import PlatformTrouble
from egress_conformance.waiting import wait_for

FILES = IMAGES / "cluster"
SUBNET_SECONDS = 60
"""How long the controller manager may take to give each node its pod subnet."""

KUBECTL = ("kubectl", "--kubeconfig", "/etc/kubernetes/admin.conf")


class Node:
    """One node, which is a container.

    Args:
        engine: the engine it runs in.
        container: its name there.
    """

    def __init__(self, engine: Engine, container: str) -> None:
        self.engine = engine
        self.container = container

    def run(self, *argv: str, stdin: str | None = None, seconds: float = 60) -> str:
        """Run a program on the node and give what it printed.

        Raises:
            CommandFailed: it ended with an exit code other than 0.
        """
        return self.engine.docker("exec", "--interactive", self.container, *argv, stdin=stdin, seconds=seconds)

    def images(self) -> set[str]:
        """The names of the images it has."""
        return set(self.run("ctr", "--namespace", "k8s.io", "images", "ls", "--quiet").split())

    def load(self, images: Sequence[str]) -> list[str]:
        """Load images of the engine that the node does not have yet, and give their names."""
        there = self.images()
        missing = [image for image in images if image not in there]
        if missing:
            pipe = 'docker save "${@:2}" | docker exec --interactive "$1" ctr --namespace k8s.io images import -'
            argv = ("bash", "-o", "pipefail", "-c", pipe, "load", self.container, *missing)
            self.engine.run(argv, env=self.engine.env, seconds=300)
        return missing

    def api_answers(self) -> bool:
        """Whether the API server says that it is ready."""
        try:
            return self.run(*KUBECTL, "get", "--raw", "/readyz", seconds=10).strip() == "ok"
        except CommandFailed:
            return False

    def start_dns(self) -> None:
        """Start the cluster's DNS, which has no way out of the cluster, and wait until it answers."""
        image = next(image for image in sorted(self.images()) if image.startswith("registry.k8s.io/coredns/"))
        manifest = _text("coredns.yaml").replace("${COREDNS_IMAGE}", image)
        self.run(*KUBECTL, "apply", "--server-side", "-f", "-", stdin=manifest)
        wait = ("rollout", "status", "deployment/coredns", "--timeout=90s")
        self.run(*KUBECTL, "--namespace", "kube-system", *wait, seconds=100)

    def address(self) -> str:
        """Its address."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.engine.docker("inspect", "--format", form, self.container).strip()

    def guard(self, pods: str, services: str, nodes: Sequence[str]) -> None:
        """Count and refuse from now on what pods send to other addresses than these; harmless if done before.

        Args:
            pods: the cluster's pod subnet.
            services: its service subnet.
            nodes: addresses of its nodes.
        """
        self.run("bash", "-s", "--", pods, services, *nodes, stdin=_text("guard.sh"))

    def escaped_packets(self) -> int:
        """The packets the guard refused so far.

        Raises:
            PlatformTrouble: the guard is gone.
        """
        try:
            return int(self.run("bash", "-s", stdin=_text("guard.sh")))
        except (CommandFailed, ValueError) as error:
            raise PlatformTrouble("packet counter gone", f"{self.container}: {error}") from None


def connect(nodes: Sequence[Node]) -> None:
    """Let the pods of several nodes reach each other, where the node image's pod network is one for a single node.

    Args:
        nodes: all of a cluster, the control plane's first.

    Raises:
        PlatformTrouble: Kubernetes gives a node no pod subnet.
    """
    found: dict[str, tuple[str, str]] = {}

    def look() -> dict[str, tuple[str, str]] | None:
        for item in json.loads(nodes[0].run(*KUBECTL, "get", "nodes", "--output", "json"))["items"]:
            addresses = {each["type"]: each["address"] for each in item["status"].get("addresses", [])}
            if "podCIDR" in item["spec"] and "InternalIP" in addresses:
                found[item["metadata"]["name"]] = (item["spec"]["podCIDR"], addresses["InternalIP"])
        return found if len(found) == len(nodes) else None

    hint, seconds = "kubectl describe nodes", SUBNET_SECONDS
    wait_for("a pod subnet for each node", look, seconds=seconds, hint=hint, seen=lambda: f"for {sorted(found)}")
    for node in nodes:
        subnet, _ = found[node.container]
        others = [f"{cidr},{address}" for name, (cidr, address) in found.items() if name != node.container]
        node.run("bash", "-s", "--", subnet, *others, stdin=_text("network.sh"))


def _text(name: str) -> str:
    return (FILES / name).read_text(encoding="utf-8")
