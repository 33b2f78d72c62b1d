"""Replaces what differs from run to run by words that do not, so that two runs of one version read the same."""

import re
from collections.abc import Mapping
from typing import Any

from egress_conformance.world.world import DOMAIN

# A host of a case's own: its id and six random digits. What comes before or after stays: vip-, *., the port.
_HOST = re.compile(rf"\b([a-z]{{3,4}}-\d{{2}}[a-z]?)-([0-9a-f]{{6}})(?=\.{re.escape(DOMAIN)}\b)")
_NAMESPACE = re.compile(r"\begress-r[0-9a-f]{6}-(?:second-[0-9a-f]{4}|[a-z]+\d*)")
_POD = re.compile(r"\b([a-z][a-z0-9-]*)-[0-9a-f]{8,10}-[a-z0-9]{5}\b")
_NONCE = re.compile(r"\bn[0-9a-f]{10}-\d+")
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?")
_END = r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])(?::\d+)?"
# One address, or several in a list: they come sorted, by numbers that another run does not have.
_ENDS = re.compile(rf"{_END}(?:(?P<between>'?, ?'?){_END}(?:(?P=between){_END})*)?")
_EPHEMERAL = 32768
"""From here on Linux takes the source ports of connections (ip_local_port_range)."""


class Stable:
    """The words of one case: its hosts are numbered as they are first seen.

    Args:
        names: what the addresses that the case may come across are called.
    """

    def __init__(self, names: Mapping[str, str] | None = None) -> None:
        self.names = dict(names or {})
        self._roles: dict[str, str] = {}
        self._hosts: dict[str, list[str]] = {}

    def call(self, server: str, role: str) -> None:
        """Call a server by what it is to the case, where another run may have another one for it.

        Args:
            server: its name.
            role: what it is to the case.
        """
        self._roles[server] = role

    def text(self, text: str) -> str:
        """The same text in any run.

        ``rsl-01-a1b2c3.world.test`` becomes ``rsl-01.world.test``, a second host of the case ``rsl-01-2.world.test``;
        an address the name of the server or pod that has it; random ids and times a word for what they are.
        """
        text = _TIME.sub("<time>", _UUID.sub("<uuid>", _NONCE.sub("<nonce>", text)))
        text = _POD.sub(r"\1-<pod>", _NAMESPACE.sub("egress", text))
        text = _ENDS.sub(self._named, _HOST.sub(self._host, text))
        return re.sub(r"\b[a-z]+\b", lambda word: self._roles.get(word[0], word[0]), text) if self._roles else text

    def value(self, value: Any) -> Any:  # noqa: ANN401  (observations are any JSON)
        """The same for every string in a value that JSON can hold, and for keys."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(each) for key, each in value.items()}
        if isinstance(value, set | frozenset):
            return sorted(self.value(each) for each in value)
        return [self.value(each) for each in value] if isinstance(value, list | tuple) else value

    def _host(self, match: re.Match[str]) -> str:
        label, digits = match.groups()
        known = self._hosts.setdefault(label, [])
        if digits not in known:
            known.append(digits)
        number = known.index(digits) + 1
        return label if number == 1 else f"{label}-{number}"

    def _named(self, match: re.Match[str]) -> str:
        ends = [self._end(end) for end in re.findall(_END, match[0])]
        return (match["between"] or "").join(sorted(ends))

    def _end(self, end: str) -> str:
        address, colon, port = end.partition(":")
        port = "*" if port and int(port) >= _EPHEMERAL else port
        return f"{self.names.get(address, '<address>')}{colon}{port}"
