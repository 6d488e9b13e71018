"""Every setting, in one flat frozen class, and the only reader of the environment.

A setting `poll_seconds` is given as `OVERNIGHT_POLL_SECONDS`. What `overnight up` generates on
one machine (credentials of the embedded store, a token for administration) is read from
`<home>/embedded.env`; the environment wins over it.
"""

import hashlib
import json
import os
import re
import socket
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    Field,
    HttpUrl,
    SecretStr,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from store.errors import ConfigurationError

Port = Annotated[int, Field(ge=1, le=65535)]
Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
PREFIX = "OVERNIGHT_"
# What S3 clients accept as a host: labels of letters, digits and inner hyphens.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")

# As browsers send it: lower case, and no port that goes without saying.
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")


class Settings(BaseSettings):
    """Where everything is and how patient we are. The defaults run on one machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
    )

    home: Path = Path(".overnight")
    log_level: Level = "INFO"

    # The store. No endpoint: the embedded one, on this machine.
    s3_endpoint: str | None = None
    s3_port: Port = 8333
    s3_bucket: str = "overnight"
    s3_access_key: str = "overnight"
    s3_secret_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    # Packagers of SeaweedFS say WEED_BIN; empty for the program that came with the wheel.
    weed_bin: Path | None = Field(
        default=None, validation_alias=AliasChoices(f"{PREFIX}WEED_BIN", "WEED_BIN")
    )

    # Prefect. No address: the embedded one, on this machine.
    prefect_api_url: str | None = None
    prefect_port: Port = 4200
    work_pool: str = "overnight"

    # Serving.
    serving_host: str = "127.0.0.1"
    serving_port: Port = 8080
    serving_url: str | None = None
    serving_workers: int = Field(default_factory=lambda: min(os.cpu_count() or 1, 8), ge=1)
    serving_threads: int = Field(default=2, ge=1)
    serving_models: Annotated[tuple[str, ...], NoDecode] = ()
    poll_seconds: float = Field(default=1.0, gt=0)
    maximum_body_bytes: int = Field(default=16_000_000, ge=1_000)
    maximum_batch_rows: int = Field(default=1_024, ge=1)
    maximum_pixels: int = Field(default=4_000_000, ge=1)
    # Of each worker, for the versions that served before the current one; the last always stays.
    loaded_versions_mb: int = Field(default=64, ge=0)
    # Of each worker: how many requests may arrive, wait and be answered at once.
    maximum_waiting_requests: int = Field(default=256, ge=2, le=4_096)
    # Of each worker: how often one client may ask; none for as often as it likes. A client with
    # many connections may get up to as many times that as there are workers.
    requests_per_second_per_client: float | None = Field(default=None, gt=0)
    # How long requests are still answered once `ready` has turned false.
    drain_seconds: float = Field(default=10, ge=0)
    log_requests: bool = False
    # Who may administer and ask; files hold one `name token` a line.
    admin_tokens_file: Path | None = None
    admin_token: SecretStr = SecretStr("")
    prediction_keys_file: Path | None = None
    # Pages elsewhere whose scripts may ask here, such as https://app.example:8443.
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    replica: str = Field(
        default_factory=lambda: socket.gethostname().replace("_", "-")[:200],
        pattern=r"^[A-Za-z0-9._=-]{1,200}$",
    )

    # The walk.
    source_folders: dict[str, Path] = Field(default_factory=dict)
    replicas: int = Field(default=1, ge=0)
    confirm_seconds: float = Field(default=120, gt=0)
    fit_seconds: float = Field(default=3_600, gt=0)
    rehearse_seconds: float = Field(default=300, gt=0)
    # Who may overrule gates, by name; nobody unless said here.
    overriders: Annotated[tuple[str, ...], NoDecode] = ()

    @field_validator("serving_models", "cors_origins", "overriders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        """Names separated by commas; no models means every one that has a champion."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        capitals = value.upper() if isinstance(value, str) else value
        return capitals if capitals in get_args(Level) else value

    @field_validator("s3_endpoint")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        """S3 clients refuse names that others take, such as `my_store`."""
        host = urlsplit(value).hostname if value is not None else None
        # Colons are those of an IPv6 address, which clients check by themselves.
        if host and ":" not in host and not _HOST.fullmatch(host):
            raise ValueError("expected a host of letters, digits, hyphens and dots")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _exact(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_ORIGIN.fullmatch(origin) for origin in value):
            raise ValueError("expected origins such as https://app.example, with no path and no *")
        return value

    @field_validator("admin_tokens_file", "prediction_keys_file")
    @classmethod
    def _anywhere(cls, value: Path | None) -> Path | None:
        """Serving is not always started where the setting was written."""
        if value is not None and not value.is_absolute():
            raise ValueError("expected an absolute path")
        return value

    def digest(self, *prefixes: str) -> str:
        """Tells apart settings that differ in a field whose name begins so."""
        chosen = [name for name in sorted(type(self).model_fields) if name.startswith(prefixes)]
        found = {name: getattr(self, name) for name in chosen}
        return hashlib.sha256(json.dumps(found, default=_plain).encode()).hexdigest()

    @property
    def store_endpoint(self) -> str:
        """The address of the store, embedded or not."""
        return self.s3_endpoint or f"http://127.0.0.1:{self.s3_port}"

    @property
    def api_url(self) -> str:
        """The address of Prefect's API, embedded or not."""
        return self.prefect_api_url or f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def answers_url(self) -> str:
        """Where people find serving."""
        return self.serving_url or self.serving_here

    @property
    def serving_here(self) -> str:
        """Where this machine reaches its own serving."""
        host = self.serving_host
        # What listens everywhere is asked at the machine's own address.
        asked = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
        return f"http://{f'[{asked}]' if ':' in asked else asked}:{self.serving_port}"


def _plain(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def load() -> Settings:
    """Read the environment, and under it what the embedded stack wrote.

    Raises:
        ConfigurationError: naming the setting, what was expected and what was found.
    """
    home = Path(os.environ.get(f"{PREFIX}HOME") or ".overnight").absolute()
    try:
        settings = Settings(_env_file=home / "embedded.env", home=home)
        for name in ("s3_endpoint", "prefect_api_url", "serving_url"):
            if (url := getattr(settings, name)) is not None:
                TypeAdapter(HttpUrl).validate_python(url)
    except ValidationError as error:
        first = error.errors()[0]
        name = "__".join(str(part) for part in first["loc"]).upper() or name.upper()
        expected = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"{PREFIX}{name.removeprefix(PREFIX)}: {expected}, found {first['input']!r}; "
            "correct it and start again"
        ) from None
    except SettingsError as error:
        # It names the field in its text only.
        name = PREFIX + "".join(re.findall(r'field "(\w+)"', str(error))).upper()
        raise ConfigurationError(
            f'{name}: expected JSON such as {{"digits": "/data"}}, found '
            f"{os.environ.get(name)!r}; correct it, or set {name}__DIGITS=/data, and start again"
        ) from None
    return settings
