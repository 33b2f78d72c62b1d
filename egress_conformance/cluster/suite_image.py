"""The recipe of the suite's own image. Apart from the others, as nothing that a cluster is made of depends on it."""

import hashlib
from pathlib import Path

from egress_conformance.cluster.cache import tree_digest
from egress_conformance.cluster.recipe import Recipe
from egress_conformance.cluster.recipes import debian_image
from egress_conformance.cluster.versions import Versions

ROOT = Path(__file__).parents[2]

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
"""The Python of each Debian: the wheels in the image are for it."""

CONTENT = ("egress_conformance", "suites", "manifests", "images")
"""Folders of a checkout that the suite runs from."""

_FILES = ("pyproject.toml", "conftest.py", "requirements.lock")


def suite_image(versions: Versions) -> Recipe:
    """The recipe of an image with Python, the locked dependencies and the suite."""
    content = {name: tree_digest(ROOT / name, ("*.pyc",)) for name in CONTENT}
    files = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in _FILES}
    return Recipe(
        "suite",
        "make the suite's image",
        30,
        "suite",
        inputs={"PYTHON_VERSION": PYTHONS[versions.debian], **content, **files},
        needs=(debian_image(versions, "debian-python", "bash,ca-certificates,python3"),),
        repositories=("suite",),
    )
