"""The JSON schemas of what is written: `python -m egress_conformance.report.schema` writes them into docs/."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from egress_conformance.report import ledger, upgrade
from egress_conformance.report.model import Model

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Published:
    """A schema.

    Attributes:
        model: what is written.
        name: of the schema, with its version.
        title: what it is, in words.
        path: where it is published.
    """

    model: type[Model]
    name: str
    title: str
    path: Path

    def schema(self) -> dict[str, Any]:
        """The schema as the models have it, JSON Schema draft 2020-12."""
        made = self.model.model_json_schema(mode="serialization")
        for model in (made, *made["$defs"].values()):
            if "properties" in model:  # what is written has every field, those with a default too
                model["required"] = list(model["properties"])
        made["properties"]["schema"] = {"const": self.name, "description": "the version of this schema"}
        head = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:" + self.name.replace("/", ":"),
        }
        return head | made | {"title": self.title}

    def as_text(self) -> str:
        """The schema as it is published."""
        return json.dumps(self.schema(), indent=2, ensure_ascii=False) + "\n"


LEDGER = Published(
    ledger.Ledger, ledger.SCHEMA, "Ledger of a run of istio-egress-conformance", DOCS / "ledger.schema.json"
)
UPGRADE = Published(
    upgrade.Upgrade, upgrade.SCHEMA, "Report of `egress-conformance upgrade`", DOCS / "upgrade.schema.json"
)

if __name__ == "__main__":
    for published in (LEDGER, UPGRADE):
        published.path.write_text(published.as_text(), encoding="utf-8")
