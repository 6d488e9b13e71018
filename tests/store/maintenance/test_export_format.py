"""Export to a folder and import into another store, with interruptions."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from overnight.store.errors import DestinationNotEmpty, ExportChanged, StoreUnavailable
from overnight.store.local_files import PART
from overnight.store.maintenance.export import export
from overnight.store.maintenance.export_format import read_exported, read_index
from overnight.store.maintenance.restore import import_bucket
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.tasks.maintenance.audit import AuditContext, verify
from tests.support import filled_bucket
from tests.support.crashing_stores import Killed, KillingBucket
from tests.support.limits import LIMIT
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.serving import bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.signing_keys import TRUST
from tests.support.waiting import until

KEYS = {"models/digits/settings/00000001.json": b"{}", "landing/digits/2026-11-22/a/f": b"1,2"}


def silent(*_: object) -> None:
    """Nobody looks."""


def filled(content: dict[str, bytes] = KEYS) -> MemoryBucket:
    bucket = MemoryBucket()
    for key, body in content.items():
        bucket.create(key, body)
    return bucket


def content(bucket: Bucket) -> dict[str, bytes]:
    return {key: bucket.read(key, LIMIT) for key in bucket.sizes_below("")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished export of `KEYS`."""
    export(filled(), tmp_path / "export", source="here", progress=silent)
    return tmp_path / "export"


def test_long_names_with_a_common_beginning_are_both_copied(tmp_path):
    alike = {
        f"landing/digits/2026-11-22/a/{'a' * 240}{number:03d}": f"{number}".encode() * 10_000
        for number in range(40)
    }

    export(filled(alike), tmp_path / "export", source="here", progress=silent)

    there = MemoryBucket()
    import_bucket(there, tmp_path / "export", progress=silent)
    assert content(there) == alike


def test_an_export_killed_with_its_first_file_continues(tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / f"{PART}0123").write_bytes(b"half a line")

    export(filled(), folder, source="here", progress=silent)

    there = MemoryBucket()
    import_bucket(there, folder, progress=silent)
    assert content(there) == KEYS


def test_an_export_is_plain_files_and_an_index(folder):
    index = read_index(folder)

    assert {key: (folder / "content" / key).read_bytes() for key in index.objects} == KEYS
    assert (index.source, index.size_bytes) == ("here", 5)
    assert sorted(path.name for path in folder.iterdir()) == ["content", "index.json"]


def test_an_import_equals_the_exported_bucket(folder):
    bucket = filled({"probe/left": b"by a start that was killed"})

    import_bucket(bucket, folder, progress=silent)

    assert content(bucket) == KEYS | {"probe/left": b"by a start that was killed"}


def test_probes_hints_and_keys_outside_the_grammar_are_left_behind(tmp_path):
    bucket = filled({"probe/x": b"", "datasets/digits/rows/_delta_log/_last_checkpoint": b"{}"})
    bucket._objects["a strange//key"] = b"?"

    index = export(bucket, tmp_path / "export", source="here", progress=silent)

    assert (dict(index.objects), index.left_behind) == ({}, ("a strange//key",))


def test_what_people_sent_and_were_answered_is_in_no_export(tmp_path):
    recorded = {
        "predictions/digits/day=2026-11-22/part-0.parquet": b"alice",
        "predictions/digits/_delta_log/00000000000000000000.json": b"{}",
        "labels/digits/_delta_log/00000000000000000000.json": b"{}",
        f"spool/digits/host-1/{'a' * 32}-00000001.log": b"alice",
    }
    bucket, other = filled(KEYS | recorded), filled(recorded)

    index = export(bucket, tmp_path / "export", source="here", progress=silent)
    # Serving may record already while an import runs.
    import_bucket(other, tmp_path / "export", progress=silent)

    assert (set(index.objects), index.left_behind) == (set(KEYS), ())
    assert content(other) == KEYS | recorded


def test_what_changed_on_disk_since_an_interrupted_export_is_fetched_again(tmp_path):
    # Given an export that died before its index, and a file damaged at its former size since.
    class DiesAtTheEnd(MemoryBucket):
        def read(self, key: str, limit: int) -> bytes:
            if key == max(KEYS):
                raise StoreUnavailable("here", "cut off")
            return super().read(key, limit)

    bucket, folder, copied = DiesAtTheEnd(), tmp_path / "export", min(KEYS)
    for key, body in KEYS.items():
        bucket.create(key, body)
    with pytest.raises(StoreUnavailable):
        export(bucket, folder, source="here", progress=silent)
    assert (folder / "content" / copied).read_bytes() == KEYS[copied]
    (folder / "content" / copied).write_bytes(b"x" * len(KEYS[copied]))

    export(filled(), folder, source="here", progress=silent)

    there = MemoryBucket()
    import_bucket(there, folder, progress=silent)
    assert content(there) == KEYS


