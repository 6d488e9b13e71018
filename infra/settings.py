"""Every setting, in one flat frozen class, and the only reader of the environment.

A setting `poll_seconds` is given as `OVERNIGHT_POLL_SECONDS`, or as `poll_seconds` in the file
`overnight.toml` of a project; the environment wins over the file. What `overnight up` generates on
one machine is read from `<home>/embedded.env` (a token for administration) and from
`<home>/identities/<identity>.env` (credentials of this process for the store). The environment
wins, except over the credentials of identities other than administration in the embedded store.
"""

import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from overnight.infra import identities, network, notification_formats
from overnight.infra import project as project_files
from overnight.infra.cores import cores
from overnight.infra.formats import (
    AbsolutePath,
    Address,
    Names,
    Origins,
    Peers,
    Port,
    Route,
    S3Endpoint,
    SecretAddress,
    UserAndPassword,
    masked,
    reachable_host,
)
from overnight.infra.notification_formats import (
    Blocks,
    Kinds,
    MailAddress,
    MailAddresses,
    MailHost,
    TimeOfDay,
    TimeZone,
    WebhookAddress,
)
from overnight.infra.project import ProjectFiles
from overnight.infra.source_settings import SourceSettings
from overnight.store import project as projects
from overnight.store.errors import ConfigurationError
from overnight.store.objects.proxies import Proxy
from overnight.store.project import SETTINGS_FILE, Project

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
PREFIX = "OVERNIGHT_"
# Read by `overnight up` alone: no service has to start again when they change.
_OF_THE_COMMAND = {"up_seconds"}
# What the project's file sets, while `load` reads it: pydantic asks the class for its sources.
_FILE_VALUES: ContextVar[Mapping[str, Any] | None] = ContextVar("overnight.toml", default=None)


