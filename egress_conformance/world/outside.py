"""The world's pods, as one worker leans on them: looked after between cases, made anew when they broke."""

from collections.abc import Mapping

from egress_conformance.cluster.kube import Kube
from egress_conformance.errors import PlatformTrouble
from egress_conformance.waiting import persist
from egress_conformance.world.image_pull import NOTHING
from egress_conformance.world.pods import make_world, pod_states, wait_for_pods
from egress_conformance.world.world import Server, find_servers

_LABELS = "app=world"


class Outside:
    """What lies outside the mesh, as it is now.

    Args:
        kube: the cluster.
        namespace: where the world's pods are.
        image: theirs, to make them anew.
        pull: what it is pulled with, of `image_pull`.
    """

    def __init__(self, kube: Kube, namespace: str, image: str, pull: Mapping[str, str] = NOTHING) -> None:
        self._kube = kube
        self._namespace = namespace
        self._image = image
        self._pull = pull
        self._states = pod_states(kube, namespace, _LABELS)
        # One that was restarted just now is called ready for a moment yet.
        self.servers: dict[str, Server] = persist(lambda: find_servers(kube, namespace))

    def dns_address(self) -> str:
        """The address of the world's DNS."""
        service = self._kube.get("v1", "Service", "dns", self._namespace)
        if service is None:
            raise PlatformTrouble("world gone", "the world's DNS Service is not there")
        return str(service["spec"]["clusterIP"])

    def ca_certificate(self) -> str:
        """The certificate of the world's CA, in base64."""
        secret = self._kube.get("v1", "Secret", "world-ca", self._namespace)
        if secret is None:
            raise PlatformTrouble("world gone", "the world's CA is not there")
        return str(secret["data"]["tls.crt"])

    def problem(self) -> str:
        """What became of the world's pods since they were last made ready; "" if nothing."""
        now = pod_states(self._kube, self._namespace, _LABELS)
        changed = sorted(name for name in self._states.keys() | now.keys() if self._states.get(name) != now.get(name))
        return f"world pod restarted: {', '.join(changed)}" if changed else ""

    def make_ready(self) -> None:
        """Have the world's pods ready, made anew if they are gone.

        Raises:
            PlatformTrouble: they do not become ready.
        """
        if not self.problem():
            return
        make_world(self._kube, self._namespace, self._image, self._pull)
        wait_for_pods(self._kube, self._namespace, _LABELS)
        self._states = pod_states(self._kube, self._namespace, _LABELS)
        self.servers = find_servers(self._kube, self._namespace)
