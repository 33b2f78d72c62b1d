"""What is ours: listed for `status`, removed by `down`; nothing else is touched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from filelock import Timeout

from egress_conformance.cluster.cache import cache_dir, upgrade_lock
from egress_conformance.cluster.engine import engine_that_answers, stop_engine
from egress_conformance.cluster.kind import KindProvider, nodes_of
from egress_conformance.cluster.kube import Kube, describe
from egress_conformance.cluster.names import Names
from egress_conformance.errors import PlatformTrouble, UserError
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.namespaces import SWEPT, Given, elsewhere
from egress_conformance.options import Options
from egress_conformance.own_namespace import MANAGED
from egress_conformance.platform import kind_provider, make_provider


def _kind_clusters(options: Options) -> list[str]:
    """Names of the kind clusters that are ours: of one version of Istio, or all."""
    if options.cluster is not None:
        return [options.cluster]
    if options.istio is not None:
        return [kind_provider(options).cluster_name]
    folder = cache_dir() / "clusters"
    return sorted(path.parent.name for path in folder.glob("*/record.json"))


def listed(options: Options) -> Iterator[str]:
    """Say what there is, a line each.

    Raises:
        UserError: the existing cluster cannot be reached.
    """
    if options.provider == "existing":
        cluster = make_provider(replace(options, client_image="-", world_image="-")).up()
        yield from _in_cluster(Kube(cluster.kubeconfig, cluster.context), options.names)
        return
    engine = engine_that_answers()
    names = _kind_clusters(options)
    if not names:
        yield "no cluster of ours"
    for name in names:
        nodes = nodes_of(engine, name) if engine else []
        without = "no node" if engine else "not running: no container engine answers"
        state = ", ".join(f"{node.name} {node.state}" for node in nodes) or without
        yield f"cluster {name}: {state}"
        kubeconfig = cache_dir() / "clusters" / name / "kubeconfig"
        if engine and not kubeconfig.exists():
            yield "  it is being made, or the last time it was not finished"
        elif nodes and all(node.state == "running" for node in nodes):
            yield f"  KUBECONFIG={kubeconfig} kubectl --context kind-{name} ..."
            try:
                yield from (f"  {line}" for line in _in_cluster(Kube(kubeconfig, f"kind-{name}"), options.names))
            except PlatformTrouble as trouble:
                yield f"  its API server does not answer: {trouble}"


def _in_cluster(kube: Kube, names: Names) -> Iterator[str]:
    try:
        yield from _in_given(kube, names) if names.given else _in_made(kube)
        lease = kube.get("coordination.k8s.io/v1", "Lease", "run", names.own)
        if lease is not None:
            yield f"a run holds it, or crashed: {lease['spec']['holderIdentity']} at {lease['spec']['renewTime']}"
    finally:
        kube.close()


def _in_given(kube: Kube, names: Names) -> Iterator[str]:
    given = Given(kube, names)
    for name in names.given:
        found = given.ours(name)
        yield f"namespace {name}: " + (
            f"{len(found)} objects of ours, the first {found[0]}" if found else "nothing of ours"
        )


def _in_made(kube: Kube) -> Iterator[str]:
    namespaces = kube.find("v1", "Namespace", labels=MANAGED)
    for namespace in namespaces:
        name, phase = namespace["metadata"]["name"], namespace["status"]["phase"]
        run = namespace["metadata"]["labels"].get(OWNER_LABEL)
        yield f"namespace {name} ({phase}): " + (f"of run {run}" if run else "the world")
    if not namespaces:
        yield "no namespace of ours"


def remove(options: Options) -> Iterator[str]:
    """Remove it, and say what was removed.

    Raises:
        UserError: a cluster of that name is not ours or in use, or the existing cluster cannot be reached.
    """
    if options.provider == "existing":
        yield from _remove_from_existing(options)
        return
    names = _kind_clusters(options)
    for name in names:
        _refuse_in_use(name)
    for name in names:
        KindProvider(name=name, install=False).down()
        yield f"cluster {name} removed"
    if not names:
        yield "no cluster of ours"
    if not list((cache_dir() / "clusters").glob("*/record.json")) and stop_engine():
        yield "container engine of ours stopped"


def _refuse_in_use(cluster: str) -> None:
    """See that neither a run nor an upgrade is under way on a kind cluster.

    Raises:
        UserError: one is.
    """
    lock = upgrade_lock(cluster)
    if Path(lock.lock_file).exists():
        try:
            with lock.acquire(timeout=0):
                pass
        except Timeout:
            raise UserError(f"an upgrade is under way on {cluster}", "wait for it to end, or stop it") from None
    KindProvider(name=cluster, install=False).refuse_taken()


def _remove_from_existing(options: Options) -> Iterator[str]:
    cluster = make_provider(replace(options, client_image="-", world_image="-")).up()
    kube = Kube(cluster.kubeconfig, cluster.context)
    try:
        if MeshConfig(kube, cluster.revision, options.names.own).restore():
            yield "mesh config restored"
        if options.names.given:
            Given(kube, options.names).remove(options.names.given)
            yield from (f"namespace {name} emptied of what is ours" for name in options.names.given)
            return
        for namespace in kube.find("v1", "Namespace", labels=MANAGED):
            kube.delete(namespace)
            yield f"namespace {namespace['metadata']['name']} removed"
        for doc in elsewhere(kube, SWEPT, OWNER_LABEL):
            kube.delete(doc)
            yield f"{describe(doc)} removed"
    finally:
        kube.close()
