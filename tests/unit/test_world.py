"""The world as a case sees it: hosts, DNS answers and receipts, over a control port the test plays."""

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from egress_conformance.cluster.kube import Doc, Refused
from egress_conformance.errors import PlatformTrouble, Timeout, UserError
from egress_conformance.world.certs import make_ca
from egress_conformance.world.pods import is_ready, make_world, wait_for_pods
from egress_conformance.world.world import COLLECTOR_PORT, Server, World, find_servers
from tests.unit.fakes import ALPHA, BETA, CLIENT, DECOY, Clock, FakeKube

PODS = "/api/v1/namespaces/ns/pods"


class Control(FakeKube):
    """A cluster whose world pods answer at their control ports."""

    def __init__(self) -> None:
        super().__init__()
        self.hosts: dict[str, Any] = {}
        self.receipts: dict[str, dict[str, Any]] = {}
        for server in (ALPHA, BETA, DECOY):
            self.receipts[server.name] = {"instance": server.instance, "seq": 7, "oldest": 1, "receipts": []}
        self.queries: list[Any] = []
        self.asked: list[Doc] = []

    def raw(self, method: str, path: str, **content: Any) -> bytes:  # noqa: ANN401
        pod, _, rest = path.removeprefix(f"{PODS}/").partition("/proxy/")
        if pod == "dns:8801" and rest.startswith("hosts/"):
            return self._host(method, rest.removeprefix("hosts/"), content["body"])
        if pod == "dns:8801" and rest == "queries":
            self.queries.append(content["query"])
            return json.dumps({"seq": 3 + len(self.asked), "queries": self.asked}).encode()
        name, _, port = pod.partition(":")
        assert (method, port) == ("GET", "8800"), path
        if name not in self.receipts:
            raise Refused(404, f'pods "{name}" not found')
        if rest == "identity":
            return json.dumps({"server": name, "instance": self.receipts[name]["instance"]}).encode()
        assert rest == "receipts"
        self.queries.append(content["query"])
        peers = [self._peer(*peer.split(":8800,")) for peer in content["query"]["peer"]]
        return json.dumps({**self.receipts[name], "peers": peers}).encode()

    def _peer(self, address: str, after: str) -> Doc:
        (name,) = [server.name for server in (ALPHA, BETA, DECOY) if server.address == address]
        assert after.isdigit()
        if name not in self.receipts:
            raise Refused(424, f"dial tcp {address}:8800: connect: connection refused")
        return self.receipts[name]

    def _host(self, method: str, host: str, body: Any) -> bytes:  # noqa: ANN401
        assert method in {"PUT", "DELETE"}
        if method == "DELETE":
            del self.hosts[host]
            return b'{"removed": true}'
        self.hosts[host] = body
        return b""


@pytest.fixture
def kube() -> Control:
    return Control()


@pytest.fixture
def world(kube: Control) -> World:
    servers = {server.name: server for server in (ALPHA, BETA, DECOY)}
    return World(kube, "ns", servers, "res-01")


def test_a_site_is_a_host_of_its_own_known_to_the_worlds_dns(world: World, kube: Control) -> None:
    first, second = world.site(), world.site("beta", "alpha")
    assert first.host != second.host
    assert first.host.startswith("res-01-")
    assert first.host.endswith(".world.test")
    assert (first.addresses, second.addresses) == ([ALPHA.address], [BETA.address, ALPHA.address])
    assert (first.address, second.address) == (ALPHA.address, BETA.address)
    answered = {"ttl": 1, "rcode": "NOERROR", "delay": "0s"}
    assert kube.hosts == {
        first.host: {"addresses": [ALPHA.address], **answered},
        second.host: {"addresses": [BETA.address, ALPHA.address], **answered},
    }


def test_a_site_has_urls(world: World) -> None:
    site = world.site()
    assert site.url() == f"http://{site.host}/headers"
    assert site.url("/x", scheme="https", port=8443) == f"https://{site.host}:8443/x"


def test_no_site_is_the_decoys(world: World) -> None:
    assert world.decoy == DECOY
    assert DECOY not in world.site().servers


def test_what_the_dns_answers_can_be_changed_and_is_forgotten_at_the_end(world: World, kube: Control) -> None:
    site = world.site()
    world.answer(site.host, [], rcode="NXDOMAIN", ttl=30, delay=1.5)
    assert kube.hosts[site.host] == {"addresses": [], "ttl": 30, "rcode": "NXDOMAIN", "delay": "1.5s"}
    world.answer("*.other.test", [BETA.address])
    world.forget()
    assert kube.hosts == {}
    world.forget()


def received(server: Server, nonce: str, **changes: Any) -> Doc:  # noqa: ANN401
    said = {"server": server.name, "instance": server.instance, "port": 80, "event": "request", "nonce": nonce}
    return {**said, "remote": f"{CLIENT}:50001", **changes}


