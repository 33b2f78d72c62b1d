"""The platform of a run: cluster, Istio and world, brought up once for all workers, and put back at the end."""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from egress_conformance.cluster.board import MODE_BOARD, TURNS_BOARD, Board
from egress_conformance.cluster.existing import ExistingProvider
from egress_conformance.cluster.kind import KindProvider
from egress_conformance.cluster.kube import Kube, Refused, describe
from egress_conformance.cluster.lease import OWN_NAMESPACE, RunLease
from egress_conformance.cluster.names import Names
from egress_conformance.cluster.party import PartyLease
from egress_conformance.cluster.provider import Cluster, IstioRelease, Provider
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh import install
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.manifests import ROOT, check
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.namespaces import SWEPT, Namespaces, elsewhere, namespaces
from egress_conformance.options import Options
from egress_conformance.own_namespace import have_ca
from egress_conformance.shard import Shard
from egress_conformance.waiting import wait_for
from egress_conformance.world.image_pull import image_pull
from egress_conformance.world.pods import make_world, wait_for_pods

SECOND_REVISION = "egress-second"
"""Revision of a second Istio that a case installs; found after a crash by this name."""

WAIT_SECONDS = 3600
"""How long `--wait` waits for another run to end."""

SWEPT_TOO = (
    ("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy"),
)
"""Kinds of which the project's own tests put something into a cluster of its own."""

