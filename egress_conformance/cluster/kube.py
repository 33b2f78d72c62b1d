"""The Kubernetes API, as little of it as the suite needs, with typed results and errors of the project's own."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import kubernetes
import urllib3
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import DynamicApiError
from kubernetes.stream import stream

from egress_conformance.cluster.execs import Exec, Shells
from egress_conformance.errors import PlatformTrouble

Doc = dict[str, Any]

FIELD_MANAGER = "istio-egress-conformance"
"""Field manager of every server-side apply, so that `kubectl get --show-managed-fields` tells who did it."""

MANAGED_LABEL = "app.kubernetes.io/managed-by"
"""Label of all that is the suite's, with FIELD_MANAGER as its value."""


REQUEST_SECONDS = 30
"""How long the API server may take for an answer; a webhook alone may take 10."""


class NoRight(PlatformTrouble):
    """Kubernetes does not let this user do something."""


class Refused(Exception):  # noqa: N818  (what the API server says, not an error of ours)
    """The API server refused a request: admission, validation, conflict, or a thing that is not there.

    Attributes:
        status: HTTP status.
        message: what the API server said.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


_NO_RIGHT = re.compile(r"\bcannot \w+ resource ")
"""How an RBAC authorizer says so; a webhook or a policy that denies a request has words of its own.

https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

_BEHIND = {"failed calling webhook": "admission webhook away", "error trying to reach service": "pod does not answer"}
"""Whom the API server could not reach, by its words for it; it is there itself."""


def _message(error: ApiException | DynamicApiError) -> str:
    body: Any = error.body
    try:
        return str(json.loads(body)["message"])
    except (KeyError, TypeError, ValueError):
        return str(body or error.reason)


@contextmanager
def _api_errors(what: str) -> Iterator[None]:
    """Turn the client's errors into Refused (an answer) or PlatformTrouble (none, or one about who asked)."""
    try:
        yield
    except (ApiException, DynamicApiError) as error:
        message = _message(error)
        if error.status == HTTPStatus.FORBIDDEN and _NO_RIGHT.search(message):
            raise NoRight("missing right", f"{what}: {message}") from None
        if error.status and error.status < 500 and error.status != 429:
            raise Refused(error.status, message) from None
        reason = next((reason for words, reason in _BEHIND.items() if words in message), "API server away")
        raise PlatformTrouble(reason, f"{what}: {error.status} {message}") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise PlatformTrouble("API server away", f"{what}: {error}") from None


