"""A client's Envoy, as its admin port tells it: typed values, read through an exec in the client container.

Formats: https://www.envoyproxy.io/docs/envoy/latest/operations/admin
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from egress_conformance.case import Mode
from egress_conformance.report.ledger import DataPlane
from egress_conformance.waiting import wait_for

MODE_SECONDS = 30


@dataclass(frozen=True)
class Endpoint:
    """One row of `istioctl proxy-config endpoint`."""

    address: str
    port: int
    status: str
    outlier_check: str
    cluster: str

    def __str__(self) -> str:
        return f"{self.address}:{self.port}  {self.status}  {self.outlier_check}  {self.cluster}"


class Proxy:
    """One Envoy.

    Args:
        admin: fetches a path of the admin port and returns the body.
    """

    def __init__(self, admin: Callable[[str], str]) -> None:
        self._admin = admin

    def _json(self, path: str) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self._admin(path))
        return parsed

    def data_plane(self) -> DataPlane:
        """Which build runs, told by what is compiled in: only Istio's own has the `istio.stats` filter.

        The version of Istio is what its agent wrote into the node's metadata (ISTIO_VERSION).
        """
        info = self._json("/server_info")
        extensions = self._admin("/config_dump?resource=bootstrap")
        return DataPlane(
            kind="istio-proxy" if '"istio.stats"' in extensions else "envoy",
            version=str(info["version"]).split("/")[1],
            istio=str(info.get("node", {}).get("metadata", {}).get("ISTIO_VERSION", "")),
        )

    def endpoints(self, host: str) -> list[Endpoint]:
        """Endpoints of the clusters of a host, as `istioctl proxy-config endpoint` lists them."""
        return [endpoint for endpoint in self._endpoints() if endpoint.cluster.endswith(f"|{host}")]

    def _endpoints(self) -> list[Endpoint]:
        found = []
        for cluster in self._json("/clusters?format=json").get("cluster_statuses", []):
            for host in cluster.get("host_statuses", []):
                socket = host["address"].get("socket_address", {})
                health = host["health_status"]
                healthy = health.get("eds_health_status", "HEALTHY") == "HEALTHY"
                found.append(
                    Endpoint(
                        address=socket.get("address", ""),
                        port=socket.get("port_value", 0),
                        status="HEALTHY" if healthy else "UNHEALTHY",
                        outlier_check="FAILED" if health.get("failed_outlier_check") else "OK",
                        cluster=cluster["name"],
                    )
                )
        return found

    def clusters(self, host: str = "") -> dict[str, str]:
        """Names and types (EDS, STRICT_DNS, ORIGINAL_DST, ...) of the clusters of a host, or of all."""
        configs = self._json("/config_dump?resource=dynamic_active_clusters").get("configs", [])
        clusters = [config["cluster"] for config in configs]
        return {c["name"]: c.get("type", "STATIC") for c in clusters if c["name"].endswith(host)}

    def _cluster(self, name: str) -> dict[str, Any]:
        """A cluster as istiod sent it; {} if it is not there."""
        configs = self._json("/config_dump?resource=dynamic_active_clusters").get("configs", [])
        return next((config["cluster"] for config in configs if config["cluster"]["name"] == name), {})

    def thresholds(self, cluster: str) -> dict[str, float]:
        """Circuit breaker thresholds of a cluster at default priority, e.g. `max_requests`; {} if it is not there.

        A retry budget's are `retry_budget.budget_percent` and `retry_budget.min_retry_concurrency`.
        """
        flat: dict[str, float] = {}
        for threshold in self._cluster(cluster).get("circuit_breakers", {}).get("thresholds", [])[:1]:
            budget = threshold.pop("retry_budget", {})
            flat.update((name, value) for name, value in threshold.items() if isinstance(value, int))
            # A wrapped double is written as {"value": 20}; a default of 0 is left out.
            flat.update((f"retry_budget.{name}", _number(value)) for name, value in budget.items())
        return flat

    def connection_options(self, cluster: str) -> dict[str, int | str]:
        """How a cluster keeps its connections, as far as it says so.

        `max_requests_per_connection`, `idle_timeout` (e.g. ``0.300s``), and of TCP keepalive `keepalive_time`,
        `keepalive_interval` (seconds) and `keepalive_probes`.
        """
        found = self._cluster(cluster)
        options = found.get("typed_extension_protocol_options", {})
        http = options.get("envoy.extensions.upstreams.http.v3.HttpProtocolOptions", {})
        tcp = found.get("upstream_connection_options", {}).get("tcp_keepalive", {})
        return {**http.get("common_http_protocol_options", {}), **tcp}

    def sni(self, cluster: str) -> str:
        """The server name a cluster sends in TLS; "" where it is taken from each request, or there is no TLS."""
        context = self._cluster(cluster).get("transport_socket", {}).get("typed_config", {})
        return str(context.get("sni", ""))

    def listeners(self) -> dict[str, str]:
        """Names and addresses (`ip:port`) of the listeners; those inside Envoy itself have none and are left out."""
        found = {}
        for listener in self._json("/listeners?format=json").get("listener_statuses", []):
            socket = listener["local_address"].get("socket_address")
            if socket is not None:
                found[listener["name"]] = f"{socket['address']}:{socket['port_value']}"
        return found

    def listener_filters(self, name: str) -> list[str]:
        """Short names of a listener's listener filters, in order (`tls_inspector`, ...); [] if there is no listener."""
        configs = self._json(f"/config_dump?resource=dynamic_listeners&name_regex=^{name}$").get("configs", [])
        listeners = [config.get("active_state", {}).get("listener", {}) for config in configs]
        return [each["name"].rpartition(".")[2] for one in listeners for each in one.get("listener_filters", [])]

    def routes(self, host: str) -> list[str]:
        """`route configuration: virtual host -> domains` of each virtual host that names a host."""
        configs = self._json("/config_dump?resource=dynamic_route_configs").get("configs", [])
        return [
            f"{route['route_config']['name']}: {virtual['name']} -> {', '.join(virtual['domains'])}"
            for route in configs
            for virtual in route["route_config"].get("virtual_hosts", [])
            if any(host in domain for domain in virtual["domains"])
        ]

    def destinations(self) -> set[str]:
        """Names of the clusters that its active listeners and its routes lead to."""
        listeners = self._json("/config_dump?resource=dynamic_listeners").get("configs", [])
        routes = self._json("/config_dump?resource=dynamic_route_configs").get("configs", [])
        active = [listener.get("active_state", {}) for listener in listeners] + routes
        return set(re.findall(r'"cluster": "([^"]+)"', json.dumps(active)))

    def view(self, hosts: Iterable[str]) -> str:
        """What this proxy knows of some hosts: what an expert would ask for first."""
        lines = []
        for host in hosts:
            known = [f"  cluster  {name} ({kind})" for name, kind in self.clusters(host).items()]
            known += [f"  endpoint {endpoint}" for endpoint in self.endpoints(host)]
            known += [f"  route    {route}" for route in self.routes(host)]
            lines += [f"host {host}", *(known or ["  nothing: no cluster, no endpoint, no route"])]
        ports = {address.rpartition(":")[2] for address in self.listeners().values()}
        lines.append(f"listeners on ports {', '.join(sorted(ports, key=int))}; mode {self.mode()}")
        return "\n".join(lines)

    def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match a regular expression."""
        return parse_stats(self._admin(f"/stats?filter={pattern}"))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a Prometheus metric's series that have these labels; 0 if there is none."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        lines = self._admin(f"/stats/prometheus?filter={name}").splitlines()
        series = [line.rpartition(" ") for line in lines if line.startswith(f"{name}{{")]
        return sum(float(value) for key, _, value in series if wanted <= set(re.findall(r'\w+="[^"]*"', key)))

    def configured_at(self) -> float:
        """When it last got clusters from istiod, in seconds since the epoch; it gets all of them on each connection.

        That a stream is open proves nothing: the agent keeps one while it looks for an istiod.
        """
        return self.stats("^cluster_manager[.]cds[.]update_time$").get("cluster_manager.cds.update_time", 0) / 1000

    def memory(self) -> int:
        """Bytes that Envoy has allocated."""
        return int(self._json("/memory")["allocated"])

    def rejections(self) -> dict[str, int]:
        """Counters of rejected clusters and listeners; they never go back, so compare deltas."""
        return self.stats("(cds|lds)[.]update_rejected")

    def mode(self) -> Mode | None:
        """The mode this proxy obeys, told by where its catch-all listener sends unmatched connections."""
        dump = self._admin("/config_dump?resource=dynamic_listeners&name_regex=virtualOutbound")
        names = "PassthroughCluster|BlackHoleCluster|AllowAnyDynamicDNSCluster"
        clusters = set(re.findall(rf'"cluster": "({names})"', _default_chain(dump)))
        if "AllowAnyDynamicDNSCluster" in clusters:
            return Mode.ALLOW_ANY_DYNAMIC_DNS
        if "PassthroughCluster" in clusters:
            return Mode.ALLOW_ANY
        return Mode.REGISTRY_ONLY if clusters else None

    def wait_for_mode(self, mode: Mode, seconds: float = MODE_SECONDS) -> None:
        """Wait until the proxy obeys a mode.

        Raises:
            Timeout: it does not.
        """
        wait_for(
            f"the proxy to obey {mode}",
            lambda: True if self.mode() == mode else None,
            seconds=seconds,
            hint="istioctl proxy-status; does a Sidecar or another revision's mesh config set the mode here?",
            every=0.05,
            seen=lambda: f"mode {self.mode()}",
        )


def _number(value: float | dict[str, float]) -> float:
    return value.get("value", 0) if isinstance(value, dict) else value


def _default_chain(dump: str) -> str:
    """The part of the virtual outbound listener that holds the catch-all filter chain, as indented JSON."""
    chains = []
    for config in json.loads(dump).get("configs", []):
        listener = config.get("active_state", {}).get("listener", {})
        chains += [c for c in listener.get("filter_chains", []) if "catchall" in c.get("name", "")]
        if "default_filter_chain" in listener:
            chains.append(listener["default_filter_chain"])
    return json.dumps(chains)


def parse_stats(text: str) -> dict[str, int]:
    """Parse Envoy's plain-text stats; histograms are left out."""
    pairs = (line.partition(": ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdigit()}
