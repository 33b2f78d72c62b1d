"""What must not get into a report or onto a terminal: private keys, tokens, and what a Secret holds.

What is taken out is replaced by words, so that a reader sees that there was something.
"""

import base64
import binascii
import re
from typing import Any

import yaml

from egress_conformance.report.ledger import CaseRecord

KEY = "<private key>"
TOKEN = "<token>"  # noqa: S105  (the word that stands for one)
SECRET = "<secret>"  # noqa: S105

_PEM_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
# `-----BEGIN ` in base64: what Secrets and kubeconfigs have of PEM.
_BASE64_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+")
# Of service accounts among others: a header and claims, both JSON objects in base64, and a signature (RFC 7519).
_TOKEN = re.compile(r"\beyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")


def text(said: str) -> str:
    """A text without private keys and tokens."""
    return _TOKEN.sub(TOKEN, _BASE64_PEM.sub(_unless_public, _PEM_KEY.sub(KEY, said)))


def _unless_public(match: re.Match[str]) -> str:
    try:
        whole = match[0][: len(match[0]) // 4 * 4]
        return KEY if b"PRIVATE KEY" in base64.b64decode(whole) else match[0]
    except binascii.Error:
        return KEY  # cut short: nobody can tell


def applied(manifest: str) -> str:
    """YAML as a case applied it, without what its Secrets hold."""
    if "Secret" not in manifest:
        return text(manifest)
    head = "".join(line for line in manifest.splitlines(keepends=True) if line.startswith("#"))
    try:
        docs = [_emptied(doc) for doc in yaml.safe_load_all(manifest)]
    except yaml.YAMLError:
        return text(manifest)
    return text(head + yaml.safe_dump_all(docs, sort_keys=False))


def _emptied(doc: Any) -> Any:  # noqa: ANN401  (any YAML)
    if not isinstance(doc, dict) or doc.get("kind") != "Secret":
        return doc
    held = [part for part in ("data", "stringData") if isinstance(doc.get(part), dict)]
    return {**doc, **{part: dict.fromkeys(doc[part], SECRET) for part in held}}


def record(case: CaseRecord) -> CaseRecord:
    """A case without any of it, in whatever field."""
    document = case.model_dump(mode="json")
    return CaseRecord.model_validate({**_everywhere(document), "applied": [applied(each) for each in case.applied]})


def _everywhere(value: Any) -> Any:  # noqa: ANN401  (any JSON)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): _everywhere(each) for key, each in value.items()}
    return [_everywhere(each) for each in value] if isinstance(value, list) else value
