"""A DNS question as the client's application asks it: what it is told, and who answered.

Three witnesses: the answer itself; the counters of the sidecar's DNS proxy (`istio_agent_dns_requests_total` and
`istio_agent_dns_upstream_requests_total`); and the list of questions the world's DNS was asked.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from egress_conformance.errors import PlatformTrouble
from egress_conformance.traffic.eventually import Look, eventually
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.world.world import Query

if TYPE_CHECKING:
    from egress_conformance.traffic.client import Client

ANSWER_SECONDS = 3
_AGREEING = 2
_SCRIPT = resources.files("egress_conformance.traffic").joinpath("ask.sh")


class By(StrEnum):
    """Who answers a question."""

    PROXY = "the sidecar's DNS proxy, of its own knowledge"
    FORWARDED = "the world's DNS, asked by the sidecar's DNS proxy"
    WORLD = "the world's DNS, asked by the client itself"


@dataclass(frozen=True)
class Told:
    """What the client was told, and what the sidecar's DNS proxy counted meanwhile.

    Attributes:
        rcode: NOERROR, NXDOMAIN, ...; "" if no answer came.
        addresses: those in the answer, sorted.
        requests: how many questions the proxy was asked.
        forwarded: how many of them it passed on.
    """

    rcode: str
    addresses: tuple[str, ...]
    requests: int
    forwarded: int

    def __str__(self) -> str:
        return f"{self.rcode or 'no answer'}, {', '.join(self.addresses) or 'no address'}"


@dataclass(frozen=True)
class Lookup:
    """A question that can be asked as often as it takes to converge.

    Attributes:
        client: who asks.
        host: the name.
        type: of the record, A or AAAA.
        transport: udp or tcp.
    """

    client: Client
    host: str
    type: str = "A"
    transport: str = "udp"

    def __str__(self) -> str:
        return f"{self.type} {self.host} over {self.transport}"

    def ask(self) -> Told:
        """Ask once.

        Raises:
            PlatformTrouble: what came back is no answer of a DNS.
        """
        wire = dns.message.make_query(self.host, self.type).to_wire(prepend_length=self.transport == "tcp")
        command = ["bash", "-c", _SCRIPT.read_text(encoding="utf-8"), "ask", self.transport, str(ANSWER_SECONDS)]
        command.append(base64.b64encode(wire).decode())
        client = self.client
        said = client.kube.run(client.namespace, client.pod, CLIENT, command, bash=True)
        try:
            before, answer, after = said.split("\n")[:3]
            return told(base64.b64decode(answer), _counters(before), _counters(after))
        except (ValueError, dns.exception.DNSException) as error:
            raise PlatformTrouble("client pod broken", f"it asked for {self} and said {said[:200]!r}") from error

    def is_answered(self, by: By, addresses: list[str], *, rcode: str = "NOERROR") -> Told:
        """Wait until the question is answered so, by all three witnesses.

        Args:
            by: who must answer it.
            addresses: those in the answer, in any order.
            rcode: how the answer must be marked.

        Raises:
            CheckFailed: it is not.
        """
        last: Told | None = None

        def look() -> Look:
            nonlocal last
            world = self.client.world
            mark = world.queries_mark()
            last = self.ask()
            queries = world.queries(mark, self.host, type=self.type)
            wanted = (rcode, tuple(sorted(addresses)))
            counted = f"DNS proxy: {last.requests} asked, {last.forwarded} forwarded"
            found = problems(last, queries, by, wanted, self.transport)
            return Look(str(last), found, [counted], [str(query) for query in queries])

        words = f"is told {rcode}, {', '.join(sorted(addresses)) or 'no address'} by {by}"
        eventually(self.client.recorder, f"{self} {words}", look, times=_AGREEING)
        if last is None:  # pragma: no cover  (eventually looks at least once)
            raise AssertionError
        return last


def problems(told: Told, queries: list[Query], by: By, wanted: tuple[str, tuple[str, ...]], over: str) -> list[str]:
    """Where a witness disagrees; empty when all three agree.

    Args:
        told: what the client was told.
        queries: what the world's DNS was asked for the name meanwhile.
        by: who must have answered.
        wanted: the mark of the answer, and its addresses, sorted.
        over: the transport that must have been used all the way.
    """
    found = []
    if (told.rcode, told.addresses) != wanted:
        found.append(f"client: told {told}")
    counts = {By.PROXY: (1, 0), By.FORWARDED: (1, 1), By.WORLD: (0, 0)}[by]
    if (told.requests, told.forwarded) != counts:
        found.append(f"DNS proxy: asked {told.requests} times, forwarded {told.forwarded}, expected {counts}")
    if by == By.PROXY:
        found += [f"world's DNS: asked for {query} in spite of it" for query in queries]
    elif len(queries) != 1:
        found.append(f"world's DNS: asked {len(queries)} times, expected exactly once")
    else:
        (query,) = queries
        said = (query.rcode, tuple(sorted(query.answers)), query.transport)
        if said != (*wanted, over):
            found.append(f"world's DNS: asked for {query}")
    return found


def told(wire: bytes, before: dict[str, int], after: dict[str, int]) -> Told:
    """What an answer on the wire says; an empty one says that none came.

    Args:
        wire: the message.
        before: counters of the DNS proxy before the question.
        after: those after it.
    """
    rcode, addresses = "", ()
    if wire:
        message = dns.message.from_wire(wire)
        rcode = dns.rcode.to_text(message.rcode())
        kinds = {dns.rdatatype.A, dns.rdatatype.AAAA}
        records = [record for rrset in message.answer if rrset.rdtype in kinds for record in rrset]
        addresses = tuple(sorted(record.address for record in records))
    risen = {name: after[name] - before.get(name, 0) for name in after}
    return Told(
        rcode,
        addresses,
        risen.get("istio_agent_dns_requests_total", 0),
        risen.get("istio_agent_dns_upstream_requests_total", 0),
    )


def _counters(line: str) -> dict[str, int]:
    words = line.split()
    return {name.partition("{")[0]: int(value) for name, value in zip(words[::2], words[1::2], strict=True)}
