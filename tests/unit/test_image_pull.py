"""Client and world from a registry that asks who pulls."""
# ruff: noqa: ARG002  (a stand-in takes what the real one takes)

import base64

import pytest

from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import UserError
from egress_conformance.traffic.pods import ClientPods, client_doc
from egress_conformance.world.image_pull import KEY, NOTHING, TYPE, image_pull
from egress_conformance.world.pods import make_world
from tests.unit.fakes import FakeKube
from tests.unit.test_client_pods import VALUES
from tests.unit.test_world import DNS_SERVICE

CONFIG = base64.b64encode(b'{"auths": {"registry.example": {"auth": "eDp5"}}}').decode()
NAMED = [{"name": "image-pull"}]


def secret(**changes: object) -> Doc:
    metadata = {"name": "pull", "namespace": "team"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": TYPE, "data": {KEY: CONFIG}, **changes}


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube().add(secret(), DNS_SERVICE)


def test_the_world_is_pulled_with_a_copy(kube: FakeKube) -> None:
    make_world(kube, "ns", "world:1", image_pull(kube, "team/pull"))
    assert kube.did[0] == "apply Secret ns/image-pull"
    assert kube.objects["Secret", "ns", "image-pull"]["data"] == {KEY: CONFIG}
    pods = [doc for (kind, _, _), doc in kube.objects.items() if kind == "Pod"]
    assert [doc["spec"]["imagePullSecrets"] for doc in pods] == [NAMED] * 4


def test_so_is_the_client_in_each_namespace(kube: FakeKube) -> None:
    class NoWait(ClientPods):
        def _wait(self, doc: Doc) -> None:  # type: ignore[override]
            return None

    pods = NoWait(kube, {**VALUES, **image_pull(kube, "team/pull")})
    pods.ready("one")
    assert kube.objects["Secret", "one", "image-pull"]["type"] == TYPE
    assert kube.objects["Pod", "one", "client"]["spec"]["imagePullSecrets"] == NAMED
    # The namespace before what is in it, the Secret before the pod.
    order = [kube.did.index(f"apply {what}") for what in ("Namespace one", "Secret one/image-pull", "Pod one/client")]
    assert order == sorted(order)


def test_without_one_nothing_is_copied(kube: FakeKube) -> None:
    assert image_pull(kube, "") is NOTHING
    make_world(kube, "ns", "world:1")
    assert ("Secret", "ns", "image-pull") not in kube.objects
    assert kube.objects["Pod", "ns", "alpha"]["spec"]["imagePullSecrets"] == []
    assert client_doc({**VALUES, "namespace": "ns"}, None)["spec"]["imagePullSecrets"] == []


@pytest.mark.parametrize("name", ["team/none", "pull", "other/pull", "team/"])
def test_a_secret_that_is_not_there(kube: FakeKube, name: str) -> None:
    with pytest.raises(UserError, match=f"there is no Secret {name} of type {TYPE}: name one as NAMESPACE/NAME"):
        image_pull(kube, name)


@pytest.mark.parametrize("changes", [{"type": "Opaque"}, {"data": {}}])
def test_a_secret_of_another_type(changes: dict[str, object]) -> None:
    with pytest.raises(UserError, match="there is no Secret team/pull"):
        image_pull(FakeKube().add(secret(**changes)), "team/pull")
