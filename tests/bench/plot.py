"""The plots in docs/bench and the page that shows them, drawn from the JSON beside them and from nothing else."""

import math
from collections.abc import Sequence
from pathlib import Path

import leather

from tests.bench.result import Result, cells

PAGE = "results.md"
HEIGHT, BAR_HEIGHT = 420, 34
COLOURS = ("#1f5fa8", "#b3261e", "#18733f", "#8a5800")
GREY = "#9a9a9a"

leather.theme.background_color = "#ffffff"
for _what in ("title", "legend", "axis_title", "tick"):
    setattr(leather.theme, f"{_what}_font_family", "sans-serif")


def draw(result: Result, path: Path) -> None:
    """Draw a benchmark as SVG: distributions where it has samples, else a bar for the first ratio of each row.

    Args:
        result: what was measured.
        path: of the SVG.
    """
    chart = leather.Chart(result.title)
    chart.add_x_axis(name=f"1 is {result.unit}")
    if result.samples:
        height = HEIGHT
        chart.add_x_scale(0, math.ceil(max(max(values) for values in result.samples.values())))
        chart.add_y_axis(name="% of changes in force by then")
        for (name, values), colour in zip(result.samples.items(), COLOURS, strict=False):
            chart.add_line(steps(values), name=name, stroke_color=colour)
        chart.add_line([(1, 0), (1, 100)], name="1", stroke_color=GREY)
    else:
        height = 140 + BAR_HEIGHT * len(result.rows)
        chart.add_bars(bars(result), fill_color=COLOURS[0])
    chart.to_svg(str(path), width=800, height=height)


def steps(values: Sequence[float]) -> list[tuple[float, float]]:
    """Values as steps: at each of them, the share of those that are at most as high, in per cent."""
    points: list[tuple[float, float]] = []
    for number, value in enumerate(sorted(values)):
        points += [(value, 100 * number / len(values)), (value, 100 * (number + 1) / len(values))]
    return points


def bars(result: Result) -> list[tuple[float, str]]:
    """The first ratio of each row, and what it is called."""
    first = [next(iter(row.ratios.values())) for row in result.rows]
    return [(value, f"{row.name}: {value:.2f}") for value, row in zip(first, result.rows, strict=True)]


def page(results: Sequence[Result]) -> str:
    """All that was measured, as Markdown: tables of ratios, how to measure them, and the plots."""
    lines = ["# Benchmarks: what was measured", ""]
    lines += [
        "Written by `scripts/bench plot` from the JSON files beside it. How each is measured: [README](README.md)."
    ]
    for result in results:
        ratios, facts = result.columns()
        there = result.environment
        measured = f"`{result.command}`, {result.started[:10]}, Istio {there.istio}, {there.data_plane}"
        lines += ["", f"## {result.title}", "", f"{measured}, {there.cores} cores. 1 is {result.unit}.", ""]
        lines += [f"![{result.title}]({result.bench}.svg)", ""]
        lines += [f"| | {' | '.join([*ratios, *facts])} |", f"| --- |{' --- |' * len([*ratios, *facts])}"]
        for row in result.rows:
            lines.append(f"| {' | '.join([row.name, *cells(row.ratios, ratios), *cells(row.facts, facts)])} |")
        if result.samples:
            lines += ["", "The line at 1 is the unit itself."]
        if result.said:
            lines += ["", "; ".join(f"{name}: {what}" for name, what in result.said.items()) + "."]
    return "\n".join([*lines, ""])


def draw_all(folder: Path) -> list[Path]:
    """Draw every benchmark of a folder, and write the page.

    Args:
        folder: with a `<bench>.json` for each.

    Returns:
        What was written; nothing where there is no JSON.
    """
    results = [Result.read(path) for path in sorted(folder.glob("*.json"))]
    if not results:
        return []
    for result in results:
        draw(result, folder / f"{result.bench}.svg")
    (folder / PAGE).write_text(page(results), encoding="utf-8")
    return [*(folder / f"{result.bench}.svg" for result in results), folder / PAGE]
