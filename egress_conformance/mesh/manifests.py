"""Manifests: YAML files that `kubectl apply` would take once their few `${...}` are filled."""

import copy
import string
from pathlib import Path
from typing import Any

import yaml

from egress_conformance.cluster.kube import Doc
from egress_conformance.errors import UserError

ROOT = Path(__file__).resolve().parents[2] / "manifests"
"""The suite's own manifests."""


def fill(path: Path, values: dict[str, str]) -> list[Doc]:
    """Read a manifest and fill its placeholders.

    Args:
        path: the file.
        values: a value for each `${name}` in it; a value may not contain a line break.

    Returns:
        Its documents.

    Raises:
        UserError: the file is missing, is no YAML, is no Kubernetes object, or has a placeholder with no value.
    """
    try:
        template = string.Template(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"manifest {path.name} cannot be read ({error.strerror})", f"check {path}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"manifest {path.name} cannot be read ({error})", f"write {path} in UTF-8") from None
    try:
        text = template.substitute(values)
    except KeyError as error:
        raise UserError(
            f"manifest {path.name} has the placeholder ${{{error.args[0]}}} and the case gives no value for it",
            f"pass {error.args[0]}=... to mesh.apply, or remove it from {path}",
        ) from None
    except ValueError as error:
        raise UserError(f"manifest {path.name}: {error}", f"write $$ for a dollar sign in {path}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> list[Doc]:
    """Parse the text of a manifest.

    Raises:
        UserError: it is no YAML, or no Kubernetes object.
    """
    try:
        docs = [doc for doc in yaml.safe_load_all(text) if doc is not None]
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"manifest {path.name}{line} is bad YAML ({problem})", f"mend {path}") from None
    for doc in docs:
        if not _is_object(doc):
            raise UserError(
                f"manifest {path.name} holds something that is no Kubernetes object",
                f"give every document in {path} apiVersion, kind and metadata.name",
            )
    return docs


def _is_object(doc: object) -> bool:
    if not isinstance(doc, dict) or not {"apiVersion", "kind", "metadata"} <= doc.keys():
        return False
    return isinstance(doc["metadata"], dict) and "name" in doc["metadata"]


class _AnyValue(dict[str, str]):
    def __missing__(self, _: str) -> str:
        return "1"


def check(folder: Path) -> None:
    """Parse every manifest below a folder, so that a broken one stops a run before anything is changed.

    Raises:
        UserError: the first broken one.
    """
    for path in sorted(folder.rglob("*.yaml")):
        fill(path, _AnyValue())


def merge(base: Any, changes: Any) -> Any:  # noqa: ANN401  (any JSON)
    """Lay one JSON value over another (RFC 7386, less the removal by null)."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return copy.deepcopy(changes)
    return {**base, **{key: merge(base.get(key), value) for key, value in changes.items()}}


def dump(docs: list[Doc]) -> str:
    """Documents as YAML, for reports."""
    return yaml.safe_dump_all(docs, sort_keys=False)