class Kube:
    """One API server, reached with one kubeconfig context.

    Args:
        kubeconfig: file with the credentials.
        context: the context in that file.

    Raises:
        PlatformTrouble: the API server does not answer.
    """

    def __init__(self, kubeconfig: Path, context: str) -> None:
        self.kubeconfig = kubeconfig
        self.context = context
        self._api = kubernetes.config.new_client_from_config(config_file=str(kubeconfig), context=context)
        with _api_errors("connect"):
            self._dynamic = kubernetes.dynamic.DynamicClient(self._api)
        # `stream` swaps the request function of the client it is given while it opens a connection: an exec
        # must not share a client with anything else.
        self._exec_lock = threading.Lock()
        self._exec_api = kubernetes.config.new_client_from_config(config_file=str(kubeconfig), context=context)
        self._exec_core = kubernetes.client.CoreV1Api(self._exec_api)
        self._shells = Shells(self._connect)

    def close(self) -> None:
        """Close the connections that are kept open between requests."""
        self._shells.close()
        for api in (self._api, self._exec_api):
            api.rest_client.pool_manager.clear()

    def version(self) -> str:
        """The API server's version, e.g. ``v1.35.0``."""
        return str(json.loads(self.raw("GET", "/version"))["gitVersion"])

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str | list[str]] | None = None,
        body: object = None,
        seconds: float = 10,
    ) -> bytes:
        """Send a request to a path of the API server.

        Args:
            method: HTTP method.
            path: path of the API server, e.g. ``/api/v1/namespaces/x/pods/y:80/proxy/z``.
            query: query parameters; a list repeats the parameter.
            body: sent as JSON.
            seconds: time-out of the request.

        Returns:
            The body of the answer.

        Raises:
            Refused: the API server answered with a 4xx.
            PlatformTrouble: it answered with a 5xx or not at all.
        """
        pairs = [
            (key, item)
            for key, value in (query or {}).items()
            for item in (value if isinstance(value, list) else [value])
        ]
        with _api_errors(f"{method} {path}"):
            request = self._api.param_serialize(
                method,
                path,
                query_params=pairs,
                header_params={"Accept": "*/*", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._api.call_api(*request, _request_timeout=seconds)
            data = response.read()
            if not 200 <= response.status < 300:
                raise ApiException(status=response.status, reason=response.reason, body=data)
        return cast(bytes, data)

    def _resource(self, api_version: str, kind: str) -> Any:  # noqa: ANN401  (the dynamic client has no types)
        return self._dynamic.resources.get(api_version=api_version, kind=kind)

    def apply(self, doc: Doc, *, dry_run: bool = False) -> Doc:
        """Apply a document on the server's side (`kubectl apply --server-side --force-conflicts`).

        Raises:
            Refused: admission or validation refused it.
        """
        with _api_errors(f"apply {describe(doc)}"):
            applied = self._dynamic.server_side_apply(
                self._resource(doc["apiVersion"], doc["kind"]),
                body=doc,
                name=doc["metadata"]["name"],
                namespace=doc["metadata"].get("namespace"),
                force_conflicts=True,
                field_manager=FIELD_MANAGER,
                _request_timeout=REQUEST_SECONDS,
                **({"dry_run": "All"} if dry_run else {}),
            )
        return cast(Doc, applied.to_dict())

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Doc | None:
        """One object, or None if it is not there."""
        try:
            return self._read(api_version, kind, name=name, namespace=namespace)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    def find(self, api_version: str, kind: str, namespace: str | None = None, labels: str | None = None) -> list[Doc]:
        """Objects of one kind, of one namespace or of all."""
        found = self._read(api_version, kind, namespace=namespace, labels=labels)
        # In a list the server leaves out what is the same for all.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"]]

    def _read(
        self, api_version: str, kind: str, *, name: str | None = None, namespace: str | None, labels: str | None = None
    ) -> Doc:
        """As plain JSON: the dynamic client's objects take longer to make than the answer takes to come."""
        with _api_errors(f"find {kind}"):
            path = self._resource(api_version, kind).path(name, namespace)
        query: dict[str, str | list[str]] = {"labelSelector": labels} if labels else {}
        found: Doc = json.loads(self.raw("GET", path, query=query, seconds=REQUEST_SECONDS))
        return found

    def delete(self, doc: Doc, *, grace: int | None = None) -> None:
        """Delete an object; one that is gone already is no error. Does not wait for finalizers.

        Args:
            doc: the object.
            grace: seconds that a pod is given to end; None: as many as it says itself.
        """
        options = {} if grace is None else {"body": {"kind": "DeleteOptions", "gracePeriodSeconds": grace}}
        try:
            with _api_errors(f"delete {describe(doc)}"):
                self._resource(doc["apiVersion"], doc["kind"]).delete(
                    name=doc["metadata"]["name"],
                    namespace=doc["metadata"].get("namespace"),
                    _request_timeout=REQUEST_SECONDS,
                    **options,
                )
        except Refused as refused:
            if refused.status != 404:
                raise

    def patch(self, doc: Doc, operations: list[Doc]) -> None:
        """Change an object by JSON patch (RFC 6902)."""
        with _api_errors(f"patch {describe(doc)}"):
            self._resource(doc["apiVersion"], doc["kind"]).patch(
                name=doc["metadata"]["name"],
                namespace=doc["metadata"].get("namespace"),
                body=operations,
                content_type="application/json-patch+json",
                _request_timeout=REQUEST_SECONDS,
            )

    def logs(self, namespace: str, pod: str, container: str, *, since: float | None = None) -> str:
        """The log of a container, all of it or the last `since` seconds."""
        query: dict[str, str | list[str]] = {"container": container}
        if since is not None:
            query["sinceSeconds"] = str(max(1, int(since) + 1))
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
        return self.raw("GET", path, query=query).decode(errors="replace")

    def exec(self, namespace: str, pod: str, container: str, command: list[str], *, bash: bool = False) -> Exec:
        """Start a command in a container, its stdin, stdout and stderr connected.

        Args:
            namespace: of the pod.
            pod: its name.
            container: one of its containers.
            command: the command and its arguments.
            bash: the container has one, which may run it and stay for the next command: to start a process by an exec
                costs some hundred times what it costs a shell.

        Raises:
            PlatformTrouble: the pod is gone or the command cannot be started.
        """
        if bash:
            return self._shells.run(namespace, pod, container, command)
        return Exec(self._connect(namespace, pod, container, command), f"{namespace}/{pod}")

    def _connect(self, namespace: str, pod: str, container: str, command: list[str]) -> Any:  # noqa: ANN401
        try:
            with self._exec_lock, _api_errors(f"exec in {namespace}/{pod}"):
                return stream(
                    self._exec_core.connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    container=container,
                    command=command,
                    stdin=True,
                    stdout=True,
                    stderr=True,
                    tty=False,
                    _preload_content=False,
                    _request_timeout=10,
                )
        except Refused as refused:
            raise PlatformTrouble("client pod gone", f"exec in {namespace}/{pod}: {refused.message}") from None

    def run(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: list[str],
        seconds: float = 15,
        *,
        bash: bool = False,
    ) -> str:
        """Run a command in a container and return what it printed; see `exec`.

        Raises:
            PlatformTrouble: it could not be run, did not end in time, or ended with an error.
        """
        with self.exec(namespace, pod, container, command, bash=bash) as process:
            return process.output(seconds)


def describe(doc: Doc) -> str:
    """`kind namespace/name` of a document, for messages."""
    metadata = doc.get("metadata", {})
    namespace = metadata.get("namespace")
    return f"{doc.get('kind')} {namespace + '/' if namespace else ''}{metadata.get('name')}"


def is_ours(doc: Doc) -> bool:
    """Whether something has the label of what is the suite's."""
    return bool(doc["metadata"].get("labels", {}).get(MANAGED_LABEL) == FIELD_MANAGER)
