"""A Kubernetes of our own: one kind cluster for each version of Istio, kept for the next run and made anew at need."""

import json
import re
import shutil
from dataclasses import asdict, dataclass
from typing import Any

import yaml
from rich.console import Console

from egress_conformance.cluster.cache import cache_dir, held, key_of
from egress_conformance.cluster.commands import CommandFailed
from egress_conformance.cluster.engine import Engine, engine_that_answers, ensure_engine
from egress_conformance.cluster.images import ImageSet
from egress_conformance.cluster.kube import Kube
from egress_conformance.cluster.lease import OWN_NAMESPACE, refuse_taken
from egress_conformance.cluster.node import FILES, Node, connect
from egress_conformance.cluster.provider import Cluster, IstioRelease
from egress_conformance.cluster.source import source_of
from egress_conformance.cluster.versions import versions
from egress_conformance.errors import PlatformTrouble, UserError

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
CREATE_SECONDS = 300


@dataclass(frozen=True)
class Record:
    """What is written down of a cluster before it is made, and again when it is up: how we know that it is ours.

    Attributes:
        base: what its nodes were made of, less the images that can be loaded while they run.
        config: digest of the kind config it was made with.
        containers: the ids of its nodes; none while it is being made.
    """

    base: str
    config: str = ""
    containers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Container:
    """A node as the engine sees it."""

    id: str
    name: str
    state: str


