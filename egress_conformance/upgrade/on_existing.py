"""An upgrade that somebody else makes, in a cluster that was there: only the load is ours."""

from pathlib import Path

from egress_conformance.cluster.existing import ExistingProvider, Right
from egress_conformance.cluster.provider import Cluster
from egress_conformance.errors import UserError
from egress_conformance.options import Options
from egress_conformance.report.find import read_ledger
from egress_conformance.report.ledger import Ledger
from egress_conformance.waiting import wait_for

CHANGE_SECONDS = 2 * 3600
"""How long the change and the suite's run after it may take."""

RIGHTS = (Right("deployments", "create delete get list patch", "the clients of the load", group="apps"),)
"""What the load needs beyond what the suite does."""


def cluster_of(options: Options, ledgers: tuple[Path, Path], load_image: str) -> tuple[Cluster, Ledger]:
    """The cluster, and the ledger of before the change.

    Args:
        options: the user's choices, as of a run.
        ledgers: of before, and where that of after will be.
        load_image: image of the load's clients.

    Raises:
        UserError: something the user has to put right; nothing was changed.
    """
    if not load_image:
        raise UserError("an existing cluster needs --load-image", "build and push images/fortio, and name it")
    before = read_ledger(ledgers[0])
    if ledgers[1].exists():
        raise UserError(
            f"{ledgers[1]} is there already",
            "remove it: the load goes on until the ledger of after the change is there",
        )
    if not ledgers[1].parent.is_dir():
        raise UserError(f"there is no folder {ledgers[1].parent}", "make it, or name another file")
    # The client of the suite is not needed here, nor a change of the mesh's mode: the load has a mode of its own.
    provider = ExistingProvider(
        kubeconfig=options.kubeconfig_path,
        context=options.context,
        revision=options.revision,
        allow_mesh_changes=False,
        client_image=load_image,
        world_image=options.world_image or "",
        further_rights=RIGHTS,
    )
    return provider.up(), before


def after_ledger(path: Path) -> Ledger:
    """Wait for the ledger of after the change, until all of it is written.

    Args:
        path: the file.

    Raises:
        Timeout: it did not come.
        UserError: it is of another schema.
    """
    last = "nothing yet"

    def look() -> Ledger | None:
        nonlocal last
        try:
            return read_ledger(path)
        except UserError as error:
            last = str(error)
            if path.exists() and "is no JSON" not in error.problem:
                raise
            return None

    hint = "egress-conformance run after the change, and copy its ledger there"
    return wait_for(f"the ledger {path}", look, seconds=CHANGE_SECONDS, hint=hint, every=1, seen=lambda: last)
