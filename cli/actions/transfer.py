"""What `overnight export` and `import` do, and tell."""

from pathlib import Path

from overnight.cli.terminal import bar, open_console, size
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.store.maintenance.export import export as export_bucket
from overnight.store.maintenance.export_format import Index
from overnight.store.maintenance.restore import import_bucket
from overnight.store.objects.conformance import probe


def export(folder: Path) -> None:
    """Copy the bucket of the settings into a folder.

    Raises:
        PlaceTaken, StoreUnavailable, StoreDenied
    """
    settings = load()
    source = f"{settings.store_endpoint}/{settings.s3_bucket}"
    with bar() as told:
        index = export_bucket(connections.bucket(settings), folder, source=source, told=told)
    _tell(index, f"from {source} are in {folder}")
    for key in index.left_behind:
        open_console().print(f"left behind, because no key of ours looks so: {key}", markup=False)


def import_(folder: Path) -> None:
    """Put an export into the bucket of the settings, which is made when it is missing.

    Raises:
        PlaceTaken, ExportChanged, UnsafeStore, StoreUnavailable, StoreDenied
    """
    settings = load()
    bucket = connections.bucket(settings)
    bucket.ensure()
    probe(bucket, where=settings.store_endpoint)
    with bar() as told:
        index = import_bucket(bucket, folder, told=told)
    _tell(index, f"of {index.source} are in {settings.store_endpoint}/{settings.s3_bucket}")
    open_console().print("`overnight verify` reads all of it as what it is")


def _tell(index: Index, where: str) -> None:
    told = f"{len(index.objects):,} objects ({size(index.size_bytes)}) {where}"
    open_console().print(told, markup=False)
