"""One run, in the process that reports: its platform, its ledger and the reports drawn from it."""

import datetime
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from egress_conformance.content import digest
from egress_conformance.errors import ExitCode, PlatformTrouble
from egress_conformance.options import Options
from egress_conformance.platform import Platform, PlatformInfo
from egress_conformance.report import exit_code, point_latest, print_summary, summarise, write_reports
from egress_conformance.report.ledger import CaseRecord, DataPlane, Environment, Ledger

_HERE = Path(__file__).resolve().parent


def _commit() -> str:
    """The commit this code is of, with `-dirty` if it was changed since; "" where that cannot be told."""
    command = ["git", "-C", str(_HERE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class Terminal(Console):
    """A console whose reader may go away (`| head`): what goes on, putting back above all, does not depend on it."""

    def on_broken_pipe(self) -> None:
        """Say nothing more, instead of ending the program."""
        self.quiet = True


class RunReport:
    """One run.

    Args:
        options: the user's choices.
        scratch: folder common to all workers, removed at the end.
        root: where reports/ is.
        console: where the user is told what goes on.
    """

    def __init__(self, options: Options, scratch: Path, root: Path, console: Console) -> None:
        self.scratch = scratch
        self.aborted = False
        self._options = options
        self._root = root
        self._console = console
        self._started = datetime.datetime.now(datetime.UTC)
        self._clock = time.monotonic()
        # Now: a file that is edited while the cases run is none of theirs any more.
        self._content = digest(_HERE.parent)
        self._platform: Platform | None = None
        self._info: PlatformInfo | None = None
        self._records: dict[str, CaseRecord] = {}
        self._data_plane: DataPlane | None = None
        self._written: tuple[Ledger, Path] | None = None

    @property
    def is_up(self) -> bool:
        """Whether the platform came up."""
        return self._info is not None

    def bring_up(self) -> None:
        """Bring the platform up, once, and leave word of it for the workers."""
        if self._platform is not None:
            return
        self._platform = Platform(self._options, self._console.print)
        self._info = self._platform.up()
        (self.scratch / "platform.json").write_text(self._info.dump(), encoding="utf-8")
        self._clock = time.monotonic()

    def take(self, record: CaseRecord, data_plane: DataPlane | None) -> None:
        """Take in a case's record."""
        self._records[record.id] = record
        self._data_plane = data_plane or self._data_plane

    def _ledger(self, platform: Platform, info: PlatformInfo) -> Ledger:
        cases = [self._records[key] for key in sorted(self._records)]
        return Ledger(
            started=self._started.isoformat(timespec="seconds"),
            suite_version=version("istio-egress-conformance"),
            suite_commit=_commit(),
            suite_content=self._content,
            shard=self._options.shard or "",
            environment=Environment(
                istio=info.istio_version,
                revision=info.revision or "default",
                data_plane=self._data_plane or DataPlane(kind="unknown", version="no client came up"),
                kubernetes=info.kubernetes_version,
                provider=info.provider,
                images=info.images,
                mesh_config=platform.mesh_config_digest,
                emulations=[case.id for case in cases if case.emulated],
                escaped_packets=platform.escaped_packets(),
            ),
            summary=summarise(cases, round(time.monotonic() - self._clock, 1)),
            cases=cases,
        )

    def write(self) -> ExitCode:
        """Write the ledger and the reports.

        Returns:
            What the run must end with.
        """
        if self._platform is None or self._info is None:
            return ExitCode.USER_ERROR
        ledger = self._ledger(self._platform, self._info)
        name = f"{self._started:%Y%m%dT%H%M%SZ}-{ledger.environment.istio}"
        if ledger.shard:  # several may begin in the same second
            name += f"-{ledger.shard.replace('/', '-of-')}"
        folder = self._root / "reports" / "runs" / name
        write_reports(ledger, folder)
        point_latest(folder)
        self._written = (ledger, folder)
        return exit_code(ledger)

    def print_summary(self) -> None:
        """Say how the run came out and where its report lies."""
        if self._written is None:
            return
        ledger, folder = self._written
        self._console.print()
        print_summary(ledger, folder, self._console)
        if ledger.environment.escaped_packets:
            self._console.print(
                f"The run was not hermetic: {ledger.environment.escaped_packets} packets tried to leave the cluster; "
                "they were counted and rejected at the node."
            )

    def finish(self) -> None:
        """Put everything back; remove the cluster if the user wants that."""
        try:
            if self._platform is not None:
                taken = self._platform.taken
                self._platform.finish()
                alone = taken and not self._platform.others_are_at_work
                if alone and self._options.down and self._options.provider == "kind":
                    self._platform.provider.down()
        except PlatformTrouble as trouble:
            self._console.print(f"not everything could be put back ({trouble}); the next run will")
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
