"""Pod Security "restricted" for the client, which with istio-cni is possible, and with istio-init is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from egress_conformance.cluster.kind import KindProvider
from egress_conformance.cluster.kube import Doc
from egress_conformance.options import Options
from tests.cluster.conftest import Found, brought_up, command, write_suite

GIVEN = ("egress-secure-world", "egress-secure-client")
LEVEL = "pod-security.kubernetes.io/enforce"

LOOKS = '''\
import pathlib

from egress_conformance.case import case


@case("MINE-01", source="a test")
def test_look(mesh, client, world):
    """A client MUST reach what is registered."""
    namespace = client.kube.get("v1", "Namespace", client.namespace)
    pod = client.kube.get("v1", "Pod", client.pod, client.namespace)
    injected = [container["name"] for container in pod["spec"].get("initContainers", [])]
    words = [namespace["metadata"]["labels"]["{level}"], *injected]
    pathlib.Path("{folder}/seen").write_text(" ".join(words))
    site = world.site()
    with mesh.apply("entry.yaml", host=site.host):
        client.get(site.url()).reaches(site, cluster=f"outbound|80||{{site.host}}")
'''


def namespaces() -> list[Doc]:
    """One for the world and one for a client, as an administrator makes them who wants both restricted."""
    labels: list[dict[str, str]] = [{"istio-injection": "disabled"}, {"istio.io/rev": "default"}]
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**each, LEVEL: "restricted"}}}
        for name, each in zip(GIVEN, labels, strict=True)
    ]


@pytest.fixture(scope="module")
def with_cni() -> Iterator[Found]:
    """A cluster whose Istio has its CNI node agent, removed at the end."""
    with brought_up(Options(istio_cni=True, wait=True)) as found:
        yield found
    KindProvider(istio_cni=True, install=False).down()


def look(found: Found, folder: Path, *options: str) -> list[str]:
    """What the client's namespace enforces, and the init containers of the client."""
    write_suite(folder, LOOKS.format(folder=folder, level=LEVEL))
    ended = command("run", *options, "-n", "1", str(folder / "suites"))
    assert ended.code == 0, ended.said
    assert found.leftovers() == []
    return (folder / "seen").read_text().split()


def test_with_istio_cni_the_client_s_namespace_enforces_restricted(with_cni: Found, tmp_path: Path) -> None:
    level, *injected = look(with_cni, tmp_path, "--istio-cni")
    assert level == "restricted"
    assert "istio-init" not in injected
    assert "istio-validation" in injected


def test_with_istio_init_it_must_be_privileged(cluster: Found, tmp_path: Path) -> None:
    level, *injected = look(cluster, tmp_path)
    assert level == "privileged"
    assert "istio-init" in injected


def given(found: Found) -> Iterator[list[str]]:
    docs = namespaces()
    for doc in docs:
        found.kube.apply(doc)
    yield [*found.existing(), "--namespaces", ",".join(GIVEN)]
    for doc in docs:
        found.kube.delete(doc)


@pytest.fixture
def restricted_with_cni(with_cni: Found) -> Iterator[list[str]]:
    yield from given(with_cni)


@pytest.fixture
def restricted_with_init(cluster: Found) -> Iterator[list[str]]:
    yield from given(cluster)


def test_given_namespaces_may_be_restricted_with_istio_cni(restricted_with_cni: list[str]) -> None:
    ended = command("run", *restricted_with_cni, "-n", "1", "--cases", "RES-01 POL-01")
    assert ended.code == 0, ended.said
    assert "2 passed" in ended.said


def test_given_namespaces_must_not_be_with_istio_init(restricted_with_init: list[str]) -> None:
    ended = command("run", *restricted_with_init, "-n", "1", "--cases", "RES-01")
    assert ended.code != 0, ended.said
    assert "Traceback" not in ended.said
    assert "violates PodSecurity" in ended.said
