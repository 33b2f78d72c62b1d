"""What a run changes it puts back: on Ctrl-C, on SIGTERM, and at the next start after SIGKILL."""

import signal
import subprocess
from pathlib import Path

import pytest

from egress_conformance.waiting import wait_for
from tests.cluster.conftest import COMMAND, Found, UnderWay, command, start


def in_the_middle(suite: Path, *arguments: str) -> UnderWay:
    """A run whose case has applied an entry and flipped the mode, and now takes its time."""
    (suite / "in-place-seconds").touch()
    run = start(suite / "log", "run", *arguments, str(suite / "suites"))
    run.wait_for(suite / "in-place")
    return run


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_in_the_middle_of_a_case(cluster: Found, suite: Path, number: signal.Signals, workers: str) -> None:
    before = cluster.config.text()
    run = in_the_middle(suite, "-n", workers)
    assert cluster.config.text() != before
    run.send(number)
    ended = run.ended()
    assert ended.code == 2, ended.said
    assert cluster.config.text() == before
    assert cluster.leftovers() == []


def test_interrupted_when_nobody_reads_any_more(cluster: Found, suite: Path) -> None:
    before = cluster.config.text()
    (suite / "in-place-seconds").touch()
    command_line = [*COMMAND, "run", "--wait", "-n", "2", str(suite / "suites")]
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_for(
            "the run to come to its case",
            lambda: True if (suite / "in-place").exists() else None,
            seconds=120,
            hint="egress-conformance status",
            every=0.05,
        )
        assert cluster.config.text() != before
        assert process.stdout is not None
        process.stdout.close()
        process.send_signal(signal.SIGTERM)
        process.wait(90)
    assert cluster.config.text() == before
    assert cluster.leftovers() == []


def test_interrupted_before_the_first_case(cluster: Found, suite: Path) -> None:
    before = cluster.config.text()
    run = start(suite / "log", "run", "-n", "2", str(suite / "suites"))
    lease = ("coordination.k8s.io/v1", "Lease", "run", "egress-conformance")
    wait_for(
        "the run to take its lease",
        lambda: cluster.kube.get(*lease),
        seconds=60,
        hint=str(suite / "log"),
        every=0.05,
    )
    run.send(signal.SIGINT)
    assert run.ended().code == 2, run.log.read_text()
    assert cluster.config.text() == before
    assert cluster.leftovers() == []


def test_killed_and_mended_by_the_next_run(cluster: Found, suite: Path) -> None:
    before = cluster.config.text()
    run = in_the_middle(suite, "-n", "2")
    changed = cluster.config.text()
    run.kill()
    assert cluster.config.text() == changed != before
    assert len(cluster.leftovers()) >= 3
    (suite / "in-place-seconds").unlink()
    ended = command("run", "-n", "0", str(suite / "suites"))
    assert ended.code == 0, ended.said
    assert "did not end properly" in ended.out
    assert "mesh config restored" in ended.out
    assert cluster.config.text() == before
    assert cluster.leftovers() == []
