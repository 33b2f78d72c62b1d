"""ServiceEntries that are in the mesh already when the cases of a run begin."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.cluster.names import prefix
from egress_conformance.mesh.bulk import all_applied, make_namespace
from egress_conformance.mesh.istiod import Istiod, counted
from egress_conformance.mesh.manifests import fill
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.mesh.turns import Turns
from egress_conformance.waiting import wait_for

ENTRY = Path(__file__).parent / "manifests" / "entry.yaml"
QUIET_SECONDS = 12
"""istiod that has logged no push for so long holds none back: more than PILOT_DEBOUNCE_MAX, 10 s."""

SECONDS = 300
"""How long istiod may take to know thousands of entries, or to forget them."""


def entries(count: int, namespace: str, run: str, address: str) -> list[Doc]:
    """So many entries, each for a host of its own, that every proxy of the mesh sees.

    Args:
        count: how many.
        namespace: where they lie.
        run: id of the run, by which the next one finds what a crash left.
        address: of a server; nobody asks for these hosts.
    """
    docs = []
    for number in range(count):
        name = f"crowd-{number}"
        (doc,) = fill(ENTRY, {"name": name, "host": f"{name}.world.test", "export_to": "*", "address": address})
        doc["metadata"] |= {"namespace": namespace, "labels": {OWNER_LABEL: run}}
        docs.append(doc)
    return docs


def services(kube: Kube, istiod: Istiod) -> int:
    """How many services istiod knew at its last push (`pilot_services`); of several pods, the one that knew fewest."""
    return min(counted(kube, pod["metadata"]["name"], "pilot_services") for pod in istiod.pods())


@contextmanager
def in_the_mesh(kube: Kube, istiod: Istiod, run: str, count: int, address: str) -> Iterator[None]:
    """So many entries in the mesh, and everything that comes of them over; on leaving istiod has forgotten them.

    Args:
        kube: the cluster, which must be this run's.
        istiod: of the revision that is tested.
        run: id of the run.
        count: how many.
        address: of a server of the world.

    Raises:
        PlatformTrouble: istiod does not get to know them, or goes on sending.
    """
    namespace = f"{prefix(run)}crowd"
    make_namespace(kube, namespace, run)
    hint = "kubectl logs -n istio-system deployment/istiod"
    with all_applied(kube, entries(count, namespace, run, address), Turns()):
        # With a handful that are others', of which some may still go: the last few are awaited below.
        wait_for(
            f"istiod to know {count} entries",
            lambda: True if services(kube, istiod) >= count else None,
            seconds=SECONDS,
            hint=hint,
            every=0.5,
            seen=lambda: f"{services(kube, istiod)} services",
        )
        # It writes the status of each entry, which is a change again: pushes go on for a while.
        wait_for(
            "istiod to have pushed all of it",
            lambda: None if istiod.pushes(QUIET_SECONDS, namespace) else True,
            seconds=SECONDS,
            hint=hint,
            every=1,
        )
        yield
        # Not before: the run has put something of its own into the mesh meanwhile.
        all_there = services(kube, istiod)
    wait_for(
        f"istiod to forget {count} entries",
        lambda: True if services(kube, istiod) <= all_there - count else None,
        seconds=SECONDS,
        hint=hint,
        every=0.5,
    )
