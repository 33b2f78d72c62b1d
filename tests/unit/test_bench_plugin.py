"""What a run that is measured does besides, and how it is called."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from egress_conformance.catalogue import collect
from egress_conformance.cluster.kube import Doc
from egress_conformance.mesh.istiod import Istiod
from tests.bench import crowd, entries, propagation, running, start, workers
from tests.bench.plugin import Marks
from tests.bench.running import ROOT, Asked
from tests.unit.data.sample_ledger import sample
from tests.unit.fakes import FakeKube


def report(when: str, start: float, stop: float) -> pytest.TestReport:
    values: dict[str, Any] = {"when": when, "start": start, "stop": stop, "outcome": "passed", "longrepr": None}
    return pytest.TestReport("test.py::test", ("test.py", 1, "test"), {}, **values)


def test_marks_are_of_the_first_case_and_of_the_end(tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks.json")
    for when, began, ended in [("setup", 5, 7), ("setup", 4, 6), ("call", 7, 9), ("call", 6, 8), ("teardown", 8, 12)]:
        marks.pytest_runtest_logreport(report(when, began, ended))
    marks.pytest_sessionfinish()
    assert json.loads((tmp_path / "marks.json").read_text()) == {"setup": 4, "call": 6, "end": 12}


def test_a_crowd_is_there_and_gone_again() -> None:
    pod: Doc = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "istiod-1", "namespace": "istio-system"}}
    pod["metadata"]["labels"] = {"app": "istiod", "istio.io/rev": "default"}
    kube = FakeKube(log=lambda: "info ads not a push").add(pod)

    def count() -> int:
        return sum(kind == "ServiceEntry" for kind, _, _ in kube.objects)

    metrics = "GET /api/v1/namespaces/istio-system/pods/istiod-1:15014/proxy/metrics"
    others = 3
    kube.raws[metrics] = lambda _: f"pilot_services {others + count()}\n".encode()
    with crowd.in_the_mesh(kube, Istiod(kube, ""), "r1", 20, "10.0.0.1"):
        assert count() == 20
        entry = kube.objects["ServiceEntry", "egress-r1-crowd", "crowd-7"]
        assert entry["spec"]["exportTo"] == ["*"]
        assert entry["metadata"]["labels"] == {"egress-conformance/run": "r1"}
        others += 1  # what the run has put into the mesh meanwhile stays
    assert count() == 0
    # The namespace goes with those of the workers, by its label and by how its name begins.
    assert "egress-conformance/run" in kube.objects["Namespace", "", "egress-r1-crowd"]["metadata"]["labels"]


def test_the_cases_of_the_benchmarks_are_cases() -> None:
    found = {entry.case.id: entry.case for entry in collect(ROOT, ROOT / running.CASES)}
    assert [*found] == ["BEN-01", "BEN-02", "BEN-03", "BEN-04"]
    assert {*propagation.CHANGES} == {*found} - {"BEN-01"}
    assert all(id_.startswith(running.OWN) for id_ in found)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs of the suite that were asked for; each writes the marks it was told to."""
    made: list[str] = []

    def run_suite(arguments: Sequence[str], root: Path) -> tuple[int, Any]:
        made.append(" ".join(arguments))
        for word in arguments:
            if word.startswith("--bench-marks="):
                Path(word.partition("=")[2]).write_text('{"setup": 1, "call": 2, "end": 3}')
        return 0, sample()

    monkeypatch.setattr(running, "run_suite", run_suite)
    return made


WARM_UP = "--wait -n 0 -p tests.bench.plugin tests/bench/cases/test_floor.py --istio 1.29"


def test_runs_of_workers(calls: list[str]) -> None:
    workers.measure(Asked(at=(0, 4), times=2, cases="RES-*", arguments=("--istio", "1.29")), "")
    each = [f"--wait -n {n} --istio 1.29 --cases RES-*" for n in (0, 4)]
    assert calls == [WARM_UP, *each, *each]


def test_runs_of_entries(calls: list[str]) -> None:
    entries.measure(Asked(at=(0, 5), times=1, cases="RES-01 HTTP-*", arguments=("--istio", "1.29")), "")
    assert calls == [
        "--wait -n 0 -p tests.bench.plugin --istio 1.29 --cases BEN-01 RES-01 HTTP-* "
        f"--bench-entries={count} tests/bench/cases/test_floor.py suites"
        for count in (0, 5)
    ]


def test_runs_of_start(calls: list[str]) -> None:
    found = start.measure(Asked(times=1, arguments=("--istio", "1.29")), "typed")
    assert calls[0] == WARM_UP
    assert re.fullmatch(r"--wait -p tests.bench.plugin --bench-marks=\S+/0.json --istio 1.29", calls[1])
    assert (found.command, found.rows[0].name) == ("typed", start.FIRST_TEST)


def test_paths_that_runs_name_are_there() -> None:
    # A run takes an argument for a path of cases only if it exists.
    assert (ROOT / running.CASES / "test_floor.py").is_file()
    assert (ROOT / running.SUITES).is_dir()
    assert sys.modules[running.PLUGIN[1]]
