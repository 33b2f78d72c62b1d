"""The suite's namespaces: made and removed whole, or given, and then only what is ours is removed from them."""

import ast
import re

import pytest

from egress_conformance import platform as platform_module
from egress_conformance.cluster.kube import Doc
from egress_conformance.cluster.names import Names
from egress_conformance.errors import PlatformTrouble, Timeout, UserError
from egress_conformance.mesh import install
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.namespaces import PUT_THERE, Given, Made, namespaces
from egress_conformance.options import Options
from egress_conformance.platform import Platform, PlatformInfo
from tests.unit.fakes import SUITE, Clock, FakeKube
from tests.unit.test_board import PATH, Leases
from tests.unit.test_mesh_config import config_map
from tests.unit.test_party import Existing

OURS = {"app.kubernetes.io/managed-by": "istio-egress-conformance"}
NAMES = Names(("w", "c1", "c2"))


def doc(kind: str, namespace: str, name: str, api: str = "v1", labels: dict[str, str] | None = None) -> Doc:
    metadata = {"namespace": namespace, "name": name, "labels": labels or {}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "status": {"phase": "Active"}}


def namespace(name: str, phase: str = "Active", **labels: str) -> Doc:
    made = doc("Namespace", "", name, labels={**OURS, **labels})
    return {**made, "status": {"phase": phase}}


def test_without_a_word_they_are_made() -> None:
    names = Names.parse(None)
    assert (names.own, names.clients) == ("egress-conformance", ())
    assert names.of_worker("r1", "", "gw3") == "egress-r1-gw3"
    assert names.of_worker("r1", "s1ab", "main") == "egress-r1-s1ab-main"
    assert isinstance(namespaces(FakeKube(), names), Made)


def test_the_first_is_the_worlds_and_each_worker_has_one_of_the_others() -> None:
    names = Names.parse("w,c1,c2")
    assert (names.own, names.clients) == ("w", ("c1", "c2"))
    assert [names.of_worker("r1", "", worker) for worker in ("main", "gw0", "gw1")] == ["c1", "c1", "c2"]
    assert isinstance(namespaces(FakeKube(), names), Given)


def test_a_worker_in_the_place_of_one_that_crashed_takes_nobody_elses() -> None:
    with pytest.raises(PlatformTrouble, match="2 were given, and none is left for gw2"):
        NAMES.of_worker("r1", "", "gw2")


@pytest.mark.parametrize("typed", ["", "w", "w,", "w,,c", "w,c,c", "w,w"])
def test_there_must_be_one_for_the_world_and_others_for_clients(typed: str) -> None:
    with pytest.raises(UserError, match="--namespaces egress-world,egress-client-1"):
        Names.parse(typed)


def test_made_ones_are_found_by_their_labels_and_removed_whole() -> None:
    run = {"egress-conformance/run": "r1"}
    kube = FakeKube().add(
        namespace("egress-conformance"),
        namespace("egress-r1-gw0", **run),
        namespace("egress-r1-s2-gw0", **run),
        namespace("egress-r0-gw0", "Terminating", **{"egress-conformance/run": "r0"}),
        doc("Namespace", "", "somebody-elses", labels=run),
    )
    made = Made(kube)
    assert made.left() == ["egress-r1-gw0", "egress-r1-s2-gw0"]
    assert made.of_run("r1", "s2") == ["egress-r1-s2-gw0"]
    made.remove(made.of_run("r1"))
    made.remove_own()
    assert kube.did == [
        f"delete Namespace {name}" for name in ("egress-r1-gw0", "egress-r1-s2-gw0", "egress-conformance")
    ]


def inhabited() -> FakeKube:
    return FakeKube().add(
        doc("Pod", "c1", "client", labels=OURS),
        doc("Pod", "c1", "theirs"),
        doc("Telemetry", "c1", "access-log", "telemetry.istio.io/v1", OURS),
        doc("ConfigMap", "c1", "istio-ca-root-cert"),
        doc("Pod", "w", "alpha", labels=OURS),
        doc("Pod", "elsewhere", "client", labels=OURS),
    )


