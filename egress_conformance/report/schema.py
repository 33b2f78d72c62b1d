"""The JSON schema of the ledger: `python -m egress_conformance.report.schema` writes docs/ledger.schema.json."""

import json
from pathlib import Path
from typing import Any

from egress_conformance.report.ledger import SCHEMA, Ledger

PUBLISHED = Path(__file__).parents[2] / "docs" / "ledger.schema.json"


def schema() -> dict[str, Any]:
    """The schema as the models have it, JSON Schema draft 2020-12."""
    made = Ledger.model_json_schema(mode="serialization")
    for model in (made, *made["$defs"].values()):
        if "properties" in model:  # what is written has every field, those with a default too
            model["required"] = list(model["properties"])
    made["properties"]["schema"] = {"const": SCHEMA, "description": "the version of this schema"}
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:" + SCHEMA.replace("/", ":"),
    }
    return head | made | {"title": "Ledger of a run of istio-egress-conformance"}


def as_text() -> str:
    """The schema as it is published."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PUBLISHED.write_text(as_text(), encoding="utf-8")
