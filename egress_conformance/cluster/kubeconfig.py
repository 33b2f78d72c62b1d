"""Whose cluster: the kubeconfig, the context in it, and a client that says in words why it cannot connect."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kubernetes
import urllib3
import yaml
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from egress_conformance.errors import UserError

TIMEOUT_SECONDS = (3.0, 10.0)
"""To connect, and between two bytes of an answer."""

_HOME_KUBECONFIG = "~/.kube/config"


def kubeconfig_path(given: Path | None) -> Path:
    """The kubeconfig that is meant: the given one, $KUBECONFIG, or ~/.kube/config.

    Raises:
        UserError: $KUBECONFIG names more than one.
    """
    if given is not None:
        return given.expanduser().absolute()
    named = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    if len(named) > 1:
        raise UserError(
            "KUBECONFIG names several files and the suite wants one",
            "give it one: kubectl config view --raw --flatten >FILE, and --kubeconfig FILE",
        )
    return Path(named[0] if named else _HOME_KUBECONFIG).expanduser().absolute()


def choose_context(path: Path, wanted: str | None) -> str:
    """The name of the context to use: the wanted one, or the file's current one.

    Raises:
        UserError: the file cannot be read or has no such context.
    """
    unreadable = f"kubeconfig {path} cannot be read"
    mend = "mend it, or name another with --kubeconfig"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{unreadable} ({error.strerror})", "name another with --kubeconfig") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", see line {mark.line + 1}" if mark else ""
        raise UserError(f"{unreadable} (not YAML{line})", mend) from None
    try:
        known = [str(entry["name"]) for entry in config["contexts"]]
    except (KeyError, TypeError):
        raise UserError(f"{unreadable} (it lists no contexts)", mend) from None
    context = wanted or config.get("current-context")
    if context in known:
        return str(context)
    problem = f"has no context {context}" if context else "has no current context"
    raise UserError(f"kubeconfig {path} {problem}", f"--context NAME; it has: {', '.join(sorted(known)) or 'none'}")


class Api:
    """An API server, asked once per question, with JSON in and out."""

    def __init__(self, client: kubernetes.client.ApiClient) -> None:
        self._client = client
        self.address = str(client.configuration.host)

    def ask(self, path: str, *, body: object = None, **query: str) -> Any:  # noqa: ANN401  (any JSON)
        """GET a path, or POST a body to it."""
        request = self._client.param_serialize(
            "GET" if body is None else "POST",
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request, _request_timeout=TIMEOUT_SECONDS)
        text = answer.read().decode(errors="replace")
        if not 200 <= answer.status <= 299:
            raise ApiException(http_resp=answer, body=text)
        return json.loads(text)


@contextmanager
def connect(path: Path, context: str) -> Iterator[Api]:
    """A client that asks once and never writes to the kubeconfig; its errors become UserErrors.

    Raises:
        UserError: the context is broken, or the API server does not answer as it should.
    """
    configuration = kubernetes.client.Configuration()
    configuration.retries = False
    try:
        client = kubernetes.config.new_client_from_config(
            config_file=str(path), context=context, persist_config=False, client_configuration=configuration
        )
    except (ConfigException, OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"context {context} of kubeconfig {path} is broken ({error})", "mend it") from None
    where = f"the API server at {configuration.host}"
    try:
        with client:
            yield Api(client)
    except ApiException as error:
        problem = {
            401: f"{where} does not accept the credentials of context {context}",
            403: f"{where} refuses context {context} the first questions ({_message(error)})",
        }.get(error.status or 0, f"{where} gave no usable answer ({_message(error)})")
        raise UserError(problem, "log in again, or name another with --context") from None
    except json.JSONDecodeError:
        raise UserError(f"{where} answers, but not as Kubernetes does", "check the address in the kubeconfig") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise UserError(
            f"{where} cannot be reached ({_reason(error)})",
            f"is the cluster of context {context} up, and reachable from here?",
        ) from None


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return f"{error.status or ''} {error.reason}".strip()


def _reason(error: BaseException) -> str:
    """What went wrong on the wire, without the connection that urllib3 names in front."""
    return re.sub(r"^HTTPS?Connection(Pool)?\([^)]*\): ", "", str(error)) or type(error).__name__
