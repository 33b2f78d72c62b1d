"""How a ledger's values read to a person, the same in every report."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

# What XML forbids or a reader cannot see: control characters, lone surrogates and non-characters, and
# the marks that turn the direction of text around (with which evidence could be made to read otherwise).
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")


def shown(text: str) -> str:
    """Make every character of `text` visible, and fit for XML and a terminal.

    Returns:
        The text with control characters as their pictures (NUL is ␀, escape ␛) and line ends as newlines.
    """
    return _UNSEEN.sub(lambda match: _picture(ord(match[0])), text.replace("\r\n", "\n"))


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"


def started_at(started: str) -> datetime | None:
    """When a run started, in UTC; None where `started` is no ISO 8601 time."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def utc(started: str) -> str:
    """A time stamp for a reader: ``28 August 2026, 03:41 UTC``."""
    moment = started_at(started)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC" if moment else started


def milliseconds(value: float) -> str:
    """A short time: ``412 ms``, ``2.38 s``, ``1 min 5 s``."""
    if value < 999.5:
        return f"{value:.0f} ms"
    return f"{value / 1000:.2f} s" if value < 9_995 else duration(value / 1000)


def duration(seconds: float) -> str:
    """A longer time: ``0.4 s``, ``41 s``, ``3 min 12 s``, ``1 h 2 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def several(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: ``1 case``, ``2 cases``."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


@dataclass(frozen=True)
class Reason:
    """A reason taken apart.

    Attributes:
        lead: its first line.
        points: the lines of the list that follows at once, if one does.
        rest: what comes after that, with its indentation.
    """

    lead: str
    points: list[str]
    rest: str

    @property
    def gist(self) -> str:
        """The lead and the points in one line."""
        return " ".join(" ".join([self.lead, "; ".join(self.points)]).split())


def reason(text: str) -> Reason:
    """Take the reason of a case apart: ``lead``, then ``- point`` lines, then whatever else it says."""
    lead, *lines = shown(text).strip("\n").split("\n")
    points = list(takewhile(lambda line: line.startswith("  - "), lines))
    return Reason(lead, [point[4:] for point in points], "\n".join(lines[len(points) :]).strip("\n"))


def value(observed: Any) -> str:  # noqa: ANN401  (observations are any JSON)
    """An observation as text: strings as they are, anything else as JSON."""
    return observed if isinstance(observed, str) else json.dumps(observed, ensure_ascii=False, default=str)
