"""What is kept of a benchmark: JSON, a table, a plot, a page."""

import io
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from tests.bench.plot import bars, draw_all, page, steps
from tests.bench.result import Environment, Result, Row, spread


def a_result(bench: str = "workers", **more: object) -> Result:
    values: dict[str, object] = {
        "bench": bench,
        "title": "Wall time",
        "unit": "that at -n 4",
        "command": "./scripts/bench workers",
        "started": "2026-08-28T03:41:07Z",
        "environment": Environment(istio="1.31.0", data_plane="envoy 1", kubernetes="v1", suite_commit="c", cores=2),
        "rows": [
            Row(name="-n 0", ratios={"wall time": 2.5}, facts={"runs": 3}),
            Row(name="-n 4", ratios={"wall time": 1.0, "cases": 1.0}),
        ],
        "said": {"verdicts": "the same in each run"},
    }
    return Result.model_validate({**values, **more})


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = a_result()
    path = result.write(tmp_path / "bench")
    assert path.name == "workers.json"
    assert Result.read(path) == result
    assert '"schema": "istio-egress-conformance/bench/v1"' in path.read_text()


def test_the_table_has_every_ratio_and_fact() -> None:
    out = io.StringIO()
    a_result().show(Console(file=out, width=100))
    lines = out.getvalue().splitlines()
    assert "Wall time (1 is that at -n 4)" in lines[0]
    assert [word for word in lines[4].split() if word[0].isalnum() or word[0] == "-"] == ["-n", "0", "2.50", "3"]
    assert lines[-1] == "verdicts: the same in each run"


@pytest.mark.parametrize(
    ("values", "tenth", "ninth"),
    [([1.0], 1.0, 1.0), ([1.0, 2.0], 1.1, 1.9), ([float(n) for n in range(101)], 10.0, 90.0)],
)
def test_spread(values: list[float], tenth: float, ninth: float) -> None:
    found = spread(values)
    assert (found["10 % below"], found["90 % below"]) == (tenth, ninth)
    assert (found["lowest"], found["highest"]) == (min(values), max(values))


def test_steps_rise_to_all_of_them() -> None:
    assert steps([2.0, 1.0]) == [(1.0, 0.0), (1.0, 50.0), (2.0, 50.0), (2.0, 100.0)]


def test_bars_are_the_first_ratios() -> None:
    assert bars(a_result()) == [(2.5, "-n 0: 2.50"), (1.0, "-n 4: 1.00")]


def test_each_json_has_a_plot_and_a_place_on_the_page(tmp_path: Path) -> None:
    a_result().write(tmp_path)
    a_result("propagation", title="Propagation", samples={"ServiceEntry": [1.2, 1.4]}).write(tmp_path)
    written = draw_all(tmp_path)
    assert [path.name for path in written] == ["propagation.svg", "workers.svg", "results.md"]
    for name in ("workers", "propagation"):
        drawn = (tmp_path / f"{name}.svg").read_text()
        assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314  (our own)
        assert f"![{'Wall time' if name == 'workers' else 'Propagation'}]({name}.svg)" in written[-1].read_text()
    again = {path: path.read_bytes() for path in written}
    draw_all(tmp_path)
    assert {path: path.read_bytes() for path in written} == again


def test_the_page_says_how_it_was_measured() -> None:
    lines = page([a_result()]).splitlines()
    assert "`./scripts/bench workers`, 2026-08-28, Istio 1.31.0, envoy 1, 2 cores. 1 is that at -n 4." in lines
    assert "| -n 0 | 2.50 |  | 3 |" in lines


def test_without_json_nothing_is_drawn(tmp_path: Path) -> None:
    assert draw_all(tmp_path) == []
    assert [*tmp_path.iterdir()] == []
