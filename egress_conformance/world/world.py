"""The world: servers and a DNS outside the mesh, and the host names a case gets there."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from egress_conformance.cluster.kube import Kube, Refused
from egress_conformance.errors import PlatformTrouble
from egress_conformance.traffic.attempt import Receipt
from egress_conformance.world.certs import Issuer

DOMAIN = "world.test"
"""Every host of the world lies here; `test` is reserved and exists nowhere (RFC 6761)."""

COLLECTOR_PORT = 9411
_SERVER_CONTROL, _DNS_CONTROL = 8800, 8801


@dataclass(frozen=True)
class Server:
    """A server of the world.

    Attributes:
        name: alpha, beta, or decoy.
        address: its pod's IP.
        instance: what only this server can tell, new at each start.
    """

    name: str
    address: str
    instance: str


@dataclass(frozen=True)
class Site:
    """A host name of a case's own, with servers behind it.

    Attributes:
        host: the name, known to the world's DNS.
        servers: who is behind it.
        address: something else for a TCP client to dial than the first server's address.
    """

    host: str
    servers: tuple[Server, ...]

    @property
    def addresses(self) -> list[str]:
        """The servers' addresses."""
        return [server.address for server in self.servers]

    @property
    def address(self) -> str:
        """The first server's address."""
        return self.servers[0].address

    def url(self, path: str = "/headers", *, scheme: str = "http", port: int | None = None) -> str:
        """A URL on this host."""
        where = f":{port}" if port else ""
        return f"{scheme}://{self.host}{where}{path}"


@dataclass(frozen=True)
class Query:
    """A question the world's DNS was asked.

    Attributes:
        remote: who asked, `ip:port`.
        transport: udp or tcp.
        name: without the dot at its end.
        type: A, AAAA, ...
        rcode: how it was answered: NOERROR, NXDOMAIN or SERVFAIL.
        answers: the addresses in the answer.
    """

    remote: str
    transport: str
    name: str
    type: str
    rcode: str
    answers: tuple[str, ...]

    @classmethod
    def parse(cls, doc: dict[str, Any]) -> "Query":
        """A query from the JSON the world's DNS speaks (images/world)."""
        text = {key: str(doc[key]) for key in cls.__dataclass_fields__ if key != "answers"}
        return cls(answers=tuple(doc["answers"]), **text)

    def __str__(self) -> str:
        said = ", ".join(self.answers) or "no address"
        return f"{self.type} {self.name} over {self.transport} from {self.remote}: {self.rcode}, {said}"


