"""The mesh as a case sees it: what it applies is marked, recorded, and gone when it leaves."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from egress_conformance.case import Case, Mode, Requirement
from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from egress_conformance.waiting import UNDO_SECONDS
from tests.unit.fakes import Clock, FakeKube

TWO = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: first
  labels: {app: x}
spec: {hosts: ["${host}"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: second
  namespace: ${namespace}-other
spec: {hosts: ["${host}"]}
"""
CONFIG_MAP: Doc = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "istio", "namespace": "istio-system"},
    "data": {"mesh": "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
}
FIRST, SECOND = "ServiceEntry ns/first", "VirtualService ns-other/second"


class View(Proxy):
    """A proxy of which only its view can be asked for."""

    def __init__(self, kind: str = "envoy") -> None:
        self.kind = kind
        self.asked: list[list[str]] = []

    def view(self, hosts: Iterable[str]) -> str:
        self.asked.append(list(hosts))
        return "what the proxy knows"

    def _admin(self, path: str) -> str:
        if path == "/server_info":
            return '{"version": "x/1.39.3/Clean"}'
        assert path == "/config_dump?resource=bootstrap"
        return '"istio.stats"' if self.kind == "istio-proxy" else "{}"


@pytest.fixture
def kube() -> FakeKube:
    return FakeKube().add(CONFIG_MAP)


Make = Callable[..., Mesh]


@pytest.fixture
def make(kube: FakeKube, tmp_path: Path) -> Make:
    (tmp_path / "area").mkdir()
    (tmp_path / "area" / "two.yaml").write_text(TWO)

    def make(*, flips: bool = False, proxy: Proxy | None = None, withheld: bool = False) -> Mesh:
        case = Case("TST-01", "x", Mode.REGISTRY_ONLY, flips, (), "t", "It MUST be so.")
        recorder = Recorder(withheld=withheld)
        return Mesh(kube, MeshConfig(kube), "ns", "r1", tmp_path, case, proxy or View(), recorder)

    return make


def test_what_is_applied_is_marked_as_this_runs_and_lies_in_the_clients_namespace(make: Make, kube: FakeKube) -> None:
    with make().apply("area/two.yaml", host="a.test"):
        first = kube.objects["ServiceEntry", "ns", "first"]
        second = kube.objects["VirtualService", "ns-other", "second"]
    ours = {"app.kubernetes.io/managed-by": "istio-egress-conformance", "egress-conformance/run": "r1"}
    assert first["metadata"]["labels"] == {"app": "x", **ours}
    assert second["metadata"]["labels"] == ours
    assert first["spec"] == {"hosts": ["a.test"]}


def test_what_was_applied_is_deleted_the_last_first(make: Make, kube: FakeKube) -> None:
    with make().apply("area/two.yaml", host="a.test"):
        assert kube.did == [f"apply {FIRST}", f"apply {SECOND}"]
    assert kube.did[2:] == [f"delete {SECOND}", f"delete {FIRST}"]
    assert list(kube.objects) == [("ConfigMap", "istio-system", "istio")]


def test_what_was_applied_can_be_read_with_what_the_cluster_made_of_it(make: Make, kube: FakeKube) -> None:
    mesh = make()
    with mesh.apply("area/two.yaml", host="a.test") as (first, _):
        kube.objects["ServiceEntry", "ns", "first"]["status"] = {"addresses": []}
        assert mesh.read(first)["status"] == {"addresses": []}
    assert mesh.read(first) == {}


@pytest.mark.parametrize("error", [RuntimeError, AssertionError, KeyboardInterrupt])
def test_it_is_deleted_however_the_case_ends(make: Make, kube: FakeKube, error: type[BaseException]) -> None:
    with pytest.raises(error), make().apply("area/two.yaml", host="a.test"):
        raise error
    assert kube.did[2:] == [f"delete {SECOND}", f"delete {FIRST}"]