def test_receipts_are_those_of_all_servers_since_the_mark(world: World, kube: Control) -> None:
    mark = world.mark()
    assert mark == {"alpha": 7, "beta": 7, "decoy": 7}
    kube.queries.clear()
    kube.receipts["alpha"].update(seq=9, oldest=8, receipts=[received(ALPHA, "n-1")])
    kube.receipts["decoy"].update(seq=8, receipts=[received(DECOY, "n-1")])
    found = world.receipts(mark, ["n-", CLIENT])
    assert [(each.server, each.nonce) for each in found] == [("alpha", "n-1"), ("decoy", "n-1")]
    peers = [f"{BETA.address}:8800,7", f"{DECOY.address}:8800,7"]
    assert kube.queries == [{"after": "7", "match": ["n-", CLIENT], "peer": peers}]


def test_spans_that_envoy_reports_are_no_receipts(world: World, kube: Control) -> None:
    kube.receipts["beta"]["receipts"] = [received(BETA, "", port=COLLECTOR_PORT), received(BETA, "n-1")]
    assert [each.nonce for each in world.receipts(world.mark(), ["n"])] == ["n-1"]
    kube.queries.clear()
    assert [(each.server, each.port) for each in world.spans({"beta": 7}, CLIENT)] == [("beta", COLLECTOR_PORT)]
    assert kube.queries == [{"after": "7", "match": [CLIENT], "peer": []}]


def test_the_silence_of_a_server_that_restarted_proves_nothing(world: World, kube: Control) -> None:
    mark = world.mark()
    kube.receipts["beta"].update(instance="another", seq=0)
    with pytest.raises(PlatformTrouble, match="world pod restarted: beta is another instance than at the start"):
        world.receipts(mark, ["n"])


def test_what_the_dns_was_asked_for_a_host_is_told(world: World, kube: Control) -> None:
    host = "a.world.test"
    mark = world.queries_mark()
    assert mark == 3
    kube.queries.clear()
    asked = {"seq": 4, "remote": f"{CLIENT}:5", "transport": "udp", "name": host, "type": "A", "rcode": "NOERROR"}
    kube.asked = [
        {**asked, "answers": [ALPHA.address]},
        {**asked, "type": "AAAA", "answers": []},
        {**asked, "name": f"b.{host}", "answers": []},
    ]
    (query,) = world.queries(mark, host)
    assert str(query) == f"A {host} over udp from {CLIENT}:5: NOERROR, {ALPHA.address}"
    assert [str(each) for each in world.queries(mark, host, type="AAAA")] == [
        f"AAAA {host} over udp from {CLIENT}:5: NOERROR, no address"
    ]
    assert kube.queries == [{"after": "3", "match": host}] * 2


def test_nor_that_of_a_server_that_forgot_some(world: World, kube: Control) -> None:
    mark = world.mark()
    kube.receipts["alpha"].update(seq=60_000, oldest=9)
    with pytest.raises(PlatformTrouble, match="receipts lost: alpha received more than it keeps"):
        world.receipts(mark, ["n"])
    kube.receipts["alpha"].update(oldest=8)
    assert world.receipts(mark, ["n"]) == []


def test_nor_that_of_one_that_is_gone(world: World, kube: Control) -> None:
    mark = world.mark()
    del kube.receipts["decoy"]
    with pytest.raises(PlatformTrouble, match=rf"world pod gone: ns/alpha:8800: dial tcp {DECOY.address}:8800"):
        world.receipts(mark, ["n"])
    del kube.receipts["alpha"]
    with pytest.raises(PlatformTrouble, match='world pod gone: ns/alpha:8800: pods "alpha" not found'):
        world.receipts(mark, ["n"])


