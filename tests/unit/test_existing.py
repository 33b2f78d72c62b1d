"""The existing provider against an API server that is a few canned answers on loopback."""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from egress_conformance.cluster.existing import RIGHTS, ExistingProvider
from egress_conformance.cluster.kubeconfig import kubeconfig_path
from egress_conformance.cluster.names import Names
from egress_conformance.errors import UserError


def istiod(revision: str, ready: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": f"istiod-{revision}", "labels": {"app": "istiod", "istio.io/rev": revision}},
        "spec": {"template": {"spec": {"containers": [{"image": f"hub/pilot:{revision}"}]}}},
        "status": {"readyReplicas": ready},
    }


@dataclass
class ApiServer:
    """What the stand-in answers; a test changes it before it asks."""

    address: str = ""
    status: int = 200
    refused: set[tuple[str, str, str]] = field(default_factory=set)
    istio_versions: list[str] = field(default_factory=lambda: ["v1", "v1beta1"])
    deployments: list[dict[str, Any]] = field(default_factory=lambda: [istiod("default"), istiod("canary")])
    asked: list[dict[str, str]] = field(default_factory=list)
    namespaces: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/version":
            return {"gitVersion": "v1.35.0"}
        if path == "/apis":
            versions = [{"version": version} for version in self.istio_versions]
            return {"groups": [{"name": "networking.istio.io", "versions": versions}] if versions else []}
        if path.startswith("/apis/apps/v1/namespaces/istio-system/deployments?labelSelector=app%3Distiod"):
            return {"items": self.deployments}
        if path.startswith("/api/v1/namespaces/istio-system/pods?labelSelector=app%3Distiod%2Cistio.io/rev%3D"):
            return {"items": [{"status": {"containerStatuses": [{"imageID": "hub/pilot@sha256:1"}]}}, {"status": {}}]}
        if path == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
            wanted = body["spec"]["resourceAttributes"]
            self.asked.append(wanted)
            resource = wanted["resource"] + ("/" + wanted["subresource"] if wanted["subresource"] else "")
            return {"status": {"allowed": (wanted["verb"], resource, wanted["namespace"]) not in self.refused}}
        if path.startswith("/api/v1/namespaces/"):
            return self.namespaces.get(path.rpartition("/")[2], {"code": 404, "message": "not found"})
        raise AssertionError(path)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    state = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def answer(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            refused: dict[str, Any] = {"message": "no", "code": state.status}
            doc = refused if state.status != 200 else state.answer(self.path, json.loads(sent or "{}"))
            answer = json.dumps(doc).encode()
            self.send_response(int(doc.get("code", 200)))
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def kubeconfig(path: Path, address: str, **top: object) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "clusters": [{"name": "c", "cluster": {"server": address}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [
                    {"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("staging", "another")
                ],
                "current-context": "staging",
                **top,
            }
        )
    )
    return path


def provider(path: Path | None, **changes: object) -> ExistingProvider:
    given: dict[str, Any] = {
        "context": None,
        "revision": None,
        "allow_mesh_changes": False,
        "client_image": "registry.test/client:1",
        "world_image": "registry.test/world:1",
        **changes,
    }
    return ExistingProvider(kubeconfig=path, **given)


def problem(of: ExistingProvider) -> str:
    with pytest.raises(UserError) as caught:
        of.up()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_finds_cluster_and_istio(api: ApiServer, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", api.address)
    before = path.read_bytes()

    cluster = provider(path).up()

    assert cluster.kubeconfig == path
    assert cluster.context == "staging"
    assert cluster.revision == ""
    assert cluster.release is None
    assert not cluster.may_change_mesh
    assert cluster.images["hub/pilot:default"] == "hub/pilot@sha256:1"
    assert path.read_bytes() == before


def test_tells_of_each_step(api: ApiServer, tmp_path: Path) -> None:
    told: list[str] = []
    provider(kubeconfig(tmp_path / "config", api.address)).examine(lambda what, _: told.append(what))
    assert told == ["kubeconfig", "API server", "rights", "Istio", "images"]


def test_takes_context_and_revision(api: ApiServer, tmp_path: Path) -> None:
    cluster = provider(kubeconfig(tmp_path / "config", api.address), context="another", revision="canary").up()
    assert (cluster.context, cluster.revision) == ("another", "canary")


def test_down_and_escaped_packets_do_nothing(tmp_path: Path) -> None:
    existing = provider(tmp_path / "nothing there")
    existing.down()
    assert existing.escaped_packets() is None


def test_kubeconfig_missing(tmp_path: Path) -> None:
    assert "nowhere cannot be read (No such file or directory)" in problem(provider(tmp_path / "nowhere"))


def test_kubeconfig_is_a_directory(tmp_path: Path) -> None:
    assert "cannot be read (Is a directory)" in problem(provider(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_kubeconfig_forbidden(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.touch(0)
    assert "Permission denied" in problem(provider(path))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [1\nb: {", "not YAML, see line 2"),
        ("\x00", "not YAML"),
        ("just text", "it lists no contexts"),
        ("contexts:", "it lists no contexts"),
        ("", "it lists no contexts"),
    ],
)
def test_kubeconfig_unreadable(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    assert why in problem(provider(path))


def test_kubeconfig_not_text(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_bytes(b"\xff\xfe\x00")
    assert "not YAML" in problem(provider(path))


def test_unknown_context_lists_those_that_exist(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1")
    said = problem(provider(path, context="production"))
    assert said.endswith("has no context production: --context NAME; it has: another, staging")


def test_no_current_context(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", **{"current-context": ""})
    assert "has no current context" in problem(provider(path))


def test_context_without_its_cluster(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://127.0.0.1:1", clusters=[])
    assert "context staging of kubeconfig" in problem(provider(path))


def test_several_kubeconfigs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/a:/b")
    with pytest.raises(UserError, match="KUBECONFIG names several files"):
        kubeconfig_path(None)


def test_default_kubeconfig(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert kubeconfig_path(None) == tmp_path / ".kube/config"
    monkeypatch.setenv("KUBECONFIG", "/a:")
    assert kubeconfig_path(None) == Path("/a")


def test_api_server_refuses_connections(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    said = problem(provider(kubeconfig(tmp_path / "config", address)))
    assert said.startswith(f"the API server at {address} cannot be reached (Failed to establish a new connection")
    assert "staging" in said


def test_api_server_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egress_conformance.cluster.kubeconfig.TIMEOUT_SECONDS", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "cannot be reached" in problem(provider(kubeconfig(tmp_path / "config", address)))


def test_unauthorized(api: ApiServer, tmp_path: Path) -> None:
    api.status = 401
    said = problem(provider(kubeconfig(tmp_path / "config", api.address)))
    assert "does not accept the credentials of context staging: log in again" in said


def test_forbidden(api: ApiServer, tmp_path: Path) -> None:
    api.status = 403
    assert "refuses context staging the first questions (no)" in problem(
        provider(kubeconfig(tmp_path / "config", api.address))
    )


def test_server_error(api: ApiServer, tmp_path: Path) -> None:
    api.status = 500
    assert "gave no usable answer (no)" in problem(provider(kubeconfig(tmp_path / "config", api.address)))


def test_every_missing_right_in_one_line(api: ApiServer, tmp_path: Path) -> None:
    api.refused = {
        ("create", "namespaces", ""),
        ("delete", "namespaces", ""),
        ("get", "pods/log", ""),
        ("get", "configmaps", "istio-system"),
    }
    assert problem(provider(kubeconfig(tmp_path / "config", api.address))) == (
        "missing rights: create delete namespaces (one for the world, one for each client); "
        "get pods/log (the access log of the client's proxy); "
        "get configmaps in istio-system (reading the mesh config): "
        "have a ClusterRole with them bound to this user"
    )


def test_mesh_wide_rights_only_when_they_are_used(api: ApiServer, tmp_path: Path) -> None:
    api.refused = {("patch", "configmaps", "istio-system")}
    path = kubeconfig(tmp_path / "config", api.address)
    provider(path).up()
    assert "patch configmaps in istio-system" in problem(provider(path, allow_mesh_changes=True))


def test_asks_for_every_right_with_its_group(api: ApiServer, tmp_path: Path) -> None:
    provider(kubeconfig(tmp_path / "config", api.address), allow_mesh_changes=True).up()
    assert len(api.asked) == sum(len(right.verbs.split()) for right in RIGHTS)
    assert {
        "group": "telemetry.istio.io",
        "resource": "telemetries",
        "subresource": "",
        "namespace": "",
        "verb": "patch",
    } in api.asked


def namespace(phase: str = "Active", **labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}, "status": {"phase": phase}}


INJECTED = {"istio-injection": "enabled"}
WORLD_AND_CLIENTS = {
    "w": namespace(),
    "c1": namespace(**{"istio.io/rev": "default"}),
    "c2": namespace(**INJECTED),
}
GIVEN = Names(("w", "c1", "c2"))


def test_namespaces_that_are_given(api: ApiServer, tmp_path: Path) -> None:
    api.namespaces = dict(WORLD_AND_CLIENTS)
    told: dict[str, str] = {}
    provider(kubeconfig(tmp_path / "config", api.address), namespaces=GIVEN).examine(told.__setitem__)
    assert told["namespaces"] == "w for the world, c1, c2 for clients"
    everywhere = {(each["resource"], each["verb"]) for each in api.asked if not each["namespace"]}
    assert everywhere == set()
    for name in GIVEN.given:
        here = {(each["resource"], each["verb"]) for each in api.asked if each["namespace"] == name}
        assert {("serviceentries", "create"), ("leases", "update"), ("namespaces", "get")} <= here
        assert {verb for resource, verb in here if resource == "namespaces"} == {"get"}
    assert {each["resource"] for each in api.asked if each["namespace"] == "kube-system"} == {"services"}


def test_a_right_that_is_missing_in_one_of_them(api: ApiServer, tmp_path: Path) -> None:
    api.namespaces, api.refused = dict(WORLD_AND_CLIENTS), {("create", "sidecars", "c2")}
    said = problem(provider(kubeconfig(tmp_path / "config", api.address), namespaces=GIVEN))
    assert said.startswith("missing rights: create sidecars.networking.istio.io in c2 (")


NOT_AS_IT_MUST_BE = {
    "not there": ("c2", None, "there is no namespace c2: make it"),
    "one that the suite made": (
        "c1",
        {"metadata": {"labels": {"app.kubernetes.io/managed-by": "istio-egress-conformance"}}},
        "namespace c1 has the label of those that the suite makes, and removes: kubectl label namespace c1",
    ),
    "on its way out": ("c1", namespace("Terminating"), "namespace c1 is Terminating"),
    "clients without sidecars": (
        "c1",
        namespace(),
        "namespace c1 gets no sidecars: kubectl label --overwrite namespace c1 istio.io/rev=default",
    ),
    "of another revision": (
        "c2",
        namespace(**{"istio.io/rev": "canary"}),
        "namespace c2 gets sidecars of revision canary",
    ),
    "a world with sidecars": (
        "w",
        namespace(**INJECTED),
        "namespace w gets sidecars of revision default: "
        "kubectl label --overwrite namespace w istio.io/rev- istio-injection=disabled",
    ),
}


@pytest.mark.parametrize(("name", "is_", "says"), NOT_AS_IT_MUST_BE.values(), ids=NOT_AS_IT_MUST_BE)
def test_a_namespace_that_is_not_as_it_must_be(
    api: ApiServer, tmp_path: Path, name: str, is_: dict[str, Any] | None, says: str
) -> None:
    api.namespaces = {each: found for each, found in {**WORLD_AND_CLIENTS, name: is_}.items() if found is not None}
    assert problem(provider(kubeconfig(tmp_path / "config", api.address), namespaces=GIVEN)).startswith(says)


def test_no_istio_crds(api: ApiServer, tmp_path: Path) -> None:
    api.istio_versions = []
    said = problem(provider(kubeconfig(tmp_path / "config", api.address)))
    assert said.startswith("there is no Istio in this cluster (no CRDs of networking.istio.io)")


def test_istio_too_old(api: ApiServer, tmp_path: Path) -> None:
    api.istio_versions = ["v1alpha3", "v1beta1"]
    said = problem(provider(kubeconfig(tmp_path / "config", api.address)))
    assert "too old (networking.istio.io is there as v1alpha3, v1beta1, not v1)" in said


def test_no_istiod(api: ApiServer, tmp_path: Path) -> None:
    api.deployments = []
    assert "no istiod in namespace istio-system" in problem(provider(kubeconfig(tmp_path / "config", api.address)))


def test_unknown_revision_lists_those_that_exist(api: ApiServer, tmp_path: Path) -> None:
    said = problem(provider(kubeconfig(tmp_path / "config", api.address), revision="v1-30"))
    assert said == "there is no revision v1-30 of Istio in this cluster: --revision NAME; it has: canary, default"


def test_istiod_not_ready(api: ApiServer, tmp_path: Path) -> None:
    api.deployments = [istiod("default", ready=0)]
    assert "istiod of revision default is not ready" in problem(provider(kubeconfig(tmp_path / "config", api.address)))


def test_images_are_asked_for(api: ApiServer, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", api.address)
    assert "needs --client-image and --world-image" in problem(provider(path, client_image="", world_image=""))
    assert "needs --world-image: build" in problem(provider(path, world_image=""))