INSTALLED = "installed-istio"
"""ConfigMap that says what the suite's own install was made of, so that a changed profile is installed anew."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class PlatformInfo:
    """What a worker needs to know of the platform; crosses process boundaries as JSON."""

    run: str
    provider: str
    kubeconfig: str
    context: str
    revision: str
    client_image: str
    world_image: str
    may_change_mesh: bool
    prove: bool
    deadline: int
    istio_version: str
    kubernetes_version: str
    release: dict[str, str | bool] | None
    images: dict[str, str]
    image_pull_secret: str = ""
    namespaces: tuple[str, ...] = ()  # that were given; see `Names`
    member: str = ""  # of the shards that share the cluster; "" where it is this run's alone

    def dump(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> "PlatformInfo":
        """From JSON."""
        return cls(**json.loads(text))

    @property
    def names(self) -> Names:
        """What the namespaces are called."""
        return Names(tuple(self.namespaces))

    def kube(self) -> Kube:
        """A connection to the cluster."""
        return Kube(Path(self.kubeconfig), self.context)

    def cluster(self) -> Cluster:
        """The cluster, as far as a worker needs it."""
        return Cluster(
            kubeconfig=Path(self.kubeconfig),
            context=self.context,
            client_image=self.client_image,
            world_image=self.world_image,
            images=self.images,
            release=self.istio_release(),
            revision=self.revision,
            may_change_mesh=self.may_change_mesh,
        )

    def istio_release(self) -> IstioRelease | None:
        """The Istio the suite installed; None where it was there."""
        if self.release is None:
            return None
        values = {**self.release, "istioctl": Path(str(self.release["istioctl"]))}
        return IstioRelease(**values)  # type: ignore[arg-type]


def make_provider(options: Options) -> Provider:
    """The provider the user asked for."""
    if options.provider == "existing":
        return ExistingProvider(
            kubeconfig=options.kubeconfig_path,
            context=options.context,
            revision=options.revision,
            allow_mesh_changes=options.allow_mesh_changes,
            client_image=options.client_image or "",
            world_image=options.world_image or "",
            namespaces=options.names,
        )
    return kind_provider(options)


def kind_provider(options: Options) -> KindProvider:
    """The kind cluster the user asked for."""
    return KindProvider(
        istio=options.istio,
        images=options.images,
        install=not options.no_install,
        fresh=options.fresh,
        name=options.cluster,
        revision=options.revision_name,
        nodes=options.node_count,
        istio_cni=options.istio_cni,
    )


class Platform:
    """Cluster, Istio and world.

    Args:
        options: the user's choices.
        say: tells the user what is going on, a line at a time.

    Attributes:
        others_are_at_work: after `finish`, whether other shards still need what is up.
    """

    def __init__(self, options: Options, say: Say) -> None:
        self.provider = make_provider(options)
        self._say = say
        self._options = options
        self.run = f"r{secrets.token_hex(3)}"  # a letter first: YAML must not take it for a number
        self._names = options.names
        self._member = _member(options)
        self._cluster: Cluster | None = None
        self._kube: Kube | None = None
        self._lease: RunLease | None = None
        self._escaped_before: int | None = None
        self.mesh_config_digest = ""
        self.others_are_at_work = False

    @property
    def taken(self) -> bool:
        """Whether the cluster is this run's, so that no other is at work on it."""
        return self._lease is not None

    @property
    def cluster(self) -> Cluster:
        """The cluster; it must be up."""
        if self._cluster is None:
            raise RuntimeError("the platform is not up")
        return self._cluster

    @property
    def kube(self) -> Kube:
        """A connection to the cluster."""
        if self._kube is None:
            self._kube = Kube(self.cluster.kubeconfig, self.cluster.context)
        return self._kube

    @property
    def _namespaces(self) -> Namespaces:
        return namespaces(self.kube, self._names)

    def _config(self) -> MeshConfig:
        return MeshConfig(self.kube, self.cluster.revision, self._names.own)

    def up(self) -> PlatformInfo:
        """Bring everything up, or find it up; take the cluster for this run and mend what a crashed run left.

        Raises:
            UserError: something the user has to put right.
            PlatformTrouble: something did not come up.
        """
        check(ROOT)
        cluster = self._cluster = self.provider.up()
        kube = self.kube
        self._namespaces.have_own()
        lease = self._make_lease(kube)
        crashed = self._take(lease)
        # Only now: a run that was refused must put nothing back, it would pull the mesh from under the other one.
        self._lease = lease
        if crashed:
            self._say(f"run {crashed.split()[0]} did not end properly: putting back what it left")
        if lease.joined:
            self.run, self.mesh_config_digest = lease.joined, lease.mesh_config
            self._say(f"joining run {self.run}")
        else:
            self._bring_up(kube, cluster)
        wait_for_pods(kube, self._names.own, "app=world")
        if not lease.joined:
            lease.opened(self.mesh_config_digest)
        self._escaped_before = self.provider.escaped_packets()
        return PlatformInfo(
            run=self.run,
            provider=self.provider.name,
            kubeconfig=str(cluster.kubeconfig),
            context=cluster.context,
            revision=cluster.revision,
            client_image=cluster.client_image,
            world_image=cluster.world_image,
            may_change_mesh=cluster.may_change_mesh,
            prove=self._options.prove,
            deadline=self._options.deadline_seconds,
            istio_version=cluster.release.full_version if cluster.release else self._istio_version(),
            kubernetes_version=kube.version(),
            release=_plain(cluster.release),
            images=cluster.images,
            member=self._member,
            image_pull_secret=self._options.image_pull_secret or "",
            namespaces=self._names.given,
        )

    def _make_lease(self, kube: Kube) -> RunLease:
        if not self._member:
            return RunLease(kube, self._names.own, self.run)
        return PartyLease(kube, self._names.own, self.run, str(self._options.join), self._member)

    def _bring_up(self, kube: Kube, cluster: Cluster) -> None:
        """Mend what a crashed run left, and have world and Istio as they should be. The lease is ours."""
        config = self._config()
        have_ca(kube, self._names.own)
        self._mend(kube, config)
        make_world(kube, self._names.own, cluster.world_image, image_pull(kube, self._options.image_pull_secret or ""))
        if cluster.release is not None:
            self._install(kube, cluster.release)
        self.mesh_config_digest = config.digest()

    def _install(self, kube: Kube, release: IstioRelease) -> None:
        """Have Istio installed as the suite's profile is now."""
        revision = self.cluster.revision
        wanted = install.wanted(release, revision)
        name = f"{INSTALLED}-{revision}" if revision else INSTALLED
        mark = kube.get("v1", "ConfigMap", name, OWN_NAMESPACE) or {"data": {}}
        there = install.installed(kube, revision) == release.tag
        if there and mark["data"].get("digest") == wanted:
            return
        self._say(f"installing Istio {release.full_version}" + (f" as revision {revision}" if revision else ""))
        install.install(self.cluster, release, revision=revision)
        metadata = {"name": name, "namespace": OWN_NAMESPACE}
        kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"digest": wanted}})

    def _take(self, lease: RunLease) -> str | None:
        if not self._options.wait and not self._member:
            return lease.take()
        last = ""

        def look() -> tuple[str | None] | None:
            nonlocal last
            try:
                return (lease.take(),)
            except UserError as error:
                if error.problem != last:
                    self._say(f"waiting: {error.problem}")
                last = error.problem
            except PlatformTrouble as trouble:
                # What the other run does to the cluster is its own business; it may be back in a moment.
                last = str(trouble)
            except Refused as refused:
                # In a cluster that is somebody else's the other run takes the namespace with it as it ends.
                last = str(refused)
                self._namespaces.have_own()
            return None

        hint = "egress-conformance status"
        return wait_for("the cluster to be free", look, seconds=WAIT_SECONDS, hint=hint, every=1, seen=lambda: last)[0]

    def _mend(self, kube: Kube, config: MeshConfig) -> None:
        """Put back what runs that did not end properly left. The lease is ours: nobody else is at work."""
        if self._member:
            for board in (MODE_BOARD, TURNS_BOARD):
                Board(kube, OWN_NAMESPACE, board, self.run).remove()
        if config.restore():
            self._say("mesh config restored to what it was before that run")
        left = self._namespaces.left()
        if left:
            self._say(f"removing what an earlier run left: namespaces {', '.join(left)}")
        self._namespaces.remove(left)
        self._sweep(kube, OWNER_LABEL)
        self._remove_second_revision(kube)

    def _sweep(self, kube: Kube, labels: str) -> None:
        """Remove what cases put elsewhere than into namespaces of their own, e.g. beside the egress gateway.

        In a cluster that is somebody else's there is none, if its mesh may not be changed or namespaces were given.
        """
        ours = self.cluster.release is not None
        if self._names.given or not self.cluster.may_change_mesh or (ours and install.installed(kube) is None):
            return
        for doc in elsewhere(kube, SWEPT + SWEPT_TOO if ours else SWEPT, labels):
            self._say(f"removing what an earlier run left: {describe(doc)}")
            kube.delete(doc)

    def _remove_second_revision(self, kube: Kube) -> None:
        release = self.cluster.release
        if release is not None and kube.get("apps/v1", "Deployment", f"istiod-{SECOND_REVISION}", "istio-system"):
            install.uninstall(self.cluster, release, SECOND_REVISION)

    def _istio_version(self) -> str:
        """The image tag of istiod, where Istio is somebody else's."""
        return install.installed(self.kube, self.cluster.revision) or "unknown"

    def escaped_packets(self) -> int | None:
        """Packets that left the cluster since `up`; None where nobody counts, or the counter is away by now."""
        try:
            now = self.provider.escaped_packets()
        except PlatformTrouble as trouble:
            self._say(f"packets that left the cluster could not be counted: {trouble}")
            return None
        return None if now is None or self._escaped_before is None else now - self._escaped_before

    def finish(self) -> None:
        """Remove what this run made and put the mesh config back; the platform itself stays."""
        if self._kube is None:
            return
        try:
            if self._lease is not None:
                self._put_back(self._kube, self._lease)
        finally:
            self._kube.close()
            self._kube = None

    def _put_back(self, kube: Kube, lease: RunLease) -> None:
        try:
            if self._member:
                self._namespaces.remove(self._namespaces.of_run(self.run, self._member))
            self.others_are_at_work = not lease.leave()
            if self.others_are_at_work:
                return
            self._config().restore()
            self._namespaces.remove(self._namespaces.of_run(self.run))
            self._sweep(kube, f"{OWNER_LABEL}={self.run}")
            self._remove_second_revision(kube)
            if self.cluster.release is None:
                # The cluster is somebody else's: nothing of ours stays. Before the lease is given back, or the next
                # run would lose the namespace it has just begun to use.
                self._namespaces.remove_own()
        finally:
            lease.release()
            self._lease = None


def _plain(release: IstioRelease | None) -> dict[str, str | bool] | None:
    return None if release is None else {**asdict(release), "istioctl": str(release.istioctl)}


def _member(options: Options) -> str:
    """What this process is called among the shards that share a cluster; "" where it has it for itself.

    Raises:
        UserError: it is no shard.
    """
    if not options.join:
        return ""
    if options.namespaces:
        raise UserError("--join cannot be had with --namespaces", "let the shards make theirs, or run without --join")
    if not options.shard:
        raise UserError("--join is for shards", "say which one: --shard 1/3")
    # Nothing that a pod with the same index left behind, if there was one, is taken for this one's.
    return f"s{Shard.parse(options.shard).index}{secrets.token_hex(2)}"
