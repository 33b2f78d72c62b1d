"""Images in a registry that wants to know who pulls them: a real one, on a node's loopback."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from rich.console import Console

from egress_conformance.cluster.build import Builder
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.node import Node
from egress_conformance.cluster.recipe import Recipe
from egress_conformance.cluster.versions import versions
from egress_conformance.report.summary import told_folder
from egress_conformance.waiting import wait_for
from tests.cluster.conftest import Ended, Found, command

# The first time the registry is compiled, of modules that nothing else needs.
pytestmark = pytest.mark.timeout(900)

HOST = "localhost:5000"
CLIENT, WORLD = f"{HOST}/egress-client:1", f"{HOST}/egress-world:1"
TEAM = "pull-secret-of-a-team"
CTR = ("ctr", "--namespace", "k8s.io", "images")
RECIPE = Recipe(
    name="registry",
    what="compile an image registry",
    typical=60,
    script="registry",
    inputs={"GO": versions().go},
    tools=("go",),
    repositories=("registry",),
)


@dataclass(frozen=True)
class Private:
    """The cluster, and the registry that has the suite's images for it."""

    cluster: Found
    user: str
    password: str

    def run(self, *arguments: str) -> Ended:
        images = ["--client-image", CLIENT, "--world-image", WORLD]
        return command("run", *self.cluster.existing(), *images, "-n", "1", *arguments)

    def token(self) -> str:
        """User and password as a Secret has them."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def push(node: Node, image: str, name: str, user: str) -> None:
    """Put an image of the engine into the registry, as another image, and leave none of it on the node.

    What was once pulled with a Secret is given by the kubelet to nobody without one, under whatever name: it goes by
    the image's digest. https://kubernetes.io/docs/concepts/containers/images/#ensureimagepullcredentialverification
    """
    node.engine.docker("build", "--quiet", "--tag", name, "-", stdin=f"FROM {image}\nLABEL private=yes\n")
    try:
        node.load([name])
    finally:
        node.engine.docker("rmi", name)
    node.run(*CTR, "push", "--plain-http", "--user", user, name)
    node.run(*CTR, "rm", name)


def password_of(engine: Engine, container: str) -> str:
    """What the registry made up, and logged: it has no password file."""

    def look() -> str | None:
        logged = engine.run(("bash", "-c", 'docker logs "$1" 2>&1', "logs", container), env=engine.env)
        return next((word.partition("=")[2] for word in logged.split() if word.startswith("password=")), None)

    return wait_for("the registry to log its password", look, seconds=30, hint=f"docker logs {container}")


@pytest.fixture(scope="module")
def private(cluster: Found) -> Iterator[Private]:
    node = cluster.control_plane()
    engine = node.engine
    Builder(engine, Console(stderr=True), install=False).build(RECIPE)
    container = engine.docker("run", "--detach", "--network", f"container:{node.container}", RECIPE.images[0]).strip()
    try:
        password = password_of(engine, container)
        for image, name in ((cluster.info.client_image, CLIENT), (cluster.info.world_image, WORLD)):
            push(node, image, name, f"docker:{password}")
        made = Private(cluster, "docker", password)
        docs = secret(made)
        for doc in docs:
            cluster.kube.apply(doc)
        yield made
        for doc in reversed(docs):
            cluster.kube.delete(doc)
        node.run(*CTR, "rm", CLIENT, WORLD)
    finally:
        engine.docker("rm", "--force", "--volumes", container)


def secret(private: Private) -> list[Doc]:
    """As `kubectl create secret docker-registry` makes it."""
    config = {"auths": {HOST: {"username": private.user, "password": private.password, "auth": private.token()}}}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEAM}},
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "registry", "namespace": TEAM},
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": json.dumps(config)},
        },
    ]


def test_without_the_secret_no_pod_starts_and_it_is_said_why(private: Private) -> None:
    started = time.monotonic()
    ended = private.run("--cases", "RES-01")
    assert ended.code == 2, ended.said
    assert "ImagePullBackOff" in ended.said or "ErrImagePull" in ended.said
    assert WORLD in ended.said
    assert "Traceback" not in ended.said
    assert time.monotonic() - started < 180
    assert private.cluster.leftovers() == []


def test_with_the_secret_it_runs_and_no_report_has_the_password(private: Private) -> None:
    ended = private.run("--cases", "RES-01 POL-01 SCP-01", "--image-pull-secret", f"{TEAM}/registry")
    assert ended.code == 0, ended.said
    folder = told_folder(ended.said)
    assert folder is not None
    ledger = json.loads((folder / "ledger.json").read_text(encoding="utf-8"))
    # SCP-01 has a client in a namespace of its own.
    assert [(case["id"], case["verdict"]) for case in ledger["cases"]] == [
        (name, "passed") for name in ("POL-01", "RES-01", "SCP-01")
    ]
    words = [word.encode() for word in (private.password, private.token())]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if any(word in path.read_bytes() for word in words)] == []
    assert not any(word.decode() in ended.said for word in words)
    assert private.cluster.leftovers() == []
