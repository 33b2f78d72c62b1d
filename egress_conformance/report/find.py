"""Ledgers by the names a user has for them: a file, the folder of a run, or a version of which one is published."""

import json
from pathlib import Path

from pydantic import ValidationError

from egress_conformance.errors import UserError
from egress_conformance.report.ledger import SCHEMA, Ledger

NAME = "ledger.json"


def read_ledger(path: Path) -> Ledger:
    """Read a ledger.

    Args:
        path: the file, or the folder of the run it lies in.

    Raises:
        UserError: there is none, or it is of another schema.
    """
    path = path / NAME if path.is_dir() else path
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})", f"name a {NAME} or the folder of a run") from None
    except ValueError:
        raise UserError(f"{path} is no JSON", f"name a {NAME} or the folder of a run") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        told = f"is of schema {schema}, not {SCHEMA}" if schema else "is no ledger"
        raise UserError(f"{path} {told}", "run the suite again with this version of it")
    try:
        return Ledger.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{path} is no ledger ({where}: {first['msg']})", "was it changed by hand?") from None


def published(version: str, reports: Path) -> Path:
    """Where the published ledger of a version lies.

    Args:
        version: as its folder is called, e.g. ``1.31``.
        reports: the folder of published ledgers.

    Raises:
        UserError: none is published.
    """
    path = reports / version / NAME
    if path.is_file():
        return path
    there = ", ".join(sorted(found.parent.name for found in reports.glob(f"[0-9]*/{NAME}"))) or "none"
    raise UserError(f"no ledger of Istio {version} is published", f"there are: {there}")