class KindProvider:
    """Makes kind clusters; see `Provider`.

    Args:
        istio: version of Istio the cluster is for, the newest by default.
        images: "pull", "build", or "auto": pull where a registry answers, else build.
        install: whether Debian packages (a container engine, build tools) may be installed.
        fresh: make the cluster anew even if it is up.
        name: name of the cluster, instead of one made of the version.
        revision: the revision of Istio to use, "" for the default one.
        nodes: how many; with more than one the first is the control plane's alone.
        istio_cni: whether Istio is installed with its CNI node agent; not for a revision.
        console: where progress is shown.
    """

    name = "kind"

    def __init__(
        self,
        *,
        istio: str | None = None,
        images: str = "auto",
        install: bool = True,
        fresh: bool = False,
        name: str | None = None,
        revision: str = "",
        nodes: int = 1,
        istio_cni: bool = False,
        console: Console | None = None,
    ) -> None:
        if name is not None and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            raise UserError(
                f"{name!r} is no name for a kind cluster", "use up to 41 lower-case letters, digits and hyphens"
            )
        if istio_cni and revision:
            raise UserError("--istio-cni is for the default revision", "leave --revision out")
        self.istio = istio or versions().newest
        self.images = images
        self.install = install
        self.fresh = fresh
        self.revision = revision
        self.console = console or Console(stderr=True)
        self.nodes = nodes
        self.istio_cni = istio_cni
        kind_of = (f"-{nodes}-nodes" if nodes > 1 else "") + ("-cni" if istio_cni else "")
        self.cluster_name = name or f"istio-egress-{self.istio.replace('.', '-')}{kind_of}"
        self.home = cache_dir() / "clusters" / self.cluster_name
        self._engine: Engine | None = None

    def up(self) -> Cluster:
        """Bring the cluster up, or find it up."""
        versions().row(self.istio)  # before anything is made for one that there is none of
        self.home.mkdir(parents=True, exist_ok=True)
        with held(self.home / "lock", lambda: self._say("waiting for another process that makes this cluster")):
            engine = self._engine = ensure_engine(self.console, install=self.install)
            record = self._record()
            refuse_foreign(self.cluster_name, nodes_of(engine, self.cluster_name), record)
            used = record.base if record else None
            source = source_of(self.images, self.istio, used, engine, self.console, install=self.install)
            base = source.base(self.istio)
            reason = self._why_make(engine, base)
            if reason:
                self.refuse_taken()
            images = source.image_set(self.istio, node=reason is not None, cni=self.istio_cni)
            if reason:
                self._say(f"making cluster {self.cluster_name}: {reason}")
                self._make(engine, images, base)
            else:
                self._network(engine, images)  # rules and routes go when a node's container is restarted
            for node in self._nodes(engine):
                loaded = node.load(images.to_load)
                if loaded:
                    self._say(f"loaded into {node.container}: {' '.join(loaded)}")
        return Cluster(
            kubeconfig=self.home / "kubeconfig",
            context=f"kind-{self.cluster_name}",
            client_image=images.client_image,
            world_image=images.world_image,
            images=images.digests,
            release=IstioRelease(
                version=self.istio,
                full_version=images.full_version,
                istioctl=images.istioctl,
                hub=images.hub,
                tag=images.tag,
                upstream_envoy=images.upstream_envoy,
                cni=self.istio_cni,
            ),
            revision=self.revision,
            node_containers=tuple(container.name for container in nodes_of(engine, self.cluster_name)),
            engine=engine.env,
        )

    def down(self) -> None:
        """Remove the cluster and what was written down of it."""
        record = self._record()
        if record is None:
            return
        with held(self.home / "lock", lambda: self._say("waiting for another process that makes this cluster")):
            engine = ensure_engine(self.console, install=False)
            refuse_foreign(self.cluster_name, nodes_of(engine, self.cluster_name), record)
            self._remove(engine)
        shutil.rmtree(self.home)

    def escaped_packets(self) -> int | None:
        """Packets that pods tried to send out of the cluster since its nodes started."""
        engine = self._engine or engine_that_answers()
        if engine is None:
            raise PlatformTrouble("container engine away", "it does not answer")
        nodes = self._nodes(engine)
        if not nodes:
            raise PlatformTrouble("cluster gone", f"{self.cluster_name} has no node any more")
        return sum(node.escaped_packets() for node in nodes)

    def refuse_taken(self) -> None:
        """See that no run is using the cluster that is about to be removed, or made anew.

        Raises:
            UserError: one is.
        """
        if not (self.home / "kubeconfig").exists():
            return
        try:
            kube = Kube(self.home / "kubeconfig", f"kind-{self.cluster_name}")
        except PlatformTrouble:
            return  # it is away, and so is whoever used it
        try:
            refuse_taken(kube, OWN_NAMESPACE)
        except PlatformTrouble:
            return
        finally:
            kube.close()

    def _why_make(self, engine: Engine, base: str) -> str | None:
        """Why the cluster has to be made; None if it can be used as it is."""
        containers = nodes_of(engine, self.cluster_name)
        reason = why_make(containers, self._record(), Record(base, self._config_digest()), fresh=self.fresh)
        if reason is None and not Node(engine, containers[0].name).api_answers():
            return "its API server does not answer"
        return reason

    def _network(self, engine: Engine, images: ImageSet) -> None:
        """Let pods reach each other, and nobody else."""
        nodes = self._nodes(engine)
        networking = self._config()["networking"]
        addresses = [node.address() for node in nodes]
        for node in nodes:
            node.guard(networking["podSubnet"], networking["serviceSubnet"], addresses)
        if images.own_network and len(nodes) > 1:
            connect(nodes)

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = yaml.safe_load((FILES / "kind.yaml").read_text(encoding="utf-8"))
        config["nodes"] += [{"role": "worker"} for _ in range(self.nodes - 1)]
        return config

    def _config_digest(self) -> str:
        return key_of({"kind.yaml": (FILES / "kind.yaml").read_text(encoding="utf-8"), "nodes": str(self.nodes)})

    def _make(self, engine: Engine, images: ImageSet, base: str) -> None:
        self._remove(engine)
        self._write(Record(base, self._config_digest()))
        config = self._config()
        config["networking"]["disableDefaultCNI"] = images.own_network
        log = cache_dir() / "logs" / f"cluster-{self.cluster_name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        argv: tuple[str, ...] = (str(images.kind), "create", "cluster", "--name", self.cluster_name, "--config", "-")
        argv += ("--image", images.node_image, "--kubeconfig", str(self.home / "kubeconfig"))
        env = {**engine.env, "KIND_EXPERIMENTAL_PROVIDER": "docker"}
        try:
            engine.run(argv, env=env, stdin=yaml.safe_dump(config), log=log, seconds=CREATE_SECONDS)
            self._network(engine, images)
            self._nodes(engine)[0].start_dns()
        except CommandFailed as failure:
            self._remove(engine)
            raise PlatformTrouble("cluster not made", f"{failure.output.strip()}; all of it is in {log}") from None
        except BaseException:
            self._remove(engine)
            raise
        containers = nodes_of(engine, self.cluster_name)
        self._write(Record(base, self._config_digest(), tuple(container.id for container in containers)))

    def _remove(self, engine: Engine) -> None:
        containers = nodes_of(engine, self.cluster_name)
        if containers:
            engine.docker("rm", "--force", "--volumes", *(container.id for container in containers))
        (self.home / "record.json").unlink(missing_ok=True)

    def _nodes(self, engine: Engine) -> list[Node]:
        return [Node(engine, container.name) for container in nodes_of(engine, self.cluster_name)]

    def _record(self) -> Record | None:
        try:
            values = json.loads((self.home / "record.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return Record(values["base"], values.get("config", ""), tuple(values["containers"]))

    def _write(self, record: Record) -> None:
        (self.home / "record.json").write_text(json.dumps(asdict(record)), encoding="utf-8")

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)


def nodes_of(engine: Engine, cluster: str) -> list[Container]:
    """The nodes of a kind cluster, running or not; the control plane's first."""
    found = engine.docker(
        "ps", "--all", "--no-trunc", "--filter", f"label={CLUSTER_LABEL}={cluster}", "--format",
        "{{.ID}} {{.Names}} {{.State}}",
    )  # fmt: skip
    containers = [Container(*line.split()) for line in found.splitlines()]
    return sorted(containers, key=lambda each: (not each.name.endswith("-control-plane"), each.name))


def refuse_foreign(cluster: str, containers: list[Container], record: Record | None) -> None:
    """See that a cluster is ours, or not there.

    Raises:
        UserError: somebody else made a cluster of that name.
    """
    ours = record is not None and (not record.containers or {each.id for each in containers} <= set(record.containers))
    if containers and not ours:
        raise UserError(
            f"there is a kind cluster {cluster} that this project did not make",
            f"remove it with: kind delete cluster --name {cluster}",
        )


def why_make(containers: list[Container], record: Record | None, wanted: Record, *, fresh: bool) -> str | None:
    """Why a cluster of ours has to be made (anew); None if it may be used as it is."""
    if not containers or record is None:
        return "there is none"
    if not record.containers:
        return "the last time it was not finished"
    if fresh:
        return "a fresh one is asked for"
    if (record.base, record.config) != (wanted.base, wanted.config):
        return "what it is made of has changed"
    if any(container.state != "running" for container in containers):
        return "it does not run any more"
    return None