class Settings(BaseSettings):
    """Addresses, credentials, limits and time-outs. The defaults run everything on one machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
    )

    home: Path = Path(".overnight")
    # The folder of the project; by default the nearest one with an overnight.toml.
    project: Path | None = None
    # Names of models; by default all that the project declares.
    models: Names = ()
    log_level: Level = "INFO"
    # How long `overnight up` waits while no service gets any further, and then for serving to load
    # a model's first version.
    up_seconds: float = Field(default=240, gt=0)

    # The store. No endpoint: the embedded one, on this machine.
    s3_endpoint: S3Endpoint = None
    s3_port: Port = 8333
    s3_bucket: str = "overnight"
    s3_access_key: str = "overnight"
    s3_secret_key: SecretStr = SecretStr("")
    # Where the two above are temporary: what came with them. Nothing renews any of the three.
    s3_session_token: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"
    # The PEM file of the authorities that the store's certificate may come from, and the names
    # by which boto3 and Delta Lake call it; empty for those that everybody trusts.
    s3_ca_file: Path | None = Field(
        default=None,
        validation_alias=AliasChoices(f"{PREFIX}S3_CA_FILE", "AWS_CA_BUNDLE", "SSL_CERT_FILE"),
    )
    # The identity of this process in the store: whose credentials of this home it reads.
    identity: identities.Name = "administration"
    # Credentials with which serving writes alias records for administrators; empty for its own.
    s3_operator_access_key: str = ""
    s3_operator_secret_key: SecretStr = SecretStr("")
    # WEED_BIN is the name that packagers of SeaweedFS use; empty for the program of the wheel.
    weed_bin: Path | None = Field(
        default=None, validation_alias=AliasChoices(f"{PREFIX}WEED_BIN", "WEED_BIN")
    )

    # Prefect. No address: the embedded one, on this machine.
    prefect_api_url: Address = None
    prefect_port: Port = 4200
    prefect_host: str = "127.0.0.1"
    # `user:password` of the Prefect server; `overnight up` makes one for the embedded server.
    prefect_auth: UserAndPassword = SecretStr("")
    # Prefect's second UI asks a host of its maker's analytics with each page, also where analytics
    # are off; its first one asks nobody, for networks that are closed.
    prefect_ui: Literal["v1", "v2"] = "v2"
    work_pool: str = "overnight"
    # A run sends a heartbeat every 30 seconds. After so long without any it has crashed, and so
    # long after that it is retried: a worker reports one crash twice, some ten seconds apart.
    run_silent_seconds: float = Field(default=90, ge=45)
    run_retry_seconds: float = Field(default=30, ge=15)
    # An MLflow server to which each run is reported, and how long a run waits for it at most.
    mlflow_tracking_uri: SecretAddress = SecretStr("")
    mlflow_seconds: float = Field(default=30, gt=0)

    # Serving.
    serving_host: str = "127.0.0.1"
    serving_port: Port = 8080
    serving_url: Address = None
    # Where serving listens for gRPC, at the address of HTTP; 0 for not at all.
    serving_grpc_port: int = Field(default=8081, ge=0, le=65_535)
    # Where both are set, gRPC speaks TLS alone; with the third, with clients that have a
    # certificate of these authorities alone. All in PEM.
    serving_grpc_tls_certificate_file: AbsolutePath = None
    serving_grpc_tls_key_file: AbsolutePath = None
    serving_grpc_tls_client_ca_file: AbsolutePath = None
    serving_workers: int = Field(default_factory=lambda: min(cores(), 8), ge=1)
    serving_threads: int = Field(default=2, ge=1)
    serving_models: Names = ()
    # The model that answers at /invocations; empty for the only one that is served.
    invocations_model: str = ""
    # Servers under whose names /metrics counts requests, too: triton, kserve, tensorflow-serving.
    peer_metrics: Peers = ()
    # What Vertex AI sets in its containers: the port, unless OVERNIGHT_SERVING_PORT is set, and
    # the paths by which it asks.
    aip_http_port: Port | None = Field(default=None, validation_alias="AIP_HTTP_PORT")
    aip_health_route: Route = Field(default="", validation_alias="AIP_HEALTH_ROUTE")
    aip_predict_route: Route = Field(default="", validation_alias="AIP_PREDICT_ROUTE")
    poll_seconds: float = Field(default=1.0, gt=0)
    maximum_body_bytes: int = Field(default=16_000_000, ge=1_000)
    maximum_batch_rows: int = Field(default=1_024, ge=1)
    maximum_pixels: int = Field(default=16_000_000, ge=1)
    # Of all texts of one request together, in UTF-8.
    maximum_text_bytes: int = Field(default=4_000_000, ge=1)
    # Of each worker, for the versions that served before the current one; the last always stays.
    loaded_versions_mb: int = Field(default=64, ge=0)
    # Of each worker: how many requests may arrive, wait and be answered at once.
    maximum_waiting_requests: int = Field(default=256, ge=2, le=4_096)
    # Of each worker: how many requests of one client; none for no limit. A client with
    # many connections may get up to as many times that as there are workers.
    requests_per_second_per_client: float | None = Field(default=None, gt=0)
    # How long a worker may show no sign of life before it is replaced; longer than one step of
    # planning a network, which keeps the interpreter lock. Granian ends when a worker dies within
    # 5.5 s of its start.
    serving_silent_seconds: float = Field(default=30, ge=6)
    # A request's body must come at this rate on the whole, but for the seconds of grace, and be
    # whole within `body_seconds`.
    body_bytes_per_second: float = Field(default=20_000, gt=0)
    body_grace_seconds: float = Field(default=10, gt=0)
    body_seconds: float = Field(default=300, gt=0)
    # Addresses or networks of the reverse proxies whose X-Forwarded-For names the client.
    trusted_proxies: Names = ()
    # How long requests are still answered once `ready` has turned false.
    drain_seconds: float = Field(default=10, ge=0)
    log_requests: bool = False
    # Whether answers are recorded as their models declare; how many megabytes of them wait on the
    # disk of this host for the store; how many seconds of them a worker that is killed loses at
    # most; and after how many seconds they are shipped.
    prediction_log: bool = True
    prediction_log_spool_mb: int = Field(default=512, ge=1)
    prediction_log_seconds: float = Field(default=1.0, ge=0.1, le=60)
    prediction_log_segment_seconds: float = Field(default=60, ge=1, le=86_400)
    # Tokens for administration and for predictions; files hold one `name token` a line.
    admin_tokens_file: AbsolutePath = None
    admin_token: SecretStr = SecretStr("")
    prediction_keys_file: AbsolutePath = None
    # The token by which the command line authenticates its user.
    token: SecretStr = SecretStr("")
    token_file: AbsolutePath = None
    # The key that signs versions and what gates decide, those that sign for people, for requests
    # of administrators over HTTP, and withdrawals by serving, and the keys that are trusted; by
    # default in <home>/keys.
    signing_key_file: AbsolutePath = None
    administration_key_file: AbsolutePath = None
    operator_key_file: AbsolutePath = None
    serving_key_file: AbsolutePath = None
    trusted_keys_file: AbsolutePath = None
    # Origins whose pages may send requests (CORS), such as https://app.example:8443.
    cors_origins: Origins = ()
    replica: str = Field(
        default_factory=lambda: socket.gethostname().replace("_", "-")[:200],
        pattern=r"^[A-Za-z0-9._=-]{1,200}$",
    )

    # Pipeline runs.
    source_folders: dict[str, Path] = Field(default_factory=dict)
    # How the sources of models are reached, by model: address and credentials.
    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    replicas: int = Field(default=1, ge=0)
    confirm_seconds: float = Field(default=120, gt=0)
    fit_seconds: float = Field(default=3_600, gt=0)
    rehearse_seconds: float = Field(default=300, gt=0)
    # Of the process that reads an arrival: what its files may take, before they are rejected.
    arrival_memory_mb: int = Field(default=2_048, ge=64)
    arrival_seconds: float = Field(default=1_800, gt=0)
    # Names of those who may override gates; by default nobody may.
    overriders: Names = ()

    # Notifications; nobody is notified while no channel is set. The address of a webhook is often
    # a secret by itself. Each setting that needs another one comes after it.
    notify_webhook_url: WebhookAddress = SecretStr("")
    notify_webhook_secret: SecretStr = Field(default=SecretStr(""), validate_default=True)
    notify_mail_to: MailAddresses = ()
    notify_mail_from: MailAddress = Field(default="", validate_default=True)
    notify_smtp_host: MailHost = Field(default="", validate_default=True)
    notify_smtp_port: Port = 587
    notify_smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    notify_smtp_user: str = ""
    notify_smtp_password: SecretStr = Field(default=SecretStr(""), validate_default=True)
    # Prefect's own blocks, by type and name, such as slack-webhook/team.
    notify_blocks: Blocks = ()
    notify_kinds: Kinds = notification_formats.DEFAULT_KINDS
    # For each step of a try, and how long a run may be due before it is late.
    notify_seconds: float = Field(default=10, gt=0, le=60)
    notify_late_seconds: float = Field(default=900, ge=60)
    # When the summary of all models is made, every day; or `never`.
    summary_at: TimeOfDay = "07:00"
    summary_time_zone: TimeZone = "UTC"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, the project's file, and below them what `overnight up` generated."""
        file = InitSettingsSource(settings_cls, dict(_FILE_VALUES.get() or {}))
        return init_settings, env_settings, file, dotenv_settings, file_secret_settings

    @field_validator(
        "models",
        "serving_models",
        "cors_origins",
        "peer_metrics",
        "trusted_proxies",
        "overriders",
        "notify_mail_to",
        "notify_blocks",
        "notify_kinds",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        """Names separated by commas; no models means every one that has a champion."""
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: object) -> object:
        capitals = value.upper() if isinstance(value, str) else value
        return capitals if capitals in get_args(Level) else value

    @field_validator("notify_webhook_secret")
    @classmethod
    def _signs(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        return notification_formats.check_webhook_secret(value, info.data)

    @field_validator("notify_mail_from", "notify_smtp_host")
    @classmethod
    def _for_mail(cls, value: str, info: ValidationInfo) -> str:
        return notification_formats.check_needed_for_mail(value, info.data)

    @field_validator("notify_smtp_password")
    @classmethod
    def _mail_password(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        return notification_formats.check_mail_password(value, info.data)

    def digest(self, *prefixes: str) -> str:
        """A digest of the settings whose names begin with one of the prefixes."""
        names = sorted(type(self).model_fields.keys() - _OF_THE_COMMAND)
        chosen = [name for name in names if name.startswith(prefixes)]
        values = {name: getattr(self, name) for name in chosen}
        return hashlib.sha256(json.dumps(values, default=_plain).encode()).hexdigest()

    @property
    def notifies(self) -> bool:
        """Whether there is a channel by which people are notified."""
        return bool(
            self.notify_webhook_url.get_secret_value() or self.notify_mail_to or self.notify_blocks
        )

    @property
    def folder(self) -> Path:
        """The folder in which services run: that of the project, or else of the state."""
        return self.project or self.home.parent

    @property
    def of_children(self) -> Mapping[str, str]:
        """Environment by which processes that are started here read the same settings."""
        project = {} if self.project is None else {f"{PREFIX}PROJECT": str(self.project)}
        return {f"{PREFIX}HOME": str(self.home)} | project

    @property
    def store_endpoint(self) -> str:
        """The address of the store, embedded or not."""
        return self.s3_endpoint or f"http://127.0.0.1:{self.s3_port}"

    def proxy_of(self, url: str) -> Proxy | None:
        """The proxy of the environment by which a URL is asked, or None."""
        return network.proxy_of(os.environ, url)

    @property
    def signing_key(self) -> Path:
        """The file of the private key that signs versions."""
        return self.signing_key_file or self.home / "keys" / "signing.pem"

    def key_of(self, identity: identities.Signing) -> Path:
        """The file of the private key with which an identity signs."""
        files = {
            "training": self.signing_key,
            "administration": self.administration_key_file,
            "operator": self.operator_key_file,
            "serving": self.serving_key_file,
        }
        return files[identity] or self.home / "keys" / f"{identity}.pem"

    @property
    def trusted_keys(self) -> Path:
        """The file of the trusted public keys."""
        return self.trusted_keys_file or self.home / "keys" / "trusted"

    @property
    def api_url(self) -> str:
        """The address of Prefect's API, embedded or not."""
        return (
            self.prefect_api_url
            or f"http://{reachable_host(self.prefect_host)}:{self.prefect_port}/api"
        )

    @property
    def answers_url(self) -> str:
        """The address of serving that is shown to people."""
        return self.serving_url or self.serving_here

    @property
    def serving_here(self) -> str:
        """The address at which this machine reaches its own serving."""
        return f"http://{reachable_host(self.serving_host)}:{self.serving_port}"

    @property
    def grpc_address(self) -> str:
        """Host and port at which this machine reaches its own serving over gRPC; "" for none."""
        port = self.serving_grpc_port
        return f"{reachable_host(self.serving_host)}:{port}" if port else ""


def _shown(error: ErrorDetails) -> str:
    """The value that was found, unless it is a secret."""
    name = str(error["loc"][0]) if error["loc"] else ""
    annotated = Settings.model_fields.get(name)
    # What is set for a source may be its password, whatever the name is that it is set by.
    is_secret = name == "sources" or (annotated is not None and annotated.annotation is SecretStr)
    return "something else" if is_secret else masked(repr(error["input"]))


def _plain(value: object) -> object:
    if isinstance(value, SourceSettings):
        return value.revealed()
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _own_credentials(settings: Settings, file: Path) -> Settings:
    """Settings with the credentials of this identity in the embedded store.

    Credentials in the environment of `overnight up` are those of administration alone: taken by
    every process that inherits them, they would make one of all identities.
    """
    if settings.s3_endpoint is not None or settings.identity == "administration":
        return settings
    own = identities.read(file)
    if own is None:
        return settings
    credentials = {"s3_access_key": own.access_key, "s3_secret_key": SecretStr(own.secret_key)}
    return settings.model_copy(update=credentials | {"s3_session_token": SecretStr("")})


def _own_port(settings: Settings) -> Settings:
    """Settings with the port that Vertex AI names, where ours is not named in the environment."""
    given = {name.upper() for name, value in os.environ.items() if value}
    if settings.aip_http_port is None or f"{PREFIX}SERVING_PORT" in given:
        return settings
    return settings.model_copy(update={"serving_port": settings.aip_http_port})


def _own_password(settings: Settings) -> Settings:
    """Settings that send the embedded Prefect server's password to no other server."""
    given = {name.upper() for name, value in os.environ.items() if value}
    if settings.prefect_api_url is None or f"{PREFIX}PREFECT_AUTH" in given:
        return settings
    return settings.model_copy(update={"prefect_auth": SecretStr("")})


def _connected(settings: Settings) -> Settings:
    """The settings, after the environment says to all HTTP clients how to reach these addresses."""
    addresses = (settings.store_endpoint, settings.api_url, settings.answers_url)
    tracking = settings.mlflow_tracking_uri.get_secret_value()
    network.bypass_proxies(os.environ, (*addresses, settings.serving_here, tracking))
    if settings.s3_ca_file is None or not settings.store_endpoint.startswith("https:"):
        # It may be of somebody's shell, and is no reason to start the embedded store again.
        return settings.model_copy(update={"s3_ca_file": None})
    network.trust_authorities(
        os.environ, settings.s3_ca_file, settings.home / "certificate-authorities.pem"
    )
    return settings.model_copy(update={"s3_ca_file": settings.s3_ca_file.absolute()})


def load(identity: identities.Name | None = None) -> Settings:
    """Read the settings from the environment, and below it from the files of the embedded stack.

    `identity` is for work that needs another identity than the environment names.

    Raises:
        ConfigurationError: naming the setting, what was expected and what was found.
    """
    # A session token in the shell belongs to other credentials; Delta Lake would send it with ours.
    os.environ.pop("AWS_SESSION_TOKEN", None)
    files = project_files.read(os.environ.get(f"{PREFIX}PROJECT"), Path.cwd(), Settings)
    home, project = _home(files), files.project
    chosen = identity or identities.check(
        os.environ.get(f"{PREFIX}IDENTITY") or Settings.model_fields["identity"].default
    )
    generated = home / "embedded.env", identities.path(home, chosen)
    token = _FILE_VALUES.set(files.values)
    try:
        read = Settings(_env_file=generated, home=home, identity=chosen, project=project.folder)
        settings = _own_port(_own_password(_own_credentials(read, generated[1])))
    except ValidationError as error:
        first = error.errors()[0]
        expected = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"{_named(first, files)}: {expected}, found {_shown(first)}; correct it and start again"
        ) from None
    except SettingsError as error:
        # It names the field in its text only.
        name = PREFIX + "".join(re.findall(r'field "(\w+)"', str(error))).upper()
        if name == f"{PREFIX}SOURCES":
            raise ConfigurationError(
                f"{name}: expected JSON; correct it, or set {name}__DIGITS__URL and the like one "
                "by one, and start again"
            ) from None
        raise ConfigurationError(
            f'{name}: expected JSON such as {{"digits": "/data"}}, found '
            f"{os.environ.get(name)!r}; correct it, or set {name}__DIGITS=/data, and start again"
        ) from None
    finally:
        _FILE_VALUES.reset(token)
    _use(project, settings)
    return _connected(settings)


def _home(files: ProjectFiles) -> Path:
    """The folder of the state: as the environment or the file says, or in the project's folder."""
    if named := os.environ.get(f"{PREFIX}HOME"):
        return Path(named).absolute()
    folder = files.project.folder or Path.cwd()
    return Path(files.values.get("home") or folder / ".overnight").absolute()


def _named(error: ErrorDetails, files: ProjectFiles) -> str:
    """The name of a setting as its writer wrote it, in the environment or in the file."""
    name = "__".join(str(part) for part in error["loc"]).upper().removeprefix(PREFIX)
    if name.startswith("AIP_"):
        return name
    is_in_environment = any(each.upper().startswith(PREFIX + name) for each in os.environ)
    if error["loc"] and error["loc"][0] in files.values and not is_in_environment:
        return f"{files.project.folder}/{SETTINGS_FILE}: {name.lower()}"
    return PREFIX + name


def _use(project: Project, settings: Settings) -> None:
    """Make the project that of this process, and its packages importable."""
    projects.use(replace(project, chosen=settings.models))
    for folder in reversed(project.search_path):
        if str(folder) not in sys.path:
            # First, as Python itself does with the folder of a program: an installed copy of the
            # project may be out of date.
            sys.path.insert(0, str(folder))