def test_from_given_ones_only_what_is_ours_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().install(monkeypatch)
    kube = inhabited()
    given = Given(kube, NAMES)
    given.have_own()
    assert given.left() == ["c1"]
    assert given.of_run("r1") == ["c1", "c2"]
    given.remove(given.of_run("r1"))
    assert kube.did == ["delete Pod c1/client", "delete Telemetry c1/access-log"]
    assert (given.left(), given.ours("w")) == ([], ["Pod w/alpha"])
    given.remove_own()
    assert given.ours("w") == []
    assert {key[1:] for key in kube.objects} == {
        ("c1", "theirs"),
        ("c1", "istio-ca-root-cert"),
        ("elsewhere", "client"),
    }


def test_pods_are_waited_for_until_they_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().install(monkeypatch)
    kube = inhabited()
    kube.keeps = {"Pod c1/client"}
    with pytest.raises(Timeout, match="pods to go; last seen: Pod c1/client"):
        Given(kube, NAMES).remove(["c1"])


@pytest.mark.parametrize(
    "name", ["client-namespace", "client", "world", "world-server", "image-pull", "world-namespace"]
)
def test_all_that_is_put_there_is_known_as_ours(name: str) -> None:
    path = ROOT / f"platform/{name}.yaml"
    values = dict.fromkeys(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")), "[]")
    for each in fill(path, values):
        assert each["metadata"]["labels"].items() >= OURS.items(), each["metadata"]["name"]
        assert (each["apiVersion"], each["kind"]) in {*PUT_THERE, ("v1", "Namespace")}


def test_what_cases_put_there_is_looked_for() -> None:
    kinds = {kind for _, kind in PUT_THERE} | {"IstioOperator"}  # that one is for istioctl
    for path in ROOT.rglob("*.yaml"):
        if path.parent.name not in {"platform", "upgrade"}:
            assert {*re.findall(r"^kind: (\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE)} <= kinds, path.name


def test_a_case_that_needs_a_further_namespace_says_so() -> None:
    asks = re.compile(r"elsewhere=True|\.further_namespace\(|quiet_client\(")
    needing = set()
    for path in (SUITE / "suites").rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        for function in ast.parse(text).body:
            if isinstance(function, ast.FunctionDef) and asks.search(ast.get_source_segment(text, function) or ""):
                declared = " ".join(ast.unparse(each) for each in function.decorator_list)
                assert "Requirement.NAMESPACES" in declared or "case(" not in declared, function.name
                needing.add(function.name)
    assert {"test_private_entry", "test_quiet_sidecar", "test_namespace_is_excluded"} <= needing


def test_a_run_in_given_namespaces_makes_none_and_empties_them(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock().install(monkeypatch)
    kube = Leases()
    kube.add(config_map(), doc("Pod", "c1", "left", labels=OURS), doc("Pod", "c1", "theirs"))
    path = PATH.replace("/ns/", "/w/")
    kube.raws[f"POST {path}"] = kube._create
    monkeypatch.setattr(kube, "version", lambda: "v1.35.0", raising=False)
    for name, stands_in in (
        ("make_provider", lambda _: Existing()),
        ("Kube", lambda *_: kube),
        ("make_world", lambda kube, where, *_: kube.add(doc("Pod", where, "alpha", labels=OURS))),
        ("wait_for_pods", lambda *_: None),
    ):
        monkeypatch.setattr(platform_module, name, stands_in)
    monkeypatch.setattr(install, "installed", lambda *_: "1.31.0")
    said: list[str] = []
    platform = Platform(Options(provider="existing", namespaces="w,c1,c2"), said.append)
    info = PlatformInfo.load(platform.up().dump())
    assert said == ["removing what an earlier run left: namespaces c1"]
    assert (info.names, info.names.of_run(info.run)) == (NAMES, ("c1", "c2"))
    assert {("Lease", "w", "run"), ("Secret", "w", "world-ca"), ("Pod", "w", "alpha")} <= kube.objects.keys()
    kube.add(doc("Pod", "c2", "client", labels=OURS))
    platform.finish()
    assert {key for key in kube.objects if key[1] in NAMES.given} == {("Pod", "c1", "theirs")}
    assert not [what for what in kube.did if "Namespace" in what]


def test_they_are_for_an_existing_cluster_and_not_for_shards_that_share_it() -> None:
    with pytest.raises(UserError, match="--namespaces is for an existing cluster"):
        Platform(Options(namespaces="w,c1"), print)
    with pytest.raises(UserError, match="--join cannot be had with --namespaces"):
        Platform(Options(provider="existing", namespaces="w,c1", shard="1/2", join="nightly"), print)
