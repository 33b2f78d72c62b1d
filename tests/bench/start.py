"""What a run takes until its first test, warm: images, cluster, Istio and world are there.

The process that starts the run notes when; a plugin in the run (plugin.py) notes when the set-up of the first case
began, the first case itself, and when the last one was over, as pytest's reports have it. Both use the system's clock.
"""

import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from egress_conformance.errors import UserError
from tests.bench.result import Result, Row, environment, ratio
from tests.bench.running import PLUGIN, Asked, run, warm_up

Stages = dict[str, float]
SETUP = "before the first set-up"
"""Python, options, collection; cluster, Istio and world found up."""
CLIENT = "the first set-up"
"""The worker's client pod, and the mode of the mesh."""
CASES = "the cases"
END = "reports, putting back"
FIRST_TEST = "start to first test"


def stages(began: float, marks: Mapping[str, float], seconds: float) -> Stages:
    """How long each stage of a run took, in seconds; together they are all of it.

    Args:
        began: when its process was started, epoch seconds.
        marks: what the plugin wrote down.
        seconds: from there to the end of the process.

    Raises:
        UserError: no case was begun.
    """
    if not {"setup", "call", "end"} <= marks.keys():
        raise UserError("the run began no case", "choose others by --cases")
    return {
        SETUP: marks["setup"] - began,
        CLIENT: marks["call"] - marks["setup"],
        CASES: marks["end"] - marks["call"],
        END: began + seconds - marks["end"],
    }


def rows(runs: Sequence[Stages]) -> list[Row]:
    """The start, then each stage: the median of the runs' shares of the whole."""
    whole = [sum(one.values()) for one in runs]
    parts = {FIRST_TEST: [one[SETUP] + one[CLIENT] for one in runs]}
    parts |= {name: [one[name] for one in runs] for name in runs[0]}
    return [
        Row(
            name=name,
            ratios={"of the whole": statistics.median(ratio(part, of) for part, of in zip(took, whole, strict=True))},
            facts={"seconds": round(statistics.median(took), 2), "runs": len(runs)},
        )
        for name, took in parts.items()
    ]


def measure(asked: Asked, command: str) -> Result:
    """Run the suite, or some of its cases, and say when its first test began.

    Args:
        asked: `times` runs (1), `cases`.
        command: what was typed.
    """
    warm_up(asked.arguments)
    found, runs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.times or 1):
            marks = Path(folder) / f"{number}.json"
            one = run(f"run {number + 1}", [*PLUGIN, f"--bench-marks={marks}", *asked.options])
            runs.append(one)
            found.append(stages(one.began, json.loads(marks.read_text(encoding="utf-8")), one.seconds))
    return Result(
        bench="start",
        title="Start to first test, warm",
        unit="the wall time of the run",
        command=command,
        started=runs[0].ledger.started,
        environment=environment(runs[0].ledger),
        rows=rows(found),
    )
