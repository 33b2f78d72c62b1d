"""images/suite/job.sh, with a Python that says what it was called with."""

import base64
import gzip
import os
import signal
import subprocess
from pathlib import Path

import pytest

from egress_conformance.waiting import wait_for
from tests.unit.fakes import SUITE

PYTHON = """#!/bin/bash
echo "$*" >asked
if [[ -e waits ]]; then
  trap 'echo put back; touch back; exit 2' TERM
  touch started
  while sleep 0.02; do :; done
fi
exit "$(cat exit 2>/dev/null || echo 0)"
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3").write_text(PYTHON)
    (tmp_path / "bin/python3").chmod(0o755)
    return tmp_path


def start(place: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    path = f"{place / 'bin'}:{os.environ['PATH']}"
    command = ["bash", str(SUITE / "images/suite/job.sh"), *arguments]
    return subprocess.Popen(command, cwd=place, env={"PATH": path, **env}, stdout=subprocess.PIPE, text=True)


def run(place: Path, *arguments: str, **env: str) -> tuple[int, str]:
    with start(place, *arguments, **env) as process:
        out, _ = process.communicate(timeout=30)
    return process.returncode, out


@pytest.mark.parametrize("code", [0, 1, 3])
def test_it_ends_as_the_run_does_and_prints_its_ledger(place: Path, code: int) -> None:
    (place / "exit").write_text(str(code))
    (place / "reports/latest").mkdir(parents=True)
    (place / "reports/latest/ledger.json").write_text('{"a": "ledger"}\n')
    ended, out = run(place, "--provider=existing", "--wait")
    assert ended == code
    assert (place / "asked").read_text() == "-m egress_conformance run --provider=existing --wait\n"
    first, *packed, last = out.splitlines()
    assert (first, last) == ("-----BEGIN LEDGER-----", "-----END LEDGER-----")
    assert gzip.decompress(base64.b64decode("".join(packed))) == b'{"a": "ledger"}\n'


def test_where_there_is_no_ledger_none_is_printed(place: Path) -> None:
    (place / "exit").write_text("3")
    assert run(place) == (3, "")


def test_a_pod_of_an_indexed_job_runs_its_share(place: Path) -> None:
    run(place, "--wait", SHARDS="3", JOB_COMPLETION_INDEX="0")
    assert (place / "asked").read_text() == "-m egress_conformance run --shard 1/3 --wait\n"


def test_a_run_that_is_ended_can_put_things_back(place: Path) -> None:
    (place / "waits").touch()
    with start(place) as process:
        try:
            started = place / "started"
            wait_for("the run", lambda: True if started.exists() else None, seconds=10, hint="", every=0.01)
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, out) == (2, "put back\n")
    assert (place / "back").exists()
