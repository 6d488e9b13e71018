"""The versions of a release, in a bucket or as an export with the rows that train the next ones.

A stack that imports the export has champions within seconds, without training.
"""

from datetime import UTC, datetime
from pathlib import Path

from overnight.models.definition import Places
from overnight.models.digits.source import DigitsSource
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.local_files import write_atomically
from overnight.store.maintenance.export_format import CONTENT, INDEX, Index, files, path_of
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry import versions
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.endorsement import NOT_SIGNED, endorse
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import PublicKey, Trust, parse
from overnight.tasks.data.ingest import ingest
from tests.support.genuine_digits import GenuineDigits
from tests.support.limits import LIMIT
from tests.support.signing_keys import SIGNER, named, registry

RELEASE = Path(__file__).parents[1] / "goldens" / "versions" / "0.1.0"
MODELS = ("digits", "sales")
ROWS = 2_000


def trusted_key() -> PublicKey:
    """The key that signed the versions of the release."""
    file = RELEASE / "trusted"
    (key,) = parse(file.read_text(), file)
    return PublicKey("release", key.raw)


def trusted_keys() -> tuple[PublicKey, PublicKey]:
    """The key that signed the versions of the release, and that of who signed its approvals."""
    return trusted_key(), named(SIGNER, "people", "decisions", "aliases")


def copy_versions(bucket: Bucket) -> None:
    """Copy the versions of the release to a bucket; each becomes its model's champion.

    The release signed neither approvals nor alias records: a person did, when it was upgraded.
    """
    for path in (RELEASE / "models").rglob("*"):
        if path.is_file():
            bucket.create(path.relative_to(RELEASE).as_posix(), path.read_bytes())
    for model in MODELS:
        (version,) = ModelRegistry(bucket, model).versions()
        AliasLog(bucket, model).append(version, expected=None, actor=Actor("ann", "the release"))
        people = registry(bucket, model, trust=Trust(trusted_keys()))
        lines = list(endorse(people, SIGNER, confirmed=True))
        assert not any(line.startswith(NOT_SIGNED) for line in lines), lines


def export_to(folder: Path, digits: GenuineDigits) -> None:
    """Write the bucket as `overnight export` would, with the first rows of the first arrival.

    The holdout is the whole one: with fewer rows nothing could show that it is no worse.
    """
    released = MemoryBucket()
    copy_versions(released)
    _ingest(released, folder, digits)
    for key in released.sizes_below(""):
        write_atomically(path_of(folder, key), released.read(key, LIMIT))
    bodies = {key: path_of(folder, key).read_bytes() for key in files(folder)}
    index = Index(source="a release", objects=versions.entries(bodies))
    (folder / INDEX).write_text(index.model_dump_json())


def _ingest(released: Bucket, folder: Path, digits: GenuineDigits) -> None:
    rows, holdout = (
        Dataset(str(folder / CONTENT / keys.dataset("digits", table)))
        for table in ("rows", "holdout")
    )
    holdout.append(digits.whole_holdout, "holdout")
    now = datetime.now(UTC)
    Landing(released, "digits").land("night-0000", digits.files(0, ROWS), by="ann", at=now)
    source = DigitsSource(Places(folder=None, cache=folder))
    ingest(source, released, rows, holdout, model="digits", take_next=False)
