"""The base of all values that are kept as JSON or handed between processes."""

from pydantic import BaseModel, ConfigDict


class Value(BaseModel):
    """A frozen value that ignores fields it does not know, so old readers read new records."""

    # JSON has no NaN: written as a string, it is read back as the number that it was.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    def encoded(self) -> bytes:
        """As it is stored: the same value is always the same bytes."""
        return self.model_dump_json(indent=2).encode()
