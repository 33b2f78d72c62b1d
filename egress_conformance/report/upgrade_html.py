"""An upgrade as one HTML page: no network, no JavaScript; ledgers and diffs are linked where they lie beside it."""

import math
from dataclasses import dataclass

from egress_conformance.report import page
from egress_conformance.report.upgrade import Segment, Series, Upgrade
from egress_conformance.report.words import milliseconds, several

WIDTH, HEIGHT = 1000, 40
"""Of the drawing of one destination, in its own units; it is stretched to the page."""

_FASTEST, _SLOWEST = 1.0, 10_000.0
"""Milliseconds at the bottom and at the top of a drawing; in between it is logarithmic."""


@dataclass(frozen=True)
class Band:
    """A step or a station on the time line: where it begins and how wide it is, in units of the drawing."""

    number: int
    segment: Segment
    x: float
    width: float


@dataclass(frozen=True)
class Track:
    """One destination on the time line: the slowest request of each bucket, and buckets in which some were lost."""

    series: Series
    slowest: str
    lost: str
    note: str


def render(upgrade: Upgrade) -> str:
    """An upgrade as a page."""
    return page.render(
        "upgrade.html.j2",
        style="upgrade.css",
        upgrade=upgrade,
        subject=f"Istio {upgrade.old} → {upgrade.new} under traffic",
        bands=bands(upgrade),
        tracks=[track(each, upgrade.bucket_seconds, upgrade.seconds) for each in upgrade.series],
        size=(WIDTH, HEIGHT),
        ticks=ticks(upgrade.seconds),
        sent=sent_in,
    )


def bands(upgrade: Upgrade) -> list[Band]:
    """Where the segments lie."""
    scale = WIDTH / max(upgrade.seconds, 1)
    return [
        Band(number, each, round(each.begins * scale, 1), round(max(each.ends - each.begins, 0) * scale, 1))
        for number, each in enumerate(upgrade.segments, start=1)
    ]


def track(series: Series, bucket: float, seconds: float) -> Track:
    """A destination as two SVG paths: a bar a bucket, as high as its slowest request; and a bar where some were lost.

    Args:
        series: the destination.
        bucket: seconds of a bucket.
        seconds: length of the time line.
    """
    width = bucket * WIDTH / max(seconds, 1)
    slowest = [_bar(place * width, width, _height(ms)) for place, ms in enumerate(series.slowest_ms) if ms is not None]
    lost = [_bar(place * width, width, HEIGHT) for place, count in enumerate(series.lost) if count]
    most = max((ms for ms in series.slowest_ms if ms is not None), default=None)
    told = f"slowest {milliseconds(most)}" if most is not None else "none answered"
    return Track(series, "".join(slowest), "".join(lost), f"{several(sum(series.lost), 'request')} lost, {told}")


def _height(ms: float) -> float:
    place = math.log10(min(max(ms, _FASTEST), _SLOWEST) / _FASTEST) / math.log10(_SLOWEST / _FASTEST)
    return max(1.0, place * HEIGHT)


def _bar(x: float, width: float, height: float) -> str:
    return f"M{x:.1f} {HEIGHT}v{-height:.1f}h{max(width, 1):.1f}v{height:.1f}z"


def ticks(seconds: float) -> list[tuple[float, str]]:
    """Times for the axis: positions in per cent of it, and minutes."""
    step = next((step for step in (30, 60, 120, 300, 600, 1200, 3600) if seconds / step <= 10), 7200)
    count = int(seconds // step) + 1
    return [(round(100 * n * step / max(seconds, 1), 2), f"{n * step / 60:g}") for n in range(count)]


def sent_in(segment: Segment) -> tuple[int, int]:
    """Requests of a segment, and how many of them were lost."""
    return sum(each.requests for each in segment.sent), sum(each.lost for each in segment.sent)
