"""ConfigMap istio: changed the way a person does it, put back byte for byte, and shared between workers."""

import hashlib
import threading
from pathlib import Path

import pytest
from filelock import ReadWriteLock

from egress_conformance.case import Mode
from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.mode_lease import ModeLease
from tests.unit.fakes import FakeKube

# Comments, order, quotes, blanks and no line end: nothing of it may be lost.
ORIGINAL = """# kept by hand
defaultConfig:
  discoveryAddress: 'istiod.istio-system.svc:15012'

outboundTrafficPolicy:   {mode: ALLOW_ANY}
trustDomain: "cluster.local"   """
SAVED = ("ConfigMap", "egress-conformance", "saved-mesh-config")


def config_map(name: str = "istio", mesh: str = ORIGINAL, namespace: str = "istio-system") -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"mesh": mesh, "meshNetworks": "networks: {}"},
    }


def mesh_of(kube: FakeKube, name: str = "istio") -> str:
    return str(kube.objects["ConfigMap", "istio-system", name]["data"]["mesh"])


def test_the_mode_is_changed_and_nothing_else() -> None:
    kube = FakeKube().add(config_map())
    config = MeshConfig(kube)
    before = config.parsed()
    config.set_mode(Mode.REGISTRY_ONLY)
    assert config.mode() == Mode.REGISTRY_ONLY
    assert config.parsed() == {**before, "outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}
    assert kube.objects["ConfigMap", "istio-system", "istio"]["data"]["meshNetworks"] == "networks: {}"


def test_the_original_is_kept_in_the_cluster_before_the_first_change() -> None:
    kube = FakeKube().add(config_map())
    MeshConfig(kube).set_mode(Mode.REGISTRY_ONLY)
    assert kube.did == ["apply ConfigMap egress-conformance/saved-mesh-config", "patch ConfigMap istio-system/istio"]
    assert kube.objects[SAVED]["data"] == {"name": "istio", "mesh": ORIGINAL}


def test_a_later_change_does_not_overwrite_the_original() -> None:
    kube = FakeKube().add(config_map())
    config = MeshConfig(kube)
    for mode in (Mode.REGISTRY_ONLY, Mode.ALLOW_ANY, Mode.REGISTRY_ONLY):
        config.set_mode(mode)
    assert kube.objects[SAVED]["data"]["mesh"] == ORIGINAL


def test_it_is_put_back_byte_for_byte() -> None:
    kube = FakeKube().add(config_map())
    config = MeshConfig(kube)
    config.set_mode(Mode.REGISTRY_ONLY)
    config.set_mode(Mode.ALLOW_ANY)
    # The mode is what it was; the text is not.
    assert mesh_of(kube) != ORIGINAL
    assert config.restore()
    assert mesh_of(kube) == ORIGINAL
    assert SAVED not in kube.objects
    assert not config.restore(), "there is nothing left to put back"


def test_putting_back_what_was_not_changed_changes_nothing() -> None:
    kube = FakeKube().add(config_map())
    config = MeshConfig(kube)
    config.save()
    assert not config.restore()
    assert "patch ConfigMap istio-system/istio" not in kube.did
    assert SAVED not in kube.objects


def test_without_a_saved_one_nothing_is_touched() -> None:
    kube = FakeKube().add(config_map())
    assert not MeshConfig(kube).restore()
    assert kube.did == []


def test_where_it_cannot_be_saved_it_is_not_changed() -> None:
    kube = FakeKube().add(config_map())
    kube.refuses["apply ConfigMap egress-conformance/saved-mesh-config"] = Refused(403, "no")
    with pytest.raises(Refused):
        MeshConfig(kube).set_mode(Mode.REGISTRY_ONLY)
    assert mesh_of(kube) == ORIGINAL


def test_where_it_cannot_be_put_back_the_saved_one_is_kept() -> None:
    kube = FakeKube().add(config_map())
    MeshConfig(kube).set_mode(Mode.REGISTRY_ONLY)
    kube.refuses["patch ConfigMap istio-system/istio"] = Refused(403, "no")
    with pytest.raises(PlatformTrouble, match="mesh config not restored: no"):
        MeshConfig(kube).restore()
    assert kube.objects[SAVED]["data"]["mesh"] == ORIGINAL


def test_each_revision_has_its_own_and_is_found_again_by_the_next_run() -> None:
    kube = FakeKube().add(config_map(), config_map("istio-canary"))
    MeshConfig(kube, "canary").set_mode(Mode.REGISTRY_ONLY)
    assert (mesh_of(kube), mesh_of(kube, "istio-canary") == ORIGINAL) == (ORIGINAL, False)
    # The next run may be about another revision.
    assert MeshConfig(kube).restore()
    assert mesh_of(kube, "istio-canary") == ORIGINAL


MODES = {
    "": Mode.ALLOW_ANY,
    "outboundTrafficPolicy:": Mode.ALLOW_ANY,
    "outboundTrafficPolicy: {}": Mode.ALLOW_ANY,
    "outboundTrafficPolicy: {mode: ALLOW_ANY}": Mode.ALLOW_ANY,
    "outboundTrafficPolicy: {mode: REGISTRY_ONLY}": Mode.REGISTRY_ONLY,
}


@pytest.mark.parametrize(("text", "mode"), MODES.items(), ids=[text or "empty" for text in MODES])
def test_where_nothing_is_said_any_is_allowed(text: str, mode: Mode) -> None:
    config = MeshConfig(FakeKube().add(config_map(mesh=text)))
    assert config.mode() == mode
    config.set_mode(Mode.REGISTRY_ONLY)
    assert config.mode() == Mode.REGISTRY_ONLY


@pytest.mark.parametrize("docs", [[], [{**config_map(), "data": {}}]], ids=["no ConfigMap", "no key mesh"])
def test_without_istio_the_user_is_told(docs: list[Doc]) -> None:
    with pytest.raises(UserError, match=r"no mesh config in ConfigMap istio-system/istio: install Istio"):
        MeshConfig(FakeKube().add(*docs)).mode()


def test_the_digest_is_of_the_text() -> None:
    config = MeshConfig(FakeKube().add(config_map()))
    assert config.digest() == hashlib.sha256(ORIGINAL.encode()).hexdigest()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "mode.lock"


def share(config: MeshConfig, lock: Path) -> ModeLease:
    """What a worker has, each in a process of its own: within one process the lock is one and the same."""
    lease = ModeLease(config, lock)
    lease._lock = ReadWriteLock(str(lock), is_singleton=False)
    return lease


def test_the_mesh_is_held_in_a_mode_and_left_alone_if_it_is_in_it(lock: Path) -> None:
    kube = FakeKube().add(config_map())
    config = MeshConfig(kube)
    for alone in (False, True):
        with share(config, lock).hold(Mode.ALLOW_ANY, alone=alone):
            assert config.mode() == Mode.ALLOW_ANY
    assert kube.did == []
    for alone in (False, True):
        with share(config, lock).hold(Mode.REGISTRY_ONLY, alone=alone):
            assert config.mode() == Mode.REGISTRY_ONLY
    assert kube.did.count("patch ConfigMap istio-system/istio") == 1


def test_many_hold_the_mesh_in_one_mode_but_who_flips_it_is_alone(lock: Path) -> None:
    config = MeshConfig(FakeKube().add(config_map()))
    flipping = threading.Event()

    def flip() -> None:
        with share(config, lock).hold(Mode.ALLOW_ANY, alone=True):
            flipping.set()

    flipper = threading.Thread(target=flip)
    with share(config, lock).hold(Mode.ALLOW_ANY, alone=False):
        with share(config, lock).hold(Mode.ALLOW_ANY, alone=False):
            flipper.start()
            assert not flipping.wait(0.1)
        assert not flipping.wait(0.1)
    assert flipping.wait(5)
    flipper.join()


def test_who_needs_another_mode_waits_until_nobody_needs_this_one(lock: Path) -> None:
    config = MeshConfig(FakeKube().add(config_map()))
    holding = threading.Event()
    let_go = threading.Event()

    def hold() -> None:
        with share(config, lock).hold(Mode.REGISTRY_ONLY, alone=False):
            holding.set()
            let_go.wait(5)

    other = threading.Thread(target=hold)
    with share(config, lock).hold(Mode.ALLOW_ANY, alone=False):
        other.start()
        assert not holding.wait(0.1)
        assert config.mode() == Mode.ALLOW_ANY
    assert holding.wait(5)
    assert config.parsed()["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    let_go.set()
    other.join()


def test_a_case_that_fails_lets_the_mesh_go(lock: Path) -> None:
    config = MeshConfig(FakeKube().add(config_map()))
    for alone in (False, True):
        with pytest.raises(AssertionError), share(config, lock).hold(Mode.ALLOW_ANY, alone=alone):
            raise AssertionError
    with share(config, lock).hold(Mode.REGISTRY_ONLY, alone=True):
        pass
