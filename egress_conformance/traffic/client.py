"""The client: the pod in the mesh that sends requests."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import PlatformTrouble, Timeout
from egress_conformance.mesh.proxy import Proxy
from egress_conformance.traffic.attempt import other_lines
from egress_conformance.traffic.by_proxy import Blocked
from egress_conformance.traffic.pods import CLIENT
from egress_conformance.traffic.recorder import DEADLINE_SECONDS, Recorder
from egress_conformance.traffic.request import PORTS, Request
from egress_conformance.traffic.sockets import open_connections
from egress_conformance.waiting import wait_for
from egress_conformance.world.world import World

CURL_SECONDS = 5
_LINES_SHOWN = 40
_SOCKETS = ["cat", "/proc/net/tcp"]
TCP_SECONDS = 2
_VERSIONS = {"": [], "1.0": ["--http1.0"], "1.1": ["--http1.1"], "2": ["--http2-prior-knowledge"]}


@dataclass
class Client:
    """One client pod, as one case sees it.

    Args:
        kube: the cluster.
        namespace: where the pod is.
        address: its IP.
        pod: its name.
        world: the world of this case.
        recorder: keeps what the case's checks saw.
    """

    kube: Kube
    namespace: str
    address: str
    world: World
    recorder: Recorder
    pod: str = CLIENT

    @property
    def proxy(self) -> Proxy:
        """The pod's sidecar."""
        return Proxy(self._admin)

    def _admin(self, path: str) -> str:
        command = ["curl", "-sS", "--globoff", "--max-time", "10", f"http://localhost:15000{path}"]
        return self.kube.run(self.namespace, self.pod, CLIENT, command, bash=True)

    def delete(self) -> None:
        """Delete this pod; `clients`, asked for it again, makes it anew."""
        metadata = {"name": self.pod, "namespace": self.namespace}
        self.kube.delete({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})

    def take_evidence(self) -> None:
        """Keep the proxy's view of the hosts the case asked for, and what it logged beside its access log."""
        try:
            view = self.proxy.view(dict.fromkeys(self.recorder.hosts))
            log = self.kube.logs(self.namespace, self.pod, "istio-proxy", since=DEADLINE_SECONDS + 10)
            beside = "\n".join(other_lines(log)[-_LINES_SHOWN:])
            # Tells a line that is missing from one that is not due yet: of TCP it is written when all is over.
            sockets = open_connections(self.kube.run(self.namespace, self.pod, CLIENT, _SOCKETS, bash=True))
        except PlatformTrouble as trouble:
            view, beside, sockets = f"not to be had: {trouble}", "", []
        self.recorder.evidence["the proxy's view"] = view
        if sockets:
            self.recorder.evidence["its open connections"] = "\n".join(sockets)
        if beside:
            self.recorder.evidence["the proxy's log, less its access log"] = beside

    def shows(self, what: str, look: Callable[[Proxy], object], expected: object) -> None:
        """Wait until the sidecar's own view of its configuration has it, as a check without requests.

        Args:
            what: in words.
            look: takes it from the admin port.
            expected: what it must come to.

        Raises:
            CheckFailed: it does not.
        """
        seen: object = None

        def there() -> bool | None:
            nonlocal seen
            seen = look(self.proxy)
            return True if seen == expected else None

        with suppress(Timeout):
            wait_for(what, there, seconds=self.recorder.deadline, hint="istioctl proxy-config", every=0.1)
        self.recorder.fact(f"the sidecar shows {what}: {expected!r}", repr(seen), held=seen == expected)

    def get(self, url: str, *, dial: str | None = None, headers: dict[str, str] | None = None) -> Request:
        """A GET, not yet sent.

        Args:
            url: absolute URL; https is verified against the world's CA.
            dial: connect to this address whatever the host resolves to (`curl --resolve`).
            headers: further request headers.
        """
        return self.request("GET", url, dial=dial, headers=headers)

    def request(
        self,
        method: str,
        url: str,
        *,
        dial: str | None = None,
        headers: dict[str, str] | None = None,
        body: str | bytes | None = None,
        http: str = "",
        seconds: int = CURL_SECONDS,
        options: Sequence[str] = (),
    ) -> Request:
        """An HTTP or HTTPS request, not yet sent.

        Args:
            method: HTTP method.
            url: absolute URL; https is verified against the world's CA.
            dial: connect to this address whatever the host resolves to (`curl --resolve`).
            headers: further request headers.
            body: the request's body; `{nonce}` in it becomes the attempt's nonce.
            http: version to speak: 1.0, 1.1 or 2 (with prior knowledge); "" leaves it to curl.
            seconds: curl's time-out for one attempt.
            options: further options of curl (https://curl.se/docs/manpage.html).
        """
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        arguments = ["--cacert", "/world/ca.crt", "--max-time", str(seconds), *_VERSIONS[http]]
        arguments += ["--head"] if method == "HEAD" else [] if method == "GET" else ["--request", method]
        if dial is not None:
            arguments += ["--resolve", f"{parts.hostname}:{port}:{dial}"]
        for name, value in (headers or {}).items():
            arguments += ["--header", f"{name}: {value}"]
        if body is not None:
            arguments += ["--data-binary", "@-"]
        mark = "&" if parts.query else "?"
        arguments += [*options, f"{url}{mark}attempt={{nonce}}"]
        description = f"{method} {url}"
        description += f" by HTTP/{http}" if http else ""
        description += f" dialling {dial}" if dial else ""
        blocked = Blocked.TLS_RESET if parts.scheme == "https" else Blocked.BAD_GATEWAY
        authority = parts.netloc.removesuffix(f":{PORTS[parts.scheme]}")
        authority = next((value for name, value in (headers or {}).items() if name.lower() == "host"), authority)
        path = urlsplit(arguments[-1])
        target = f"{path.path or '/'}?{path.query}"
        host = parts.hostname or ""
        return Request(self, description, arguments, body or "", host, blocked, seconds, authority, target)

    def tcp(self, address: str, port: int, *, server_first: bool = False, seconds: float = TCP_SECONDS) -> Request:
        """A TCP connection that sends one line and waits for one line, not yet made.

        Args:
            address: IP address, or a host name.
            port: TCP port.
            server_first: the client says nothing before the server has spoken.
            seconds: curl's time-out for one attempt.
        """
        arguments = ["--max-time", str(seconds), "--no-buffer", f"telnet://{address}:{port}"]
        stdin = "{greeting}{nonce}\n" if server_first else "{nonce}\n"
        return Request(self, f"TCP to {address}:{port}", arguments, stdin, address, Blocked.TCP_CLOSED, seconds)