@pytest.mark.parametrize("reads", range(3))
def test_an_interrupted_export_continues_and_fetches_nothing_twice(tmp_path, reads):
    many = {f"models/digits/settings/{n:08d}.json": b"%d" % n for n in range(1, 40)}

    class DiesReading(MemoryBucket):
        left = reads

        def read(self, key: str, limit: int) -> bytes:
            type(self).left -= 1
            if type(self).left < 0:
                raise StoreUnavailable("here", "cut off")
            fetched.append(key)
            return super().read(key, limit)

    fetched: list[str] = []
    bucket = DiesReading()
    for key, body in many.items():
        bucket.create(key, body)
    with pytest.raises(StoreUnavailable):
        export(bucket, tmp_path / "export", source="here", progress=silent)
    with pytest.raises(ExportChanged, match="the index of a finished export, found none"):
        import_bucket(MemoryBucket(), tmp_path / "export", progress=silent)

    DiesReading.left = 1_000
    index = export(bucket, tmp_path / "export", source="here", progress=silent)

    assert index.objects.keys() == many.keys()
    assert sorted(fetched) == sorted(many)


def test_a_file_damaged_meanwhile_is_fetched_again(tmp_path, folder):
    (folder / "index.json").unlink()
    (folder / "underway.jsonl").write_text('{"source":"here"}\n{"key": "torn')
    (folder / "content/landing/digits/2026-11-22/a/f").write_bytes(b"torn")
    (folder / "content/stranger").write_bytes(b"of no store")

    export(filled(), folder, source="here", progress=silent)

    bucket = MemoryBucket()
    import_bucket(bucket, folder, progress=silent)
    assert content(bucket) == KEYS


def test_an_arrival_ingested_meanwhile_is_exported_whole_or_not_at_all(tmp_path):
    class TakenIn(MemoryBucket):
        """Whose arrival is taken in right when it is read."""

        def read(self, key: str, limit: int) -> bytes:
            if key.startswith("landing/") and key in self._objects:
                del self._objects[key]
                self._objects["datasets/digits/rows/part-0.parquet"] = b"1,2"
            return super().read(key, limit)

    bucket = TakenIn()
    for key, body in KEYS.items():
        bucket.create(key, body)

    index = export(bucket, tmp_path / "export", source="here", progress=silent)

    expected = {"models/digits/settings/00000001.json", "datasets/digits/rows/part-0.parquet"}
    assert index.objects.keys() == expected


@pytest.mark.parametrize(
    "contents", ["a file of somebody's", "a finished export", "another's part"]
)
def test_nothing_is_exported_over_something_else(tmp_path, folder, contents):
    place = tmp_path / "place"
    place.mkdir()
    if contents == "a finished export":
        place = folder
    elif contents == "another's part":
        (place / "underway.jsonl").write_text('{"source": "elsewhere"}\n')
    else:
        (place / "holiday.jpg").write_bytes(b"")
    before = sorted(place.rglob("*"))

    with pytest.raises(DestinationNotEmpty, match="Name another destination"):
        export(filled(), place, source="here", progress=silent)

    assert sorted(place.rglob("*")) == before


def test_nothing_is_imported_into_a_store_that_holds_something_else(folder):
    for other in ({"models/digits/settings/00000002.json": b"{}"}, {next(iter(KEYS)): b"{ }"}):
        bucket = filled(other)

        with pytest.raises(DestinationNotEmpty, match="models/digits/settings"):
            import_bucket(bucket, folder, progress=silent)

        assert content(bucket) == other


@pytest.mark.parametrize("change", ["changed", "gone", "added", "no index", "a newer format"])
def test_an_export_that_has_changed_is_refused_before_anything_is_written(folder, change):
    file = folder / "content" / [*KEYS][1]
    match change:
        case "changed":
            file.write_bytes(b"1,3")
        case "gone":
            file.unlink()
        case "added":
            file.with_name("more").write_bytes(b"")
        case "no index":
            (folder / "index.json").write_text("{")
        case "a newer format":
            text = (folder / "index.json").read_text()
            (folder / "index.json").write_text(text.replace('"format": 1', '"format": 2'))
    bucket = MemoryBucket()

    with pytest.raises(ExportChanged, match="run `overnight export` again"):
        import_bucket(bucket, folder, progress=silent)

    assert content(bucket) == {}


IRREGULAR = {
    "a symbolic link": lambda path: path.symlink_to(__file__),
    "a named pipe": os.mkfifo,
}


@pytest.mark.parametrize("kind", IRREGULAR)
@pytest.mark.parametrize("name", [*KEYS, "models/added", "../index.json"])
def test_an_import_reads_regular_files_only(folder, kind, name):
    path = folder / "content" / name
    path.unlink(missing_ok=True)
    IRREGULAR[kind](path)
    bucket = MemoryBucket()

    with pytest.raises(ExportChanged, match=kind):
        import_bucket(bucket, folder, progress=silent)

    assert content(bucket) == {}


def test_an_import_follows_no_link_to_a_folder(folder):
    landing = folder / "content" / "landing"
    landing.rename(folder.parent / "elsewhere")
    landing.symlink_to(folder.parent / "elsewhere")

    with pytest.raises(ExportChanged, match="a symbolic link"):
        import_bucket(MemoryBucket(), folder, progress=silent)
    with pytest.raises(ExportChanged):
        read_exported(folder, read_index(folder), [*KEYS][1])


