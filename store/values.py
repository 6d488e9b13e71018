"""Base class of all values that are stored as JSON or passed between processes."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value that ignores unknown fields, so that old readers read new records.

    A field whose stored name differs from its name in Python has that name as its alias; both are
    accepted when reading.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        validate_by_alias=True,
        validate_by_name=True,
        # JSON has no NaN: written as a string, it is read back as the number that it was.
        ser_json_inf_nan="strings",
    )

    def encoded(self) -> bytes:
        """The stored form: field names by alias, and the same value always as the same bytes."""
        return self.model_dump_json(indent=2, by_alias=True).encode()
