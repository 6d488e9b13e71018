"""The project `tests/projects/town` in an environment that a user would have, and its servers."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.postgres_server import PASSWORD, USER, Postgres
from tests.support.projects import rows
from tests.support.projects.edits import Changes
from tests.support.signing_keys import write_keys

PROJECT = Path(__file__).parents[2] / "projects" / "town"
RUN_FLOWS = Path(__file__).with_name("run_flows.py")


@dataclass(frozen=True)
class Outcome:
    """How a retraining run ended."""

    name: str
    message: str
    seconds: float


@dataclass
class Town:
    """A copy of the project that can be edited, and the process that runs its flows."""

    folder: Path
    python: Path
    settings: Mapping[str, str]
    bucket: S3Bucket
    readings: S3Bucket
    database: Postgres
    log: Path
    _process: "subprocess.Popen[str] | None" = field(default=None, init=False)

    def retrain(self, *models: str, **parameters: object) -> dict[str, Outcome]:
        """Run `retrain` of these models, several at once, and answer how each run ended."""
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(dict.fromkeys(models, parameters)) + "\n")
        process.stdin.flush()
        ended = {}
        for _ in models:
            line = process.stdout.readline()
            assert line, f"the flows ended: {self.log.read_text()[-3_000:]}"
            reply = json.loads(line)
            ended[reply.pop("model")] = Outcome(
                reply["outcome"], reply["message"], reply["seconds"]
            )
        return ended

    def edit(self, changes: Changes) -> None:
        """Replace pieces of the project's files, each there once, for all later runs."""
        for file, pieces in changes.items():
            path = self.folder / file
            text = path.read_text()
            for old, new in pieces.items():
                assert text.count(old) == 1, f"{file} has {old!r} {text.count(old)} times"
                text = text.replace(old, new)
            path.write_text(text)
        # As on every night: a run is a process of its own, which imports what is there then.
        self.stop()

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run `overnight` in the project."""
        return subprocess.run(
            [self.python.with_name("overnight"), *arguments],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.close()
            self._process.wait(30)
            self._process.stdout.close()
            self._process = None

    def _running(self) -> "subprocess.Popen[str]":
        if self._process is None:
            with self.log.open("a") as log:
                self._process = subprocess.Popen(
                    [self.python, RUN_FLOWS],
                    cwd=self.folder,
                    env=self._environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                )
        return self._process

    def _environment(self) -> dict[str, str]:
        """What a user's shell has, and none of the settings and paths of the tests."""
        own = ("OVERNIGHT_", "PYTHON")
        shell = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        return shell | dict(self.settings)


@contextmanager
def town(
    place: Path, python: Path, address: S3Address, prefect_url: str, database: Postgres
) -> Iterator[Town]:
    """A copy of the project, whose runs write to the bucket of the address.

    Machines deliver their readings to another bucket of the same store, and flats are a table.
    """
    folder = place / "town"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__", ".overnight"))
    write_keys(folder / ".overnight")
    readings = S3Bucket(replace(address, bucket="readings"))
    readings.ensure()
    settings = {
        "OVERNIGHT_S3_ENDPOINT": address.endpoint,
        "OVERNIGHT_S3_BUCKET": address.bucket,
        "OVERNIGHT_S3_ACCESS_KEY": address.access_key,
        "OVERNIGHT_S3_SECRET_KEY": address.secret_key,
        "OVERNIGHT_SOURCES__MACHINES__S3_ENDPOINT": address.endpoint,
        "OVERNIGHT_SOURCES__MACHINES__S3_ACCESS_KEY": address.access_key,
        "OVERNIGHT_SOURCES__MACHINES__S3_SECRET_KEY": address.secret_key,
        "OVERNIGHT_SOURCES__FLATS__URL": database.url,
        "OVERNIGHT_SOURCES__FLATS__USER": USER,
        "OVERNIGHT_SOURCES__FLATS__PASSWORD": PASSWORD,
        "OVERNIGHT_PREFECT_API_URL": prefect_url,
        "PREFECT_API_URL": prefect_url,
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # Whoever asks waits for the host to switch, so runs need not.
        "OVERNIGHT_REPLICAS": "0",
    }
    log = place / "flows.log"
    running = Town(folder, python, settings, S3Bucket(address), readings, database, log)
    try:
        yield running
    finally:
        running.stop()


def deliver(town: Town, arrival: int) -> None:
    """Put the next rows where the sources look for them; arrival 0 is the holdout."""
    is_holdout = arrival == rows.HOLDOUT
    stem = "holdout" if is_holdout else f"day-{arrival}"
    for model in ("churn", "tickets", "heating"):
        _write(town, model, f"{stem}.csv", rows.csv(rows.ROWS[model](arrival)))
    _write(town, "garments", f"{stem}.parquet", rows.parquet(rows.garments(arrival)))
    town.readings.create(f"machines/{stem}.jsonl", rows.json_lines(rows.machines(arrival)))
    _insert(town.database, rows.flats(arrival), judges=is_holdout)


def _write(town: Town, model: str, name: str, body: bytes) -> None:
    """Under a hidden name first, as whoever delivers files should: a source takes none half."""
    folder = town.folder / "rows" / model
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{name}"
    part.write_bytes(body)
    part.rename(folder / name)


def _insert(database: Postgres, table: pa.Table, *, judges: bool) -> None:
    """Rows into the table of flats, which gains the columns that it lacks."""
    columns = [*table.schema.names, "judges"]
    types = {name: "text" if name == "district" else "real" for name in table.schema.names}
    declared = ", ".join(f"{name} {kind}" for name, kind in types.items())
    database.execute(
        f"CREATE TABLE IF NOT EXISTS flats (id bigserial PRIMARY KEY, judges boolean, {declared})",
        *(f"ALTER TABLE flats ADD COLUMN IF NOT EXISTS {name} {types[name]}" for name in types),
    )
    values = ", ".join(
        "(" + ", ".join(repr(value) for value in (*row.values(), judges)) + ")"
        for row in table.to_pylist()
    )
    database.execute(f"INSERT INTO flats ({', '.join(columns)}) VALUES {values}")
