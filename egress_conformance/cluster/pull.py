"""Images and binaries as their makers publish them, for where an image registry answers."""

import os
import platform
import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import requests
import yaml
from rich.console import Console

from egress_conformance.cluster.cache import Store, cache_dir, key_of
from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.download import NotThere, download
from egress_conformance.cluster.engine import Engine
from egress_conformance.cluster.images import ImageSet, istio_images
from egress_conformance.cluster.progress import Steps
from egress_conformance.cluster.recipe import IMAGES
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import UserError

PULL_SECONDS = 1800
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PULLED = yaml.safe_load((IMAGES / "pulled.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Sites:
    """Where things are pulled from; each can be another, e.g. a mirror, by EGRESS_CONFORMANCE_<NAME>.

    Attributes:
        registry: the registry that is asked whether it answers.
        node_image: the image of the kind nodes.
        istio_hub: where Istio's images are.
        istio_releases: where istioctl is.
        kind_releases: where kind is.
    """

    registry: str = "https://registry-1.docker.io"
    node_image: str = _PULLED["node_image"]
    istio_hub: str = "docker.io/istio"
    istio_releases: str = "https://github.com/istio/istio/releases/download"
    kind_releases: str = "https://github.com/kubernetes-sigs/kind/releases/download"

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Sites":
        """The sites the environment names, the makers' own for the rest."""
        names = {field.name: f"EGRESS_CONFORMANCE_{field.name.upper()}" for field in fields(cls)}
        return cls(**{name: env[variable] for name, variable in names.items() if env.get(variable)})


def registry_answers(timeout: float = 3.0, sites: Sites | None = None) -> bool:
    """Whether the image registry answers in time; any answer but a server error will do.

    Args:
        timeout: seconds for all of it, looking up its name included.
        sites: where to ask.
    """
    url = f"{(sites or Sites.from_env()).registry}/v2/"
    answers = threading.Event()

    def ask() -> None:
        try:
            with requests.get(url, timeout=timeout, allow_redirects=False, stream=True) as answer:
                if answer.status_code < 500:
                    answers.set()
        except requests.RequestException:
            return  # no answer is the other result

    # requests has no time-out for the name server, which may be what does not answer.
    asking = threading.Thread(target=ask, name="registry", daemon=True)
    asking.start()
    asking.join(timeout)
    return answers.is_set()


def release_of(istio: str) -> str:
    """The release of Istio that is pulled for the version a user asks for.

    Raises:
        UserError: it is no version that could exist, or a short one that is not known.
    """
    known: dict[str, str] = _PULLED["istio"]
    if istio in known:
        return known[istio]
    if re.fullmatch(r"\d+\.\d+\.\d+(-[a-z]+\.\d+)?", istio):
        return istio
    raise UserError(f"unknown Istio version {istio}", _choose())


def pull(
    istio: str,
    engine: Engine,
    *,
    client_image: str,
    world_image: str,
    cni: bool = False,
    console: Console,
    sites: Sites | None = None,
) -> ImageSet:
    """Pull everything for one version of Istio; what is there already is left alone.

    Args:
        istio: the version as the user gave it, short or in full.
        engine: what pulls the images.
        client_image: image of the client; nobody publishes it, so it is built or given.
        world_image: image of the world, likewise.
        cni: whether Istio's CNI node agent is wanted too.
        console: where progress is told.
        sites: where to pull from.

    Raises:
        UserError: there is no such release, or something cannot be pulled.
    """
    sites = sites or Sites.from_env()
    release = release_of(istio)
    architecture = _architecture()
    store = Store(cache_dir() / "pulled")
    files = (
        _kind(store, f"{sites.kind_releases}/{versions().kind}/kind-linux-{architecture}"),
        _istioctl(store, f"{sites.istio_releases}/{release}/istioctl-{release}-linux-{architecture}.tar.gz"),
    )
    of_istio = istio_images(sites.istio_hub, release, cni=cni)
    images = (sites.node_image, *of_istio)
    missing_files = [file for file in files if not file.path.is_file()]
    missing_images = [image for image in images if engine.image_id(image) is None]
    steps = Steps(console, len(missing_files) + len(missing_images))
    for file in missing_files:
        with steps.step(f"download {file.what}", 10):
            file.get()
    for image in missing_images:
        with steps.step(f"pull {image}", 40):
            _docker_pull(engine, image)
    kind, istioctl = files
    return ImageSet(
        istio=istio,
        full_version=release,
        node_image=sites.node_image,
        kind=kind.path,
        istioctl=istioctl.path,
        hub=sites.istio_hub,
        tag=release,
        upstream_envoy=False,
        client_image=client_image,
        world_image=world_image,
        digests={image: _digest(engine, image) for image in (*images, client_image, world_image)},
        to_load=(*of_istio, client_image, world_image),
    )


@dataclass(frozen=True)
class _File:
    """A binary, and how it is had."""

    what: str
    path: Path
    get: Callable[[], object]


def _kind(store: Store, url: str) -> _File:
    key = key_of({"url": url})

    def get(directory: Path) -> None:
        download(url, directory / "kind", checksum_url=f"{url}.sha256sum")
        (directory / "kind").chmod(0o755)

    return _File(f"kind {versions().kind}", store.path("kind", key) / "kind", lambda: store.make("kind", key, get))


def _istioctl(store: Store, url: str) -> _File:
    key = key_of({"url": url})

    def get(directory: Path) -> None:
        archive = directory / "archive"
        try:
            download(url, archive, checksum_url=f"{url}.sha256")
        except NotThere as error:
            raise UserError(f"Istio has no such release ({error.problem})", _choose()) from None
        binary = directory / "istioctl"
        with tarfile.open(archive) as tar, binary.open("wb") as file:
            packed = tar.extractfile("istioctl") if "istioctl" in tar.getnames() else None
            if packed is None:
                raise UserError(f"{url} holds no istioctl", "use --images build")
            shutil.copyfileobj(packed, file)
        archive.unlink()
        binary.chmod(0o755)

    path = store.path("istioctl", key) / "istioctl"
    return _File(url.rpartition("/")[2], path, lambda: store.make("istioctl", key, get))


def _choose() -> str:
    return f"choose one of {', '.join(_PULLED['istio'])}, or a release in full, e.g. {_PULLED['istio']['1.29']}"


def _architecture() -> str:
    machine = platform.machine()
    try:
        return _ARCHITECTURES[machine]
    except KeyError:
        raise UserError(f"nobody publishes these images for {machine}", "use --images build") from None


def _docker_pull(engine: Engine, image: str) -> None:
    try:
        engine.docker("pull", "--quiet", image, seconds=PULL_SECONDS)
    except CommandFailed as failure:
        said = (failure.output.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"{image} cannot be pulled ({said})", "check the registry, or use --images build") from None


def _digest(engine: Engine, image: str) -> str:
    """The digest a registry knows an image by; of one that was never in a registry, the engine's own."""
    lines = engine.docker("image", "inspect", "--format", "{{range .RepoDigests}}{{.}} {{end}}{{.Id}}", image).split()
    return lines[0].rpartition("@")[2]
