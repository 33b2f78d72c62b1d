"""What sets the scene for cases about several entries: namespaces, their order of creation, hundreds at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from egress_conformance.cluster.kube import Doc, Kube
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.mesh.turns import Turns
from egress_conformance.waiting import wait_for

AT_A_TIME = 8
"""Requests to the API server under way at once where a case applies hundreds of resources."""


def make_namespace(kube: Kube, name: str, run: str) -> None:
    """Have a namespace that is the run's and has no client; the end of the run removes it."""
    for doc in fill(ROOT / "platform/further-namespace.yaml", {"namespace": name, "run": run}):
        kube.apply(doc)


def wait_for_next_second(kube: Kube, namespace: str) -> None:
    """Wait until the API server's clock shows another second, as a dry run tells.

    Raises:
        Timeout: it stands still.
    """
    (doc,) = fill(ROOT / "platform/clock.yaml", {"namespace": namespace})

    def now() -> str:
        return str(kube.apply(doc, dry_run=True)["metadata"]["creationTimestamp"])

    first = now()
    wait_for("the next second", lambda: True if now() != first else None, seconds=5, hint="date", every=0.05)


@contextmanager
def all_applied(kube: Kube, docs: list[Doc], turns: Turns) -> Iterator[None]:
    """Apply documents, several at a time, and delete them likewise on leaving.

    Args:
        kube: the cluster.
        docs: what to apply.
        turns: when the mesh may be changed. One turn for as long as they are there, and so no other change within:
            istiod goes on writing their statuses for seconds, and sends nothing as long as changes keep coming.

    Raises:
        Refused: one of them was; the others are deleted again.
    """
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            with turns.change():
                for _ in pool.map(kube.apply, docs):
                    pass
                yield
        finally:
            with turns.removal():
                for _ in pool.map(kube.delete, docs):
                    pass