def pod(name: str, *, ready: bool = True, phase: str = "Running", image: str = "world:2", **labels: str) -> Doc:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "ns", "labels": labels},
        "spec": {"containers": [{"name": "world", "image": image}]},
        "status": {
            "phase": phase,
            "podIP": {"alpha": ALPHA, "beta": BETA}.get(name, DECOY).address,
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


def test_servers_are_found_with_what_only_they_can_tell(kube: Control) -> None:
    kube.add(pod("alpha", world="server"), pod("beta", world="server"), pod("dns", world="dns"))
    assert find_servers(kube, "ns") == {"alpha": ALPHA, "beta": BETA}


def test_a_pod_is_ready_when_kubernetes_says_so() -> None:
    assert is_ready(pod("a"))
    assert not is_ready(pod("a", ready=False))
    assert not is_ready({"status": {}})
    assert not is_ready({})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


class Pods(FakeKube):
    """A cluster in which something happens at each look."""

    def __init__(self, *happens: Callable[["Pods"], object]) -> None:
        super().__init__()
        self._happens = list(happens)

    def find(self, api_version: str, kind: str, namespace: str | None = None, labels: str | None = None) -> list[Doc]:
        if self._happens:
            self._happens.pop(0)(self)
        return super().find(api_version, kind, namespace, labels)


def test_pods_are_waited_for_until_all_are_there_and_ready(clock: Clock) -> None:
    kube = Pods(
        lambda _: None,
        lambda kube: kube.add(pod("alpha", app="world"), pod("beta", ready=False, app="world")),
        lambda kube: kube.add(pod("beta", app="world")),
    )
    assert [each["metadata"]["name"] for each in wait_for_pods(kube, "ns", "app=world")] == ["alpha", "beta"]
    assert clock.now == pytest.approx(1000.2)


def test_a_pod_that_does_not_come_is_named_with_its_reason(clock: Clock) -> None:
    broken = pod("beta", ready=False, phase="Pending", app="world")
    waiting = {"reason": "ErrImagePull", "message": "not found"}
    broken["status"]["containerStatuses"] = [{"name": "world", "state": {"waiting": waiting}}]
    kube = FakeKube().add(pod("alpha", app="world"), broken)
    with pytest.raises(Timeout, match="last seen: beta Pending world: ErrImagePull not found; try: kubectl -n ns"):
        wait_for_pods(kube, "ns", "app=world")
    with pytest.raises(Timeout, match="last seen: no pods"):
        wait_for_pods(kube, "ns", "app=client")


DNS_SERVICE: Doc = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
    "spec": {"clusterIP": "10.96.0.10"},
}
MADE = ["Pod ns/dns", "Service ns/dns", "Service ns/tracing", "Pod ns/alpha", "Pod ns/beta", "Pod ns/decoy"]


def test_a_world_is_made_of_a_dns_and_three_servers() -> None:
    kube = FakeKube().add(DNS_SERVICE)
    make_world(kube, "ns", "world:1")
    assert kube.did == [f"apply {what}" for what in MADE]
    dns = kube.objects["Pod", "ns", "dns"]["spec"]["containers"][0]
    assert dns["image"] == "world:1"
    assert "--cluster-dns=10.96.0.10:53" in dns["args"]


def test_a_cluster_without_dns_is_the_users_to_mend() -> None:
    with pytest.raises(UserError, match="the cluster has no DNS Service"):
        make_world(FakeKube(), "ns", "world:1")


def test_a_pod_that_cannot_be_changed_or_has_ended_is_made_anew(clock: Clock) -> None:
    class Stubborn(FakeKube):
        """Refuses to change alpha, as Kubernetes does when more than a pod's image differs."""

        def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
            if doc["metadata"]["name"] == "alpha" and ("Pod", "ns", "alpha") in self.objects:
                self.did.append("refused to change alpha")
                raise Refused(422, "pod updates may not change fields")
            return super().apply(doc, dry_run=dry_run)

    kube = Stubborn()
    kube.add(DNS_SERVICE, pod("dns"), pod("alpha"), pod("beta", phase="Failed"), pod("decoy", phase="Succeeded"))
    make_world(kube, "ns", "world:2")
    assert kube.did == [
        *(f"apply {what}" for what in MADE[:3]),
        "refused to change alpha",
        "delete Pod ns/alpha",
        "apply Pod ns/alpha",
        "delete Pod ns/beta",
        "apply Pod ns/beta",
        "delete Pod ns/decoy",
        "apply Pod ns/decoy",
    ]


def test_a_pod_of_another_image_is_made_anew_and_not_restarted_in_place(clock: Clock) -> None:
    kube = FakeKube().add(DNS_SERVICE, pod("dns"), pod("alpha", image="world:1"), pod("beta"), pod("decoy"))
    make_world(kube, "ns", "world:2")
    assert kube.did == [
        *(f"apply {what}" for what in MADE[:3]),
        "delete Pod ns/alpha",
        *(f"apply {what}" for what in MADE[3:]),
    ]


def test_another_refusal_is_not_answered_by_making_a_pod_anew() -> None:
    kube = FakeKube(refuses={"apply Pod ns/dns": Refused(403, "forbidden")}).add(DNS_SERVICE, pod("dns"))
    with pytest.raises(Refused, match="forbidden"):
        make_world(kube, "ns", "world:2")
    assert kube.did == ["apply Pod ns/dns"]


def test_the_ca_may_issue_certificates_and_nothing_else() -> None:
    certificate_pem, key_pem = make_ca()
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    key = serialization.load_pem_private_key(key_pem, None)
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)
    now = datetime.datetime.now(datetime.UTC)
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc > now + datetime.timedelta(days=300)
    assert make_ca()[1] != key_pem
