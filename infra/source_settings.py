"""`SourceSettings`: how the source of one model is reached, `OVERNIGHT_SOURCES__<MODEL>__…`."""

from pydantic import (
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from overnight.infra.formats import S3Endpoint


class SourceSettings(BaseModel):
    """Address and credentials of a source; what is empty is not needed.

    `url` is secret, because addresses of databases may have a password in them. `folder` of a
    source of files is the setting `source_folders`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr = SecretStr("")
    user: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    # Of S3 where the rows are, which need not be the store of overnight.
    s3_endpoint: S3Endpoint = None
    s3_region: str = ""
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    s3_session_token: SecretStr = SecretStr("")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: object) -> object:
        """Say which settings there are, when there is another."""
        unknown = set(values) - set(cls.model_fields) if isinstance(values, dict) else {"no name"}
        if unknown:
            names = ", ".join(name.upper() for name in cls.model_fields)
            raise ValueError(f"expected one of {names} after the model's name")
        return values

    @field_validator("*", mode="before")
    @classmethod
    def _text(cls, value: object, info: ValidationInfo) -> object:
        """The environment's JSON may make a number of a password."""
        known = isinstance(value, str | SecretStr) or value is None
        if known:
            return value
        # Without the value, which may be a secret.
        raise ValueError(f"expected {info.field_name} to be text")

    def revealed(self) -> dict[str, str]:
        """Every field as text, secrets included: for the source itself."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value or ""
            for name, value in values.items()
        }
