"""The mesh, as one case sees it: apply resources, flip the mode; all of it is undone when the case leaves."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from egress_conformance.case import Case, Mode, Requirement
from egress_conformance.cluster.kube import FIELD_MANAGER, MANAGED_LABEL, Doc, Kube, Refused, describe
from egress_conformance.errors import PlatformTrouble
from egress_conformance.mesh.bulk import all_applied, make_namespace, wait_for_next_second
from egress_conformance.mesh.config import MeshConfig
from egress_conformance.mesh.control_plane import ControlPlane
from egress_conformance.mesh.istiod import Istiod
from egress_conformance.mesh.manifests import dump, fill
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.mesh.scene import Scene, destinations
from egress_conformance.mesh.turns import Turns
from egress_conformance.traffic.recorder import Recorder
from egress_conformance.waiting import persist, wait_for

OWNER_LABEL = "egress-conformance/run"


@dataclass
class Mesh:
    """The mesh, as one case sees it.

    Args:
        kube: the cluster.
        config: the mesh config.
        namespace: the client's, where resources go unless they name another.
        run: id of the run, on everything that is applied.
        manifests: folder that manifests are named from.
        case: the case.
        proxy: the client's sidecar, which a change of mode must reach.
        recorder: keeps what was applied.
        scene: what rows of a table share.
        turns: when it may change the mesh.
        may_make_namespaces: whether namespaces are made at all; else the case requires `Requirement.NAMESPACES`.
    """

    kube: Kube
    config: MeshConfig
    namespace: str
    run: str
    manifests: Path
    case: Case
    proxy: Proxy
    recorder: Recorder
    scene: Scene = field(default_factory=Scene)
    turns: Turns = field(default_factory=Turns)
    may_make_namespaces: bool = True

    @contextmanager
    def apply(self, manifest: str, **values: str) -> Iterator[list[Doc]]:
        """Apply a manifest: the subject of the case. It is deleted again on leaving.

        Args:
            manifest: path below manifests/.
            values: a value for each `${name}` in it; `namespace` is given.

        Raises:
            UserError: the manifest is broken or a value is missing.
            Refused: the API server or an admission webhook refused it.
        """
        if self.recorder.withheld:
            docs = self._filled(manifest, values)
            with self.recorder.subject():
                yield docs
            return
        with self._applied(manifest, values) as docs, self.recorder.subject():
            yield docs

    @contextmanager
    def shared(self, manifest: str, **values: str) -> Iterator[dict[str, str]]:
        """Have a manifest in place that rows of one scene share: it stays until a case comes that has another scene.

        It is the subject of rows that are not about their mode.

        Args:
            manifest: path below manifests/; ServiceEntries, which are waited for.
            values: a value for each `${name}` in it; `namespace` is given.

        Yields:
            The values it was applied with: those of the first row.

        Raises:
            PlatformTrouble: the proxy does not get to know it.
        """
        name = self.case.scene_in_force(withheld=self.recorder.withheld)
        if name and self.scene.name != name:
            docs = self._filled(manifest, values)
            with self.turns.change():
                self.scene.enter(self.kube, name, docs, values, f"# {manifest}\n{dump(docs)}")
            wanted = destinations(docs)
            wait_for(
                f"the proxy to know {manifest}",
                lambda: True if wanted <= self.proxy.destinations() else None,
                seconds=self.recorder.seconds,
                hint="istioctl proxy-status",
                every=0.05,
            )
        if name:
            self.recorder.applied.append(self.scene.text)
        with self.recorder.subject_throughout():
            yield self.scene.values if name else values

    @contextmanager
    def given(self, manifest: str, **values: str) -> Iterator[list[Doc]]:
        """Apply a manifest that sets the scene: as `apply`, but not what the case is about."""
        with self._applied(manifest, values) as docs:
            yield docs

    def read(self, doc: Doc) -> Doc:
        """A document that was applied, as the cluster has it now, with its status; {} if it is not there."""
        metadata = doc["metadata"]
        return self.kube.get(doc["apiVersion"], doc["kind"], metadata["name"], metadata["namespace"]) or {}

    def _filled(self, manifest: str, values: dict[str, str]) -> list[Doc]:
        docs = fill(self.manifests / manifest, {"namespace": self.namespace, **values})
        for doc in docs:
            doc["metadata"].setdefault("namespace", self.namespace)
            doc["metadata"].setdefault("labels", {}).update({MANAGED_LABEL: FIELD_MANAGER, OWNER_LABEL: self.run})
        return docs

    @contextmanager
    def _applied(self, manifest: str, values: dict[str, str]) -> Iterator[list[Doc]]:
        docs = self._filled(manifest, values)
        self.recorder.applied.append(f"# {manifest}\n{dump(docs)}")
        done: list[Doc] = []
        try:
            with self.turns.change():
                for doc in docs:
                    done.append(doc)
                    self.kube.apply(doc)
            yield docs
        except AssertionError:
            # Now, while it is still there; a failed check has taken its evidence already.
            if "the proxy's view" not in self.recorder.evidence:
                self.recorder.evidence["the proxy's view"] = self.proxy.view(dict.fromkeys(self.recorder.hosts))
            raise
        finally:
            self._remove(done)

    def _remove(self, docs: list[Doc]) -> None:
        def remove() -> list[str]:
            with self.turns.removal():
                for doc in reversed(docs):
                    self.kube.delete(doc)
            return [describe(doc) for doc in docs if self._is_there(doc)]

        _see_that_nothing_is_left(persist(remove))

    def _is_there(self, doc: Doc) -> bool:
        metadata = doc["metadata"]
        return self.kube.get(doc["apiVersion"], doc["kind"], metadata["name"], metadata["namespace"]) is not None

    @contextmanager
    def outbound_traffic_policy(self, mode: Mode) -> Iterator[None]:
        """Flip the mesh's mode, by an edit of ConfigMap istio: the subject of the case. Flipped back on leaving.

        Returns at once when the edit is accepted: how long it takes to show is for the checks to measure.
        """
        if not self.case.flips:
            raise ValueError(f"{self.case.id} flips the mesh's mode: declare it with @case(..., flips=True)")
        if self.recorder.withheld:
            with self.recorder.subject():
                yield
            return
        before = self.config.mode()
        self.recorder.applied.append(
            f"# ConfigMap istio-system/{self.config.name}\noutboundTrafficPolicy: {{mode: {mode}}}\n"
        )
        self.config.set_mode(mode)
        try:
            with self.recorder.subject():
                yield
        finally:
            persist(lambda: self.config.set_mode(before))

    @contextmanager
    def configured(self, manifest: str, **values: str) -> Iterator[None]:
        """Lay the `spec.meshConfig` of an IstioOperator over the mesh config: the subject. Put back on leaving.

        Args:
            manifest: path below manifests/; what `istioctl install --filename` would take.
            values: a value for each `${name}` in it.
        """
        if not self.case.flips:
            raise ValueError(f"{self.case.id} changes the mesh config: declare it with @case(..., flips=True)")
        if self.recorder.withheld:
            with self.recorder.subject():
                yield
            return
        (doc,) = fill(self.manifests / manifest, values)
        self.recorder.applied.append(f"# {manifest}, in ConfigMap istio-system/{self.config.name}\n{dump([doc])}")
        before = self.config.text()
        self.config.change(doc["spec"]["meshConfig"])
        try:
            with self.recorder.subject():
                yield
        finally:
            persist(lambda: self.config.write(before))

    @contextmanager
    def without_istiod(self) -> Iterator[None]:
        """Stop istiod: the subject of the case. It is back on leaving, with every proxy connected again."""
        if not self.case.flips:
            raise ValueError(f"{self.case.id} stops istiod: declare it with @case(..., flips=True)")
        if self.recorder.withheld:
            with self.recorder.subject():
                yield
            return
        self.recorder.applied.append("# kubectl -n istio-system scale deployment istiod --replicas 0\n")
        with ControlPlane(self.kube, self.config.revision).away(), self.recorder.subject():
            yield
        self.recorder.changes_now()

    @contextmanager
    def apply_many(self, manifest: str, rows: Sequence[Mapping[str, str]]) -> Iterator[None]:
        """Apply a manifest once for each row of values, several at a time: the subject. Deleted again on leaving.

        Args:
            manifest: path below manifests/; what tells its objects apart is a placeholder.
            rows: a value for each `${name}` in it; `namespace` is given.
        """
        if self.recorder.withheld:
            with self.recorder.subject():
                yield
            return
        docs = [doc for row in rows for doc in self._filled(manifest, dict(row))]
        self.recorder.applied.append(f"# {manifest}, {len(rows)} times; the first:\n{dump(docs[:1])}")
        with all_applied(self.kube, docs, self.turns), self.recorder.subject():
            yield
        self.recorder.changes_now()
        _see_that_nothing_is_left([describe(doc) for doc in (docs[0], docs[-1]) if self._is_there(doc)])

    def refuses(self, manifest: str, *, twin: str, saying: str, **values: str) -> str:
        """See that a manifest is refused, with nothing stored, and that its valid twin is admitted before and after.

        Args:
            manifest: the invalid one, path below manifests/.
            twin: the same without its fault.
            saying: regular expression the refusal must contain.
            values: a value for each `${name}` in either.

        Returns:
            What the API server said.

        Raises:
            CheckFailed: it was admitted, or refused with other words, or stored in spite of it.
        """
        self._admits(twin, values)
        with self.recorder.subject():
            # Withheld, the fault is left out: then it cannot be refused.
            message = self._refused(twin if self.recorder.withheld else manifest, saying, values)
        self._admits(twin, values)
        return message

    def admits(self, manifest: str, **values: str) -> None:
        """See that a manifest is admitted and stored, and gone again after its deletion: the subject.

        Args:
            manifest: path below manifests/.
            values: a value for each `${name}` in it.

        Raises:
            CheckFailed: it was refused, or nothing was stored.
        """
        seen = "admitted and stored"
        try:
            # Withheld, nothing is sent: then nothing can be there.
            with self.apply(manifest, **values) as docs:
                missing = [describe(doc) for doc in docs if not self._is_there(doc)]
                if missing:
                    seen = f"not stored: {', '.join(missing)}"
        except Refused as refused:
            seen = f"refused: {refused.message}"
        with self.recorder.subject():
            self.recorder.fact(f"{manifest} is admitted and stored", seen, held=seen == "admitted and stored")

    def folder(self, name: str) -> list[str]:
        """The manifests of a folder, as `apply` and `admits` take them.

        Args:
            name: path below manifests/.
        """
        return [str(path.relative_to(self.manifests)) for path in sorted((self.manifests / name).glob("*.yaml"))]

    def _admits(self, manifest: str, values: dict[str, str]) -> None:
        seen = "admitted"
        try:
            with self._applied(manifest, values):
                pass
        except Refused as refused:
            seen = f"refused: {refused.message}"
        self.recorder.fact(f"{manifest} is admitted", seen, held=seen == "admitted")

    def _refused(self, manifest: str, saying: str, values: dict[str, str]) -> str:
        docs = self._filled(manifest, values)
        self.recorder.applied.append(f"# {manifest}\n{dump(docs)}")
        seen, held = "admitted", False
        try:
            with self.turns.change():
                for doc in docs:
                    self.kube.apply(doc)
        except Refused as refused:
            seen, held = f"refused: {refused.message}", re.search(saying, refused.message) is not None
            # Looked for before it is removed; the last one applied is the one that was refused.
            if self._is_there(doc):
                seen, held = f"stored in spite of being {seen}", False
        finally:
            self._remove(docs)
        self.recorder.fact(f"{manifest} is refused, saying {saying!r}, and not stored", seen, held=held)
        return seen.removeprefix("refused: ")

    @contextmanager
    def emulating(self, manifest: str, **values: str) -> Iterator[None]:
        """Stand in for what only Istio's own proxy build does, where another runs; the result is labelled so."""
        if self.proxy.data_plane().kind == "istio-proxy":
            yield
            return
        self.recorder.emulated = True
        with self._applied(manifest, values):
            yield

    def further_namespace(self, suffix: str) -> str:
        """A further namespace of this worker's, without a client, and its name; it stays until the run is over.

        Namespaces of one worker sort by their suffix. One takes seconds to terminate, so none is deleted by a case.

        Args:
            suffix: what tells it from the worker's others.
        """
        if not self.may_make_namespaces:
            raise ValueError(f"{self.case.id} makes namespaces: declare it with {Requirement.NAMESPACES!r}")
        name = f"{self.namespace}-{suffix}"
        make_namespace(self.kube, name, self.run)
        return name

    def next_second(self) -> None:
        """Wait until what is created gets a later creationTimestamp, of which Kubernetes keeps whole seconds."""
        wait_for_next_second(self.kube, self.namespace)

    def starts(self) -> dict[str, list[str]]:
        """When each container of istiod and of the client was started: what does not change is not restarted."""
        found = {}
        pods = Istiod(self.kube, self.config.revision).pods() + self.kube.find(
            "v1", "Pod", self.namespace, "app=client"
        )
        for pod in pods:
            states = [status["state"] for status in pod["status"]["containerStatuses"]]
            found[pod["metadata"]["uid"]] = [str(state.get("running", {}).get("startedAt")) for state in states]
        return found


def _see_that_nothing_is_left(left: list[str]) -> None:
    if left:
        raise PlatformTrouble("leftover", f"{left[0]} is still there after its deletion")
