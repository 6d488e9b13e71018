"""`overnight export` and `overnight import`."""

from pathlib import Path

from overnight.cli.terminal import format_bytes, open_console, progress_bars
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.store.maintenance.export import export as export_bucket
from overnight.store.maintenance.export_format import Index
from overnight.store.maintenance.restore import import_bucket
from overnight.store.objects.conformance import probe


def export(folder: Path) -> None:
    """Copy the bucket of the settings into a folder.

    Raises:
        DestinationNotEmpty, StoreUnavailable, StoreDenied
    """
    settings = load()
    source = f"{settings.store_endpoint}/{settings.s3_bucket}"
    with progress_bars() as report:
        index = export_bucket(connections.bucket(settings), folder, source=source, progress=report)
    _print(index, f"from {source} are in {folder}")
    for key in index.left_behind:
        open_console().print(f"not copied, because it has no key of overnight's: {key}")


def import_(folder: Path) -> None:
    """Put an export into the bucket of the settings, which is made when it is missing.

    Raises:
        DestinationNotEmpty, ExportChanged, UnsafeStore, StoreUnavailable, StoreDenied
    """
    settings = load()
    bucket = connections.bucket(settings)
    bucket.ensure()
    # The registry is only safe on a store that refuses to create a key twice.
    probe(bucket, where=settings.store_endpoint)
    with progress_bars() as report:
        index = import_bucket(bucket, folder, progress=report)
    _print(index, f"of {index.source} are in {settings.store_endpoint}/{settings.s3_bucket}")
    open_console().print("check it with `overnight verify`")


def _print(index: Index, where: str) -> None:
    size = format_bytes(index.size_bytes)
    open_console().print(f"{len(index.objects):,} objects ({size}) {where}")
