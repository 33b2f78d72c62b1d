"""How benchmarks are called."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from egress_conformance.errors import UserError
from tests.bench import __main__ as command
from tests.bench.result import Environment, Result, Row
from tests.bench.running import Asked


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What a benchmark that stands in for `workers` was asked."""
    seen: list[Asked] = []

    def measure(asked: Asked, command: str) -> Result:
        seen.append(asked)
        there = Environment(istio="1.31.0", data_plane="envoy 1", kubernetes="v1", suite_commit="c", cores=2)
        rows = [Row(name="-n 0", ratios={"wall time": 2.5})]
        return Result(
            bench="workers", title="t", unit="u", command=command, started="2026", environment=there, rows=rows
        )

    monkeypatch.setitem(command.BENCHES, "workers", measure)
    return seen


def test_what_it_does_not_know_goes_to_the_run(asked: list[Asked], tmp_path: Path) -> None:
    words = ["workers", "--istio", "1.29", "--json", "--at", "0", "--at", "4", "--cases", "RES-*", "--times", "2", "-x"]
    done = CliRunner().invoke(command.main, [*words, "--into", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert asked == [Asked(times=2, at=(0, 4), cases="RES-*", arguments=("--istio", "1.29", "-x"))]
    assert json.loads(done.stdout)["rows"][0]["ratios"] == {"wall time": 2.5}
    assert json.loads((tmp_path / "workers.json").read_text()) == json.loads(done.stdout)


def test_plot_says_what_it_drew(asked: list[Asked], tmp_path: Path) -> None:
    assert "2.50" in CliRunner().invoke(command.main, ["workers", "--into", str(tmp_path)]).stdout
    done = CliRunner().invoke(command.main, ["plot", "--into", str(tmp_path)])
    assert done.stdout.splitlines() == [str(tmp_path / "workers.svg"), str(tmp_path / "results.md")]


def test_a_ledger_is_not_enough_for_several_runs(asked: list[Asked], tmp_path: Path) -> None:
    done = CliRunner().invoke(command.main, ["workers", "--ledger", str(tmp_path)])
    assert isinstance(done.exception, UserError)
    assert asked == []