def test_where_the_second_is_refused_the_first_is_taken_back(make: Make, kube: FakeKube) -> None:
    kube.refuses[f"apply {SECOND}"] = Refused(400, "admission webhook: no")
    mesh = make()
    with pytest.raises(Refused, match="no"), mesh.apply("area/two.yaml", host="a.test"):
        raise AssertionError
    assert kube.did[2:] == [f"delete {SECOND}", f"delete {FIRST}"]
    # It was never in place: what is checked afterwards is still a control before it.
    with mesh.recorder.check("x", "y") as draft:  # type: ignore[arg-type]
        assert draft.role == "control before"


def test_what_does_not_go_is_the_platforms_trouble(make: Make, kube: FakeKube) -> None:
    kube.keeps.add(FIRST)
    left = pytest.raises(PlatformTrouble, match=f"leftover: {FIRST} is still there after its deletion")
    with left, make().apply("area/two.yaml", host="a.test"):
        pass


class Away(FakeKube):
    """An API server that is away for some deletions and patches."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def _do(self, what: str) -> None:
        if what.startswith(("delete", "patch")) and self.times:
            self.times -= 1
            raise PlatformTrouble("API server away", f"{what}: refused")
        super()._do(what)


def away(make: Make, kube: FakeKube, times: int, *, flips: bool = False) -> Mesh:
    mesh = make(flips=flips)
    mesh.kube = Away(times).add(CONFIG_MAP)
    mesh.config = MeshConfig(mesh.kube)
    return mesh


def test_what_was_applied_is_deleted_even_if_the_api_server_is_away_for_a_while(
    make: Make, kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock().install(monkeypatch)
    mesh = away(make, kube, 9)
    with mesh.apply("area/two.yaml", host="a.test"):
        pass
    assert clock.now == 1000 + 9 * 0.5
    assert isinstance(mesh.kube, FakeKube)
    assert list(mesh.kube.objects) == [("ConfigMap", "istio-system", "istio")]


def test_the_mode_is_flipped_back_even_if_the_api_server_is_away_for_a_while(
    make: Make, kube: FakeKube, monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock().install(monkeypatch)
    mesh = away(make, kube, 0, flips=True)
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        assert isinstance(mesh.kube, Away)
        mesh.kube.times = 5
    assert mesh.config.mode() == Mode.REGISTRY_ONLY


def test_an_api_server_that_stays_away_is_told(make: Make, kube: FakeKube, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock().install(monkeypatch)
    trouble = pytest.raises(PlatformTrouble, match=f"API server away: delete {SECOND}: refused")
    with trouble, away(make, kube, 10_000).apply("area/two.yaml", host="a.test"):
        pass
    assert clock.now == pytest.approx(1000 + UNDO_SECONDS, abs=1)


def test_what_is_applied_is_reported_as_it_was_sent(make: Make) -> None:
    mesh = make()
    with mesh.given("area/two.yaml", host="a.test"):
        pass
    (text,) = mesh.recorder.applied
    assert text.startswith("# area/two.yaml\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\n")
    assert "egress-conformance/run: r1" in text
    assert "${" not in text


def role(mesh: Mesh) -> str:
    with mesh.recorder.check("x", "y") as draft:  # type: ignore[arg-type]
        return draft.role


def test_what_is_applied_is_the_subject_and_what_is_given_is_not(make: Make) -> None:
    mesh = make()
    with mesh.given("area/two.yaml", host="a.test"):
        assert role(mesh) == "control before"
        with mesh.apply("area/two.yaml", host="a.test"):
            assert role(mesh) == "subject"
        assert role(mesh) == "control after"


def test_a_manifest_that_lacks_a_value_changes_nothing(make: Make, kube: FakeKube) -> None:
    with pytest.raises(UserError, match=r"has the placeholder \$\{host\}"), make().apply("area/two.yaml"):
        raise AssertionError
    assert kube.did == []


def test_an_assertion_of_the_cases_own_shows_the_proxys_view_while_it_is_there(make: Make, kube: FakeKube) -> None:
    proxy = View()
    mesh = make(proxy=proxy)
    mesh.recorder.hosts += ["a.test", "b.test", "a.test"]
    with pytest.raises(AssertionError), mesh.apply("area/two.yaml", host="a.test"):
        raise AssertionError
    assert mesh.recorder.evidence == {"the proxy's view": "what the proxy knows"}
    assert proxy.asked == [["a.test", "b.test"]]


def test_the_view_a_failed_check_took_is_kept(make: Make) -> None:
    proxy = View()
    mesh = make(proxy=proxy)
    mesh.recorder.evidence["the proxy's view"] = "earlier"
    with pytest.raises(AssertionError), mesh.apply("area/two.yaml", host="a.test"):
        raise AssertionError
    assert mesh.recorder.evidence == {"the proxy's view": "earlier"}
    assert proxy.asked == []


def test_the_mode_is_flipped_and_flipped_back(make: Make) -> None:
    mesh = make(flips=True)
    with mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        assert mesh.config.mode() == Mode.ALLOW_ANY
        assert role(mesh) == "subject"
        with mesh.outbound_traffic_policy(Mode.REGISTRY_ONLY):
            assert mesh.config.mode() == Mode.REGISTRY_ONLY
        assert mesh.config.mode() == Mode.ALLOW_ANY
    assert mesh.config.mode() == Mode.REGISTRY_ONLY
    assert mesh.recorder.applied[0] == "# ConfigMap istio-system/istio\noutboundTrafficPolicy: {mode: ALLOW_ANY}\n"


def test_the_mode_is_flipped_back_when_the_case_fails(make: Make) -> None:
    mesh = make(flips=True)
    with pytest.raises(AssertionError), mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        raise AssertionError
    assert mesh.config.mode() == Mode.REGISTRY_ONLY


def test_only_a_case_that_says_so_may_flip_the_mode(make: Make, kube: FakeKube) -> None:
    refused = pytest.raises(ValueError, match=r"TST-01 flips the mesh's mode: declare it with @case\(")
    with refused, make().outbound_traffic_policy(Mode.ALLOW_ANY):
        raise AssertionError
    assert kube.did == []


def test_withheld_the_subject_is_not_there_but_all_else_is(make: Make, kube: FakeKube) -> None:
    mesh = make(flips=True, withheld=True)
    with mesh.apply("area/two.yaml", host="a.test") as docs, mesh.outbound_traffic_policy(Mode.ALLOW_ANY):
        assert [doc["metadata"]["name"] for doc in docs] == ["first", "second"]
        assert role(mesh) == "subject"
        assert kube.did == []
    assert mesh.config.mode() == Mode.REGISTRY_ONLY
    with mesh.given("area/two.yaml", host="a.test"):
        assert kube.did == [f"apply {FIRST}", f"apply {SECOND}"]


def test_withheld_a_manifest_must_still_be_sound(make: Make) -> None:
    with pytest.raises(UserError), make(withheld=True).apply("area/two.yaml"):
        raise AssertionError


def test_an_emulation_stands_in_where_another_build_runs(make: Make, kube: FakeKube) -> None:
    mesh = make(proxy=View("envoy"))
    with mesh.emulating("area/two.yaml", host="a.test"):
        assert kube.did == [f"apply {FIRST}", f"apply {SECOND}"]
        assert role(mesh) == "control before"
    assert mesh.recorder.emulated


def test_nothing_is_emulated_where_istios_own_build_runs(make: Make, kube: FakeKube) -> None:
    mesh = make(proxy=View("istio-proxy"))
    with mesh.emulating("area/two.yaml", host="a.test"):
        assert kube.did == []
    assert not mesh.recorder.emulated


def pod(namespace: str, app: str, uid: str, *started: str, revision: str = "default") -> Doc:
    states: list[Doc] = [{"state": {"running": {"startedAt": each}} if each else {"waiting": {}}} for each in started]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": namespace, "name": uid, "uid": uid, "labels": {"app": app, "istio.io/rev": revision}},
        "status": {"containerStatuses": states},
    }


def test_starts_tell_when_a_container_was_restarted(make: Make, kube: FakeKube) -> None:
    mesh = make()
    kube.add(pod("istio-system", "istiod", "i", "10:00"), pod("ns", "client", "c", "10:01", "10:02"))
    kube.add(pod("elsewhere", "client", "other", "9:00"))
    # A second Istio of another case is on its way out.
    kube.add(pod("istio-system", "istiod", "second", "", revision="second"))
    before = mesh.starts()
    assert before == {"i": ["10:00"], "c": ["10:01", "10:02"]}
    kube.add(pod("ns", "client", "c", "10:01", ""))
    assert mesh.starts() == {"i": ["10:00"], "c": ["10:01", "None"]}


def test_what_is_admitted_is_seen_to_be_stored_and_is_gone_afterwards(make: Make, kube: FakeKube) -> None:
    mesh = make()
    mesh.admits("area/two.yaml", host="a.test")
    assert kube.did == [f"apply {FIRST}", f"apply {SECOND}", f"delete {SECOND}", f"delete {FIRST}"]
    (check,) = mesh.recorder.checks
    assert (check.role, check.held, check.expected) == ("subject", True, "area/two.yaml is admitted and stored")


def test_what_must_be_admitted_and_is_refused_fails_with_the_refusal(make: Make, kube: FakeKube) -> None:
    kube.refuses[f"apply {SECOND}"] = Refused(400, "admission webhook: no")
    mesh = make()
    with pytest.raises(CheckFailed, match="is admitted and stored; but: refused: admission webhook: no"):
        mesh.admits("area/two.yaml", host="a.test")
    assert kube.did[2:] == [f"delete {SECOND}", f"delete {FIRST}"]
    assert mesh.recorder.failed_in_subject


def test_withheld_nothing_is_stored_so_that_it_cannot_pass_for_admitted(make: Make, kube: FakeKube) -> None:
    mesh = make(withheld=True)
    with pytest.raises(CheckFailed, match=f"not stored: {FIRST}, {SECOND}"):
        mesh.admits("area/two.yaml", host="a.test")
    assert kube.did == []
    assert mesh.recorder.failed_in_subject


def test_a_folder_of_manifests_is_named_file_by_file(make: Make) -> None:
    assert make().folder("area") == ["area/two.yaml"]


def test_a_further_namespace_is_the_runs_and_stays(make: Make, kube: FakeKube) -> None:
    assert make().further_namespace("a") == "ns-a"
    assert kube.did == ["apply Namespace ns-a"]
    labels = kube.objects["Namespace", "", "ns-a"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/managed-by": "istio-egress-conformance", "egress-conformance/run": "r1"}


MANY = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: ${name}
spec: {hosts: ["${host}"]}
"""
ROWS = [{"name": f"e{number}", "host": f"{number}.test"} for number in range(3)]


