"""What every model of a report has in common."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """A part of a report: immutable, and with no field that is not declared."""

    model_config = ConfigDict(extra="forbid", frozen=True)
