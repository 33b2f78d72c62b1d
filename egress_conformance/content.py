"""What the cases of a run were, in one digest: two runs with the same can be compared, whatever else was committed."""

import hashlib
from pathlib import Path

PARTS = (
    "suites",
    "manifests",
    "images/client",
    "images/world",
    "egress_conformance/mesh",
    "egress_conformance/traffic",
    "egress_conformance/world",
)
"""The cases, what they apply, and what they send, see and are answered with."""

LEFT_OUT = "manifests/upgrade"
"""What an upgrade applies: its load goes on beside the cases, and none of them looks at it."""


def digest(root: Path) -> str:
    """The digest of these parts of a checkout, as its files are now; "" where there is none.

    Args:
        root: the checkout.
    """
    found = hashlib.sha256()
    files = sorted(path for part in PARTS for path in (root / part).rglob("*") if _counts(path))
    files = [path for path in files if root / LEFT_OUT not in path.parents]
    for path in files:
        data = path.read_bytes()
        found.update(f"{path.relative_to(root)}\0{len(data)}\0".encode())
        found.update(data)
    return found.hexdigest() if files else ""


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