def test_many_resources_of_one_manifest_are_the_subject_together(make: Make, kube: FakeKube, tmp_path: Path) -> None:
    (tmp_path / "area" / "many.yaml").write_text(MANY)
    mesh = make()
    with mesh.apply_many("area/many.yaml", ROWS):
        assert role(mesh) == "subject"
        assert kube.objects["ServiceEntry", "ns", "e2"]["spec"] == {"hosts": ["2.test"]}
        assert len(kube.objects) == 4
    assert len(kube.objects) == 1
    assert mesh.recorder.applied[0].startswith("# area/many.yaml, 3 times; the first:\napiVersion: ")


def test_withheld_there_is_none_of_many(make: Make, kube: FakeKube, tmp_path: Path) -> None:
    (tmp_path / "area" / "many.yaml").write_text(MANY)
    mesh = make(withheld=True)
    with mesh.apply_many("area/many.yaml", ROWS):
        assert role(mesh) == "subject"
    assert kube.did == []


def test_only_a_case_that_says_so_may_stop_istiod(make: Make, kube: FakeKube) -> None:
    refused = pytest.raises(ValueError, match=r"TST-01 stops istiod: declare it with @case\(")
    with refused, make().without_istiod():
        raise AssertionError
    assert kube.did == []


def test_withheld_istiod_stays(make: Make, kube: FakeKube) -> None:
    mesh = make(flips=True, withheld=True)
    with mesh.without_istiod():
        assert role(mesh) == "subject"
    assert kube.did == []


def test_requirements_read_as_reasons() -> None:
    assert all(str(need).startswith("needs ") for need in Requirement)
