"""Shows a deletion that istiod never sends: docs/findings.md, the first.

    python -m tests.findings.lost_deletion [--istio VERSION] [TRIALS]

In one namespace an entry is deleted, in another one is made or deleted about as long before as istiod waits for further
changes (PILOT_DEBOUNCE_AFTER, 100 ms). Neither concerns the other's proxy. It says how often the first namespace's
proxy still has the host three seconds later. Few of a hundred are; more on a machine that has other work to do.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import Timeout
from egress_conformance.mesh.manifests import ROOT, fill
from egress_conformance.mesh.mesh import OWNER_LABEL
from egress_conformance.options import Options
from egress_conformance.platform import Platform, PlatformInfo
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.waiting import wait_for
from egress_conformance.worker import Worker

FROM_SECONDS, TO_SECONDS = 0.09, 0.13
"""How long after the other's change the entry is deleted, spread evenly."""

LOST_SECONDS = 3


@contextmanager
def platform(options: Options) -> Iterator[PlatformInfo]:
    """A mesh that is this program's alone."""
    platform = Platform(options, click.echo)
    try:
        yield platform.up()
    finally:
        platform.finish()


def entry(client: Client, run: str, host: str) -> Doc:
    """An entry for a host that only the client's namespace sees."""
    values = {"name": host.partition(".")[0], "host": host, "address": client.world.decoy.address}
    (doc,) = fill(ROOT / "lifecycle/entry.yaml", {**values, "namespace": client.namespace})
    doc["metadata"] |= {"namespace": client.namespace, "labels": {OWNER_LABEL: run}}
    return doc


def is_lost(mine: Client, others: Client, run: str, trial: int, pause: float) -> bool:
    """Delete an entry so long after another's change; whether the proxy still has it when all should be over."""
    host = f"deleted-{trial}.world.test"
    doc, other = entry(mine, run, host), entry(others, run, "other.world.test")
    mine.kube.apply(doc)
    hint = "istioctl proxy-status"
    wait_for("the proxy to have it", lambda: mine.proxy.clusters(host) or None, seconds=30, hint=hint, every=0.05)
    # The pushes for it are over.
    time.sleep(0.3)
    start = time.monotonic()
    others.kube.delete(other) if trial % 2 else others.kube.apply(other)
    time.sleep(max(0.0, start + pause - time.monotonic()))
    mine.kube.delete(doc)
    try:
        wait_for(
            "the proxy to forget it",
            lambda: None if mine.proxy.clusters(host) else True,
            seconds=LOST_SECONDS,
            hint=hint,
            every=0.05,
        )
    except Timeout:
        return True
    return False


def main() -> None:
    """Say how many deletions were lost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--istio")
    parser.add_argument("trials", nargs="?", type=int, default=200)
    arguments = parser.parse_args()
    with platform(Options(istio=arguments.istio, wait=True)) as info, tempfile.TemporaryDirectory() as folder:
        workers = [Worker(info, name, Path(folder)) for name in ("a", "b")]
        mine, others = (worker.client(worker.world("finding"), Recorder()) for worker in workers)
        lost = 0
        for trial in range(arguments.trials):
            pause = FROM_SECONDS + (TO_SECONDS - FROM_SECONDS) * (trial % 20) / 19
            if is_lost(mine, others, info.run, trial, pause):
                lost += 1
                click.echo(f"lost: trial {trial}, deleted {1000 * pause:.0f} ms after the other's change")
        click.echo(f"{lost} of {arguments.trials} deletions were lost on Istio {info.istio_version}")


if __name__ == "__main__":
    main()
