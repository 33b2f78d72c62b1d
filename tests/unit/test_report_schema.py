"""The published schema is the models', and ledgers keep to it."""

import json

import pytest
from jsonschema import Draft202012Validator, ValidationError

from egress_conformance.report.ledger import Ledger
from egress_conformance.report.schema import LEDGER, UPGRADE, Published
from tests.unit.data.hostile_ledger import HOSTILE, hostile
from tests.unit.data.sample_ledger import sample


def as_json(ledger: Ledger) -> dict[str, object]:
    written = json.loads(ledger.model_dump_json(by_alias=True))
    assert isinstance(written, dict)
    return written


SCHEMAS = pytest.mark.parametrize("schema", [LEDGER, UPGRADE], ids=lambda schema: schema.path.name)


@SCHEMAS
def test_the_published_schema_is_current(schema: Published) -> None:
    published = schema.path.read_text(encoding="utf-8")
    assert published == schema.as_text(), "run python -m egress_conformance.report.schema"


@SCHEMAS
def test_the_schema_is_one(schema: Published) -> None:
    Draft202012Validator.check_schema(schema.schema())


@pytest.mark.parametrize("ledger", [sample(), *(hostile(text) for text in HOSTILE)])
def test_a_ledger_keeps_to_it(ledger: Ledger) -> None:
    Draft202012Validator(LEDGER.schema()).validate(as_json(ledger))


@pytest.mark.parametrize(
    "change",
    [{"schema": "another/v1"}, {"cases": None}, {"extra": 1}, {"summary": {}}],
    ids=lambda change: next(iter(change)),
)
def test_what_is_no_ledger_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Draft202012Validator(LEDGER.schema()).validate(as_json(sample()) | change)


def test_every_field_is_always_there() -> None:
    written = as_json(sample())
    del written["schema"]
    with pytest.raises(ValidationError, match="'schema' is a required property"):
        Draft202012Validator(LEDGER.schema()).validate(written)