@dataclass
class World:
    """What lies outside the mesh, as one case sees it.

    Args:
        kube: the cluster.
        namespace: where the world's pods are.
        servers: all of them by name.
        label: what the case's host names start with.
    """

    kube: Kube
    namespace: str
    servers: dict[str, Server]
    label: str
    _hosts: list[str] = field(default_factory=list)

    @property
    def decoy(self) -> Server:
        """A server no site has: where wrong addresses lead to."""
        return self.servers["decoy"]

    def site(self, *names: str) -> Site:
        """A new host name with servers behind it, alpha if none is named."""
        host = f"{self.label}-{secrets.token_hex(3)}.{DOMAIN}"
        site = Site(host, tuple(self.servers[name] for name in names or ("alpha",)))
        self.answer(host, site.addresses)
        return site

    def answer(
        self, host: str, addresses: list[str], *, ttl: int = 1, rcode: str = "NOERROR", delay: float = 0
    ) -> None:
        """Change what the world's DNS answers for a host; in effect with the next query.

        Args:
            host: the name; `*.name` for any below.
            addresses: A records, in this order.
            ttl: seconds.
            rcode: NOERROR, NXDOMAIN or SERVFAIL.
            delay: seconds before the answer.
        """
        if host not in self._hosts:
            self._hosts.append(host)
        body = {"addresses": addresses, "ttl": ttl, "rcode": rcode, "delay": f"{delay}s"}
        self._control("dns", _DNS_CONTROL, f"PUT /hosts/{host}", body=body)

    def queries_mark(self) -> int:
        """Where the list of questions to the world's DNS stands now."""
        return int(self._control("dns", _DNS_CONTROL, "GET /queries", query={"match": "no such name"})["seq"])

    def queries(self, after: int, host: str, *, type: str = "A") -> list[Query]:  # noqa: A002  (the word of DNS)
        """What the world's DNS was asked for a host since a mark, by anybody.

        Args:
            after: the mark.
            host: the name.
            type: of the record.
        """
        query: dict[str, str | list[str]] = {"after": str(after), "match": host}
        said = self._control("dns", _DNS_CONTROL, "GET /queries", query=query)["queries"]
        found = [Query.parse(each) for each in said]
        return [each for each in found if (each.name, each.type) == (host, type)]

    def issuer(self) -> Issuer:
        """The CA of the world's servers, which every client pod trusts."""
        secret = self.kube.get("v1", "Secret", "world-ca", self.namespace)
        if secret is None:
            raise PlatformTrouble("world gone", "the world's CA is not there")
        return Issuer(secret["data"]["tls.crt"], secret["data"]["tls.key"])

    def forget(self) -> None:
        """Take this case's host names out of the DNS."""
        while self._hosts:
            self._control("dns", _DNS_CONTROL, f"DELETE /hosts/{self._hosts.pop()}")

    def mark(self) -> dict[str, int]:
        """Where each server's receipts stand now."""
        answers = self._ask(dict.fromkeys(self.servers, 0), ["no such nonce"])
        return {name: int(said["seq"]) for name, said in answers.items()}

    def receipts(self, after: dict[str, int], match: list[str]) -> list[Receipt]:
        """What the servers received since a mark.

        Args:
            after: the mark.
            match: parts of nonces, hosts or SNI, or the address of a caller.

        Raises:
            PlatformTrouble: a server restarted in between, so that its silence would prove nothing.
        """
        return [receipt for receipt in self._receipts(after, match) if receipt.port != COLLECTOR_PORT]

    def spans(self, after: dict[str, int], caller: str) -> list[Receipt]:
        """Requests with spans that the trace collector received since a mark.

        Args:
            after: the mark.
            caller: address of the pod whose proxy sends them.
        """
        receipts = self._receipts(after, [caller])
        return [receipt for receipt in receipts if receipt.port == COLLECTOR_PORT and receipt.event == "request"]

    def _receipts(self, after: dict[str, int], match: list[str]) -> list[Receipt]:
        found = []
        for name, said in self._ask(after, match).items():
            if said["instance"] != self.servers[name].instance:
                raise PlatformTrouble("world pod restarted", f"{name} is another instance than at the start")
            if int(said["oldest"]) > after[name] + 1:
                raise PlatformTrouble("receipts lost", f"{name} received more than it keeps")
            found += [Receipt.parse(doc) for doc in said["receipts"]]
        return found

    def _ask(self, after: dict[str, int], match: list[str]) -> dict[str, dict[str, Any]]:
        """What each server says of its receipts: the first is asked, and asks the others, as it is nearer to them."""
        first, *others = after
        peers = [f"{_literal(self.servers[name].address)}:{_SERVER_CONTROL},{after[name]}" for name in others]
        query: dict[str, str | list[str]] = {"after": str(after[first]), "match": match, "peer": peers}
        said = self._control(first, _SERVER_CONTROL, "GET /receipts", query=query)
        return {first: said, **dict(zip(others, said.get("peers", []), strict=True))}

    def _control(self, pod: str, port: int, request: str, **content: Any) -> dict[str, Any]:  # noqa: ANN401
        return control(self.kube, f"{self.namespace}/{pod}:{port}", request, **content)


def _literal(address: str) -> str:
    """An address as it stands before a port (RFC 3986, section 3.2.2)."""
    return f"[{address}]" if ":" in address else address


def control(
    kube: Kube, where: str, request: str, *, query: dict[str, str | list[str]] | None = None, body: object = None
) -> dict[str, Any]:
    """Talk to a world pod's control port, by the API server's pod proxy.

    Args:
        kube: the cluster.
        where: `namespace/pod:port`.
        request: method and path.
        query: query parameters.
        body: sent as JSON.

    Raises:
        PlatformTrouble: the pod is gone or does not answer.
    """
    namespace, _, pod = where.partition("/")
    method, _, path = request.partition(" ")
    try:
        said = kube.raw(method, f"/api/v1/namespaces/{namespace}/pods/{pod}/proxy{path}", query=query, body=body)
    except Refused as refused:
        raise PlatformTrouble("world pod gone", f"{where}: {refused.message}") from None
    answer: dict[str, Any] = json.loads(said or b"{}")
    return answer


def find_servers(kube: Kube, namespace: str) -> dict[str, Server]:
    """The world's servers as they are now.

    Raises:
        PlatformTrouble: one of them does not answer.
    """
    found = {}
    for pod in kube.find("v1", "Pod", namespace, "world=server"):
        name = pod["metadata"]["name"]
        instance = control(kube, f"{namespace}/{name}:{_SERVER_CONTROL}", "GET /identity")["instance"]
        found[name] = Server(name, pod["status"]["podIP"], instance)
    return found