@pytest.mark.parametrize("kind", IRREGULAR)
@pytest.mark.parametrize("name", ["underway.jsonl", "content/models"])
def test_an_export_writes_through_no_link_and_waits_for_no_pipe(tmp_path, kind, name):
    folder = tmp_path / "export"
    (folder / "content").mkdir(parents=True)
    (folder / "underway.jsonl").write_text('{"source": "here"}\n')
    (folder / name).unlink(missing_ok=True)
    IRREGULAR[kind](folder / name)

    with pytest.raises(DestinationNotEmpty, match=kind):
        export(filled(), folder, source="here", progress=silent)


@pytest.mark.parametrize("writes", range(12))
def test_an_import_killed_at_any_write_serves_nothing_and_continues(tmp_path, writes):
    source = MemoryBucket()
    version = bundles.publish(source, 1)
    filled_bucket.approve(source, version)
    filled_bucket.promote(source, version, over=None)
    export(source, tmp_path / "export", source="here", progress=silent)
    bucket = MemoryBucket()
    try:
        import_bucket(KillingBucket(bucket, writes), tmp_path / "export", progress=silent)
    except Killed:
        assert AliasLog(bucket, "digits").current() is None or content(bucket) == content(source)

    import_bucket(bucket, tmp_path / "export", progress=silent)

    assert content(bucket) == content(source)


@pytest.fixture(scope="module")
def second_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Address]:
    with seaweed(tmp_path_factory.mktemp("second")) as endpoint:
        yield S3Address(endpoint, "moved", ACCESS, SECRET)


def overnight(home: Path, address: S3Address, *arguments: str) -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if "OVERNIGHT" not in name}
    environment |= {
        "OVERNIGHT_HOME": str(home),
        "OVERNIGHT_S3_ENDPOINT": address.endpoint,
        "OVERNIGHT_S3_BUCKET": address.bucket,
        "OVERNIGHT_S3_ACCESS_KEY": address.access_key,
        "OVERNIGHT_S3_SECRET_KEY": address.secret_key,
    }
    command = [sys.executable, "-m", "overnight.cli.main", *arguments]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.servers
@pytest.mark.timeout(180)
def test_serving_predicts_from_a_store_that_was_imported(
    s3_bucket: S3Bucket, s3_address: S3Address, second_store: S3Address, tmp_path: Path
):
    # Given two nights in the first store, and an export and an import that are killed half-way.
    filled_bucket.append_holdout(s3_address)
    for number in (1, 2):
        filled_bucket.publish_version(s3_bucket, s3_address, number)
    filled_bucket.keep_other_records(s3_bucket, bundles.version_name(2))
    folder = tmp_path / "export"
    killed_half_way(
        overnight(tmp_path, s3_address, "export", str(folder)),
        (folder / "underway.jsonl").exists,
    )
    if not (folder / "index.json").exists():
        exported = overnight(tmp_path, s3_address, "export", str(folder))
        assert " objects (" in exported.communicate()[0]
    second = S3Bucket(second_store)
    second.ensure()
    killed_half_way(
        overnight(tmp_path, second_store, "import", str(folder)),
        lambda: bool(second.sizes_below("models")),
    )

    # When the import goes on.
    imported = overnight(tmp_path, second_store, "import", str(folder))
    output, failed = imported.communicate()

    # Then all is there, tables open at the new place, and serving answers from it.
    assert (imported.returncode, failed) == (0, "")
    assert "objects" in output
    context = AuditContext(
        second, lambda _model, name: filled_bucket.table(second_store, name), TRUST
    )
    assert verify(context).findings == ()
    assert (
        filled_bucket.table(second_store, "rows").append(filled_bucket.rows("night-3"), "night-3")
        == 3
    )
    with run_serving(place=tmp_path / "home", **follow_settings(second_store)) as serving:
        until(serving.is_ready, what="serving is ready")
        assert serving.version() == bundles.version_name(2)


def killed_half_way(process: "subprocess.Popen[str]", begun) -> None:
    """End a process at once when it has begun; one that was quicker is as good."""
    until(lambda: begun() or process.poll() is not None, what="it begins")
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_files_are_imported_before_their_manifest_and_versions_before_aliases(tmp_path):
    source = MemoryBucket()
    version = bundles.publish(source, 1)
    filled_bucket.approve(source, version)
    filled_bucket.promote(source, version, over=None)
    export(source, tmp_path / "export", source="here", progress=silent)
    written: list[str] = []

    class Noting(MemoryBucket):
        def create(self, key: str, body: bytes) -> None:
            super().create(key, body)
            written.append(key)

    import_bucket(Noting(), tmp_path / "export", progress=silent)

    manifest = written.index(keys.manifest("digits", version))
    assert all(manifest > written.index(key) for key in written if key.endswith(".tflite"))
    assert written[-1] == keys.alias_record("digits", "champion", 1)
