"""Downloads and pulls against a stand-in server on loopback and an engine that is a canned answer."""

import hashlib
import io
import os
import socket
import stat
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest
import requests
import tenacity
from rich.console import Console

from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.download import download
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.images import ImageSet
from egress_conformance.cluster.pull import Sites, pull, registry_answers, release_of
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import UserError

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="names of files are those of x86_64")

CONTENT = b"a binary " * 1000
KIND = f"/kind/{versions().kind}/kind-linux-amd64"
ISTIOCTL = "/istio/1.29.1/istioctl-1.29.1-linux-amd64.tar.gz"


def checksum(content: bytes) -> bytes:
    return f"{hashlib.sha256(content).hexdigest()}  name-of-the-file\n".encode()


def archive(name: str = "istioctl", content: bytes = CONTENT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


@dataclass
class Server:
    """What the stand-in gives for each path: a body, or a function that handles the request itself."""

    address: str = ""
    files: dict[str, bytes | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def publish(self, path: str, content: bytes, ending: str) -> None:
        self.files |= {path: content, f"{path}.{ending}": checksum(content)}


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr("egress_conformance.cluster.download.TIMEOUT_SECONDS", (0.3, 0.3))
    monkeypatch.setattr("egress_conformance.cluster.download.PAUSE", tenacity.wait_none())
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            file = state.files.get(self.path)
            if file is None:
                answer(self, 404)
            elif isinstance(file, bytes):
                answer(self, 200, file)
            else:
                file(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.address = f"http://127.0.0.1:{http.server_port}"
        thread = Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield state
        http.shutdown()
        thread.join()


def get(server: Server, to: Path) -> None:
    download(f"{server.address}/file", to, checksum_url=f"{server.address}/file.sha256")


def refusal(server: Server, to: Path) -> str:
    with pytest.raises(UserError) as caught:
        get(server, to)
    assert list(to.parent.iterdir()) == []
    return str(caught.value)


def test_download_is_verified_and_put_in_place(server: Server, tmp_path: Path) -> None:
    server.publish("/file", CONTENT, "sha256")
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_download_with_bad_checksum(server: Server, tmp_path: Path) -> None:
    server.files = {"/file": CONTENT, "/file.sha256": checksum(b"something else")}
    said = refusal(server, tmp_path / "file")
    assert f"its SHA-256 is {hashlib.sha256(CONTENT).hexdigest()}, the published one is" in said
    assert said.endswith("or use --images build")


def test_download_without_checksum_in_the_checksum_file(server: Server, tmp_path: Path) -> None:
    server.files = {"/file": CONTENT, "/file.sha256": b"<html>please log in</html>"}
    assert "there is no SHA-256 in" in refusal(server, tmp_path / "file")
    assert "/file" not in server.asked


@pytest.mark.parametrize("gone", ["/file", "/file.sha256"])
def test_download_that_is_not_there_is_not_tried_again(server: Server, tmp_path: Path, gone: str) -> None:
    server.publish("/file", CONTENT, "sha256")
    del server.files[gone]
    assert refusal(server, tmp_path / "file").startswith(f"there is no {server.address}{gone}: ")
    assert server.asked.count(gone) == 1


def test_download_that_is_cut_short(server: Server, tmp_path: Path) -> None:
    server.publish("/file", CONTENT, "sha256")
    server.files["/file"] = lambda handler: answer(handler, 200, CONTENT[:100], len(CONTENT))
    assert "cannot be downloaded" in refusal(server, tmp_path / "file")
    assert server.asked.count("/file") == 3


def test_download_that_stalls(server: Server, tmp_path: Path) -> None:
    over = Event()

    def stall(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 200, CONTENT[:100], len(CONTENT))
        over.wait(10)

    server.publish("/file", CONTENT, "sha256")
    server.files["/file"] = stall
    try:
        assert "timed out" in refusal(server, tmp_path / "file")
    finally:
        over.set()


def test_download_that_drips_for_ever(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("egress_conformance.cluster.download.DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr("egress_conformance.cluster.download._CHUNK", 1)
    over = Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 200, b"", len(CONTENT))
        try:
            while not over.wait(0.05):
                handler.wfile.write(b"a")
                handler.wfile.flush()
        except OSError:
            return  # the client has had enough, as it should

    server.publish("/file", CONTENT, "sha256")
    server.files["/file"] = drip
    try:
        assert "not complete after 0 s" in refusal(server, tmp_path / "file")
    finally:
        over.set()


def test_download_from_a_server_that_recovers(server: Server, tmp_path: Path) -> None:
    server.publish("/file", CONTENT, "sha256")

    def fail_once(handler: BaseHTTPRequestHandler) -> None:
        server.files["/file"] = CONTENT
        answer(handler, 503)

    server.files["/file"] = fail_once
    get(server, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_download_goes_through_the_proxy_of_the_environment(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    server.publish("http://releases.test/file", CONTENT, "sha256")
    download("http://releases.test/file", tmp_path / "file", checksum_url="http://releases.test/file.sha256")
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "answers"), [(200, True), (401, True), (404, True), (500, False), (503, False)])
def test_registry_answers(server: Server, status: int, answers: bool) -> None:
    server.files["/v2/"] = lambda handler: answer(handler, status)
    assert registry_answers(sites=Sites(registry=server.address)) is answers
    assert server.asked == ["/v2/"]


def test_registry_that_refuses_or_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sites = Sites(registry=f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert not registry_answers(0.2, sites)
    assert not registry_answers(0.2, sites)


def test_registry_whose_name_is_looked_up_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    def look_up(*_: object, **__: object) -> None:
        over.wait(10)
        raise requests.ConnectionError("no such name")

    monkeypatch.setattr("requests.get", look_up)
    assert not registry_answers(0.1, Sites(registry="http://registry.test"))
    over.set()


def test_versions() -> None:
    assert release_of("1.29") == "1.29.1"
    assert release_of("1.30.4") == "1.30.4"
    assert release_of("1.32.0-rc.1") == "1.32.0-rc.1"


@pytest.mark.parametrize("istio", ["1.30", "latest", "1.29.1/../..", "v1.29.1", ""])
def test_unknown_version(istio: str) -> None:
    with pytest.raises(UserError, match=r"unknown Istio version .*: choose one of 1.28, 1.29, 1.31, or a release"):
        release_of(istio)


def test_every_version_that_can_be_built_can_be_pulled() -> None:
    assert all(release_of(istio).startswith(f"{istio}.") for istio in versions().istio)


def test_the_kubernetes_that_is_pulled_is_the_one_that_is_built() -> None:
    assert Sites().node_image.startswith(f"kindest/node:{versions().kubernetes}@sha256:")


def test_sites_of_the_environment() -> None:
    sites = Sites.from_env({"EGRESS_CONFORMANCE_ISTIO_HUB": "mirror.test/istio", "EGRESS_CONFORMANCE_REGISTRY": ""})
    assert sites == Sites(istio_hub="mirror.test/istio")


class Docker:
    """Stands in for the docker command; refuses commands it was not told of."""

    def __init__(self, *images: str) -> None:
        self.images = set(images)
        self.pulled: list[str] = []
        self.refuses = ""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,  # noqa: ARG002
        stdin: str | None = None,  # noqa: ARG002
        log: Path | None = None,  # noqa: ARG002
        seconds: float | None = 120,  # noqa: ARG002
    ) -> str:
        match tuple(argv):
            case ("docker", "pull", "--quiet", image):
                if image == self.refuses:
                    raise CommandFailed(argv, 1, "Error response from daemon:\nmanifest unknown\n")
                self.pulled.append(image)
                self.images.add(image)
                return image
            case ("docker", "image", "inspect", "--format", form, image):
                if image not in self.images:
                    raise CommandFailed(argv, 1, f"Error: No such image: {image}")
                local = image in {"client:1", "world:1"}
                return "sha256:id\n" if local or "RepoDigests" not in form else f"{image}@sha256:digest sha256:id\n"
        raise AssertionError(argv)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EGRESS_CONFORMANCE_CACHE", str(tmp_path))
    return tmp_path


def pull_from(server: Server, docker: Docker, istio: str = "1.29", *, cni: bool = False) -> tuple[ImageSet, str]:
    said = io.StringIO()
    sites = Sites(istio_releases=f"{server.address}/istio", kind_releases=f"{server.address}/kind")
    engine = Engine({}, "20.10", docker)
    images = pull(
        istio, engine, client_image="client:1", world_image="world:1", cni=cni, console=Console(file=said), sites=sites
    )
    return images, said.getvalue()


def test_pull_gets_everything(server: Server, cache: Path) -> None:
    server.publish(KIND, CONTENT, "sha256sum")
    server.publish(ISTIOCTL, archive(), "sha256")
    docker = Docker("client:1", "world:1")

    images, said = pull_from(server, docker)

    assert (images.istio, images.full_version, images.hub, images.tag) == (
        "1.29",
        "1.29.1",
        "docker.io/istio",
        "1.29.1",
    )
    assert not images.upstream_envoy
    for binary in (images.kind, images.istioctl):
        assert binary.read_bytes() == CONTENT
        assert stat.S_IMODE(binary.stat().st_mode) == 0o755
        assert binary.is_relative_to(cache)
        assert list(binary.parent.iterdir()) == [binary]
    assert docker.pulled == [images.node_image, "docker.io/istio/pilot:1.29.1", "docker.io/istio/proxyv2:1.29.1"]
    assert images.to_load == ("docker.io/istio/pilot:1.29.1", "docker.io/istio/proxyv2:1.29.1", "client:1", "world:1")
    assert images.digests["docker.io/istio/pilot:1.29.1"] == "sha256:digest"
    assert images.digests["client:1"] == "sha256:id"
    assert "step 5 of 5: pull docker.io/istio/proxyv2:1.29.1: done" in said


def test_the_cni_node_agent_is_pulled_when_it_is_wanted(server: Server, cache: Path) -> None:
    server.publish(KIND, CONTENT, "sha256sum")
    server.publish(ISTIOCTL, archive(), "sha256")
    docker = Docker("client:1", "world:1")
    images, _ = pull_from(server, docker, cni=True)
    assert "docker.io/istio/install-cni:1.29.1" in docker.pulled
    assert "docker.io/istio/install-cni:1.29.1" in images.to_load


def test_pull_again_asks_nobody(server: Server, cache: Path) -> None:
    server.publish(KIND, CONTENT, "sha256sum")
    server.publish(ISTIOCTL, archive(), "sha256")
    docker = Docker("client:1", "world:1")
    first, _ = pull_from(server, docker)
    server.asked.clear()
    docker.pulled.clear()

    assert pull_from(server, docker) == (first, "")
    assert (server.asked, docker.pulled) == ([], [])


def test_pull_of_a_release_that_is_not_there(server: Server, cache: Path) -> None:
    server.publish(KIND, CONTENT, "sha256sum")
    with pytest.raises(UserError, match=r"Istio has no such release \(there is no .*1\.29\.99.*: choose one of 1\.28"):
        pull_from(server, Docker("client:1", "world:1"), "1.29.99")


def test_pull_of_an_archive_without_istioctl(server: Server, cache: Path) -> None:
    server.publish(KIND, CONTENT, "sha256sum")
    server.publish(ISTIOCTL, archive("readme"), "sha256")
    with pytest.raises(UserError, match="holds no istioctl"):
        pull_from(server, Docker("client:1", "world:1"))
    assert not list(cache.glob("pulled/istioctl-*"))


def test_pull_of_an_image_the_registry_lacks(server: Server, cache: Path) -> None:
    server.publish(KIND, CONTENT, "sha256sum")
    server.publish(ISTIOCTL, archive(), "sha256")
    docker = Docker("client:1", "world:1")
    docker.refuses = "docker.io/istio/pilot:1.29.1"
    with pytest.raises(UserError, match=r"pilot:1.29.1 cannot be pulled \(manifest unknown\): check the registry"):
        pull_from(server, docker)


def test_pull_on_a_machine_nobody_publishes_for(server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(UserError, match="nobody publishes these images for riscv64"):
        pull_from(server, Docker())
    assert server.asked == []
