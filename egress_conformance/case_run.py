"""One case of a run: set in place, watched for trouble that is not Istio's, and made into a verdict."""

import re
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from egress_conformance.case import NO_OTHER_ISTIO, Case, Mode, Requirement
from egress_conformance.cluster.kube import Refused
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.mesh import Mesh
from egress_conformance.report import redact
from egress_conformance.report.ledger import CaseRecord, DataPlane, Verdict
from egress_conformance.traffic.client import Client
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.recorder import CheckFailed, Recorder
from egress_conformance.waiting import wait_for
from egress_conformance.worker import Worker
from egress_conformance.world.world import World

ISTIOD = "istiod pilot_total_xds_rejects"
LOG_SLACK_SECONDS = 2
"""How much further back than the case istiod's log is read: its clock and ours need not agree to the second."""

NOT_PROVABLE = "not provable"

CAUSE_SECONDS = 3
"""How long Kubernetes may take to say what became of a pod that broke."""


class CaseRun:
    """One case under way.

    Args:
        case: what it declares.
        worker: who runs it; None where the worker itself did not come up.
    """

    def __init__(self, case: Case, worker: Worker | None) -> None:
        self.case = case
        self.recorder = Recorder()
        if worker is not None:
            self.recorder.withheld, self.recorder.seconds = worker.info.prove, worker.info.deadline
        self._worker = worker
        self._errors: list[pytest.ExceptionInfo[BaseException]] = []
        self._seconds = 0.0
        self._began = time.monotonic()
        self._skipped = ""
        self._trouble = ""

    @property
    def worker(self) -> Worker:
        """Who runs the case."""
        if self._worker is None:
            raise RuntimeError("no worker")
        return self._worker

    def missing(self) -> str:
        """Why the case cannot run here; "" if it can, as far as can be told before the mesh is held."""
        worker = self.worker
        there: dict[Requirement, Callable[[], bool]] = {
            Requirement.ISTIO_PROXY: lambda: worker.data_plane.kind == "istio-proxy",
            Requirement.MESH_CHANGES: lambda: worker.info.may_change_mesh,
            Requirement.INSTALL: lambda: worker.info.release is not None,
            Requirement.ISTIOCTL: lambda: worker.info.release is not None,
            Requirement.CONTROL_PLANE: lambda: worker.info.release is not None,
            Requirement.TRACER: worker.has_tracer,
            Requirement.EGRESS_GATEWAY: lambda: worker.may_use_gateway() and worker.egress_gateway() is not None,
            Requirement.NAMESPACES: lambda: not worker.info.names.given,
        }
        if worker.info.prove and self.case.unprovable:
            return f"{NOT_PROVABLE}: {self.case.unprovable}"
        if outside := self.case.out_of_range(self._version):
            return outside
        needs = [need for need in self.case.requires if need not in NO_OTHER_ISTIO]  # for those `outnumbered` asks
        if self.case.flips or (not worker.info.may_change_mesh and worker.config.mode() != self.case.mode):
            needs.append(Requirement.MESH_CHANGES)
        return next((str(need) for need in needs if not there[need]()), "")

    def outnumbered(self) -> str:
        """Why a case about what one Istio does for the whole cluster cannot run here; "" if it can.

        Asked while the mesh is held: before, another worker's case may have a second Istio for a moment.
        """
        alone = {Requirement.ADMISSION: self.worker.votes_alone, Requirement.LEADER: self.worker.leads_alone}
        needs = (need for need in NO_OTHER_ISTIO if need in self.case.requires)
        return next((str(need) for need in needs if not alone[need]()), "")

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The mesh in the case's mode, its world and client; afterwards nothing of the case is left.

        Raises:
            AssertionError: a proxy rejected configuration meanwhile.
        """
        worker = self.worker
        worker.make_ready()
        withheld = self.recorder.withheld
        worker.leave_scene(unless=self.case.scene_in_force(withheld=withheld))
        with ExitStack() as stack:
            stack.enter_context(worker.hold(self.case.mode_in_force(withheld=withheld), alone=self.case.flips))
            self.world = worker.world(self.case.id)
            stack.callback(self.world.forget)
            self.client = worker.client(self.world, self.recorder)
            self.recorder.stable.names |= {server.address: server.name for server in self.world.servers.values()}
            self.recorder.stable.names[self.client.address] = CLIENT
            self._began = time.monotonic()
            # What is rejected between two cases is told with the second.
            before, since = worker.counted or (self.rejections(), self._began)
            worker.counted = None
            if self.case.subject_is_mode:
                stack.enter_context(self.recorder.subject_throughout())
            yield
            if not self.recorder.rejects_on_purpose:
                after, now = self.rejections(), time.monotonic()
                worker.counted = (after, now)
                problem = self._rejected(before, after, now - since)
                assert not problem, problem  # noqa: S101

    def _rejected(self, before: dict[str, int], after: dict[str, int], seconds: float) -> str:
        """What was rejected since, in words; "" if nothing was, or by the proxies of other workers alone."""
        # A client that was made anew in between begins to count anew.
        rejected = {name: count - before.get(name, 0) for name, count in after.items()}
        risen = {name: count for name, count in rejected.items() if count > 0}
        lines: list[str] = []
        if risen.get(ISTIOD):
            # istiod counts for all proxies, and its log says whose it was.
            others, lines = self.worker.rejected(seconds + LOG_SLACK_SECONDS)
            if others and not lines:
                del risen[ISTIOD]
                self.recorder.evidence["rejected meanwhile by clients that this case does not use"] = "\n".join(others)
        return "\n".join([f"configuration was rejected while the case ran: {risen}", *lines]) if risen else ""

    world: World
    client: Client

    def rejections(self) -> dict[str, int]:
        """Configurations rejected so far, by who counted them; they never go back, so compare deltas."""
        return {
            **self.client.proxy.rejections(),
            ISTIOD: self.worker.rejections(),
        }

    def further_client(self, patch: Path | None, *, elsewhere: bool) -> Client:
        """A further client, laid out by a manifest of the case, or in another namespace."""
        return self.worker.client(self.world, self.recorder, patch=patch, elsewhere=elsewhere)

    @contextmanager
    def patched_client(self, patch: Path, *, elsewhere: bool) -> Iterator[Client]:
        """A further client whose patch is the subject of the case; withheld, it is the client without it."""
        client = self.client if self.recorder.withheld else self.further_client(patch, elsewhere=elsewhere)
        self.recorder.applied.append(f"# {patch.name}, laid over the client\n{patch.read_text(encoding='utf-8')}")
        with self.recorder.subject():
            yield client

    @property
    def expected(self) -> object:
        """What this version of Istio is expected to do, from the table of the case."""
        return self.case.expected(self._version)

    @property
    def _version(self) -> str:
        """The version that range and table of the case are about: istiod's or the proxy's."""
        worker = self.worker
        return worker.data_plane.version_for(worker.info.istio_version, of_proxy=self.case.of_proxy)

    def mesh(self, manifests: Path) -> Mesh:
        """The mesh, with manifests named from this folder."""
        return self.worker.mesh(self.case, manifests, self.client, self.recorder)

    @contextmanager
    def second_istio(self, mode: Mode) -> Iterator[Client]:
        """A client of a second Istio that was installed with a mode."""
        with self.worker.second_istio(mode, self.world, self.recorder) as client:
            yield client

    def phase(self, call: pytest.CallInfo[None]) -> None:
        """Take in how set-up, call or tear-down went."""
        self._seconds += call.duration
        if call.excinfo is None:
            return
        if call.excinfo.errisinstance(pytest.skip.Exception):
            self._skipped = str(call.excinfo.value)
            return
        if not self._errors:
            self._trouble = self._look_for_trouble(call.excinfo.value)
            self._keep_pushes(call.excinfo.value)
        if call.when == "call" and self.case.subject_is_mode and call.excinfo.errisinstance(AssertionError):
            self.recorder.failed_in_subject = True
        self._errors.append(call.excinfo)

    @property
    def data_plane(self) -> DataPlane | None:
        """The proxy of the client; None where there is none."""
        return self._worker.data_plane if self._worker else None

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict so far, and the reason in words."""
        verdict, reason = self._as_it_came()
        if not self.recorder.withheld or verdict not in {Verdict.PASSED, Verdict.FAILED}:
            return verdict, reason
        if verdict == Verdict.PASSED:
            return Verdict.FAILED, "unproved: it passed with its subject withheld, so it proves nothing"
        if not self.recorder.failed_in_subject:
            return Verdict.INCONCLUSIVE, f"its control failed before the subject could be withheld: {reason}"
        return Verdict.PASSED, ""

    @property
    def _proof(self) -> Literal["proved", "unproved", "not_provable"] | None:
        """What a run with the subject withheld shows of the case."""
        if not self.recorder.withheld:
            return None
        if self._skipped.startswith(NOT_PROVABLE):
            return "not_provable"
        verdict, _ = self.verdict()
        return "proved" if verdict == Verdict.PASSED else "unproved" if verdict == Verdict.FAILED else None

    def _as_it_came(self) -> tuple[Verdict, str]:
        for info in self._errors:
            if why := self._says_nothing(info.value):
                return Verdict.INCONCLUSIVE, why
        if self._errors:
            if self._trouble:
                return Verdict.INCONCLUSIVE, self._trouble
            return Verdict.FAILED, "\n".join(_gist(info.value) for info in self._errors)
        if self._skipped:
            return Verdict.SKIPPED, self._skipped
        return Verdict.PASSED, ""

    def _says_nothing(self, error: BaseException) -> str:
        """Why an error says nothing about Istio; "" if it does."""
        if isinstance(error, PlatformTrouble):
            # What became of the pods says more than how it showed.
            return f"{self._trouble} ({error})" if self._worker and self._trouble else str(error)
        if isinstance(error, pytest.fail.Exception) and "from pytest-timeout" in str(error):
            return f"the case hung: {error}"
        if isinstance(error, AssertionError | Refused | pytest.fail.Exception):
            return ""
        # A mistake of the suite's, or of pytest's.
        return f"error in the suite: {type(error).__name__}: {error}"

    def _look_for_trouble(self, error: BaseException) -> str:
        """Whether the platform broke under the case, so that its failure says nothing about Istio."""
        worker = self._worker
        if worker is None:
            return "the worker did not come up"
        worker.is_in_doubt = True

        def look() -> str:
            try:
                return worker.trouble()
            except (PlatformTrouble, Refused) as trouble:
                return str(trouble)

        if not isinstance(error, PlatformTrouble):
            return look()
        try:
            # Something broke; what, Kubernetes may say a moment later.
            return wait_for("what broke", lambda: look() or None, seconds=CAUSE_SECONDS, hint="", every=0.2)
        except Timeout:
            return ""

    def _keep_pushes(self, error: BaseException) -> None:
        """Keep with a failure what istiod sent meanwhile: whether it is istiod or the proxy that did not follow."""
        if self._worker is None or self.recorder.withheld or not isinstance(error, CheckFailed):
            return
        seconds = time.monotonic() - self._began + LOG_SLACK_SECONDS
        try:
            self.recorder.evidence["what istiod pushed"] = self._worker.pushes(seconds)
        except (PlatformTrouble, Refused) as trouble:
            self.recorder.evidence["what istiod pushed"] = f"not to be had: {trouble}"

    def explain(self, told: dict[str, str] | None = None) -> str:
        """Why the case did not pass, for the terminal.

        Args:
            told: cases that were explained before, by why they are inconclusive; what was told of one is not told again
                of the next, as where no client comes up. This case is added.
        """
        verdict, reason = self.verdict()
        first = self.case.key
        if told is not None and verdict == Verdict.INCONCLUSIVE:
            first = told.setdefault(reason, first)
        if first != self.case.key:
            return redact.text(f"{self.case.key} {verdict}, as {first}: {reason}")
        said = [str(info.value) for info in self._errors] if verdict == Verdict.FAILED else [reason]
        lines = [f"{self.case.key} {verdict}: {self.case.statement}", "", *said]
        for name, text in self.recorder.evidence.items():
            lines += ["", f"{name}:", text.rstrip()]
        for applied in self.recorder.applied:
            lines += ["", "applied:", redact.applied(applied).rstrip()]
        if verdict == Verdict.INCONCLUSIVE and "error in the suite" in reason:
            lines += ["", "".join(traceback.format_exception(self._errors[0].value, limit=-6))]
        lines += ["", f"source: {self.case.source}"]
        return redact.text("\n".join(lines))

    def record(self, area: str) -> CaseRecord:
        """The case as the ledger keeps it: without secrets, private keys and tokens."""
        verdict, reason = self.verdict()
        made = CaseRecord(
            id=self.case.key,
            area=area,
            title=self.case.title,
            statement=self.case.statement,
            source=self.case.source,
            verdict=verdict,
            reason=_plain(reason),
            emulated=self.recorder.emulated,
            proof=self._proof,
            seconds=round(self._seconds, 3),
            propagation_ms=self.recorder.propagation_ms if verdict == Verdict.PASSED else None,
            observations=self.recorder.stable.value(self._observations()),
            measurements=self.recorder.measurements,
            since=self.case.since,
            until=self.case.until,
            by_version=self.case.table,
            of_proxy=self.case.of_proxy,
            witnesses=self.recorder.final_checks(),
            applied=self.recorder.applied,
            evidence=self.recorder.evidence,
        )
        return redact.record(made)

    def _observations(self) -> dict[str, Any]:
        """What the case saw; with the subject withheld also why it failed."""
        if not self.recorder.withheld or not self._errors:
            return self.recorder.observations
        return {**self.recorder.observations, "with its subject withheld": _plain(_gist(self._errors[0].value))}


def _gist(error: BaseException) -> str:
    return error.gist if isinstance(error, CheckFailed) else str(error)


def _plain(text: str) -> str:
    """Without terminal escapes."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
