"""`overnight landing`: the arrivals of a model that wait, and the files in quarantine."""

import json
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from overnight.cli.terminal import format_bytes, format_time, new_table, open_console
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.landing import Landing
from overnight.store.objects.bucket import Bucket


def run(model: str, *, as_json: bool) -> None:
    """Print what waits in the landing of a model, what is in quarantine, and what is neither.

    Raises:
        UnknownModel
    """
    # Slow to import, which help must not wait for.
    from overnight import models

    settings = load()
    models.declaration(model)

    def ingested() -> set[str]:
        from overnight.store.datasets.delta_table import Dataset

        return Dataset.on_s3(connections.address(settings), model, "rows").arrival_names()

    document = gather(connections.bucket(settings), model, ingested)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        _show(model, document)


def gather(bucket: Bucket, model: str, ingested: Callable[[], Collection[str]]) -> Document:
    """The landing as JSON: pending arrivals, files in quarantine, and stray names.

    `ingested` reads the arrivals of the dataset; it is called only when any waits.
    """
    landing = Landing(bucket, model)
    listing = landing.listing()
    known = ingested() if listing.arrivals else ()
    excluded = ArrivalReviews(bucket, model).excluded() if listing.arrivals else ()

    def state(arrival: str) -> str:
        if arrival in known:
            return "ingested or refused before under this name: it will be removed"
        return "excluded: it will be quarantined" if arrival in excluded else "waits"

    return {
        "pending": [
            {
                "arrival": arrival.name,
                "state": state(arrival.name),
                "files": {name: file.size_bytes for name, file in arrival.files.items()},
                "bytes": sum(file.size_bytes for file in arrival.files.values()),
                "delivered_at": arrival.delivered_at.isoformat(),
                "delivered_by": arrival.delivered_by,
            }
            for arrival in listing.arrivals
        ],
        "quarantined": [
            file.model_dump(mode="json", include={"arrival", "file", "reason", "delivered_at"})
            for file in landing.quarantined()
        ],
        "strays": [{"key": stray.key, "why": stray.why} for stray in listing.strays],
    }


def _show(model: str, document: Document) -> None:
    console = open_console()
    pending = new_table("arrival", "state", "files", "size", "age", "by")
    for arrival in document["pending"]:
        age = datetime.now(UTC) - datetime.fromisoformat(arrival["delivered_at"])
        names = sorted(arrival["files"])
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        pending.add_row(
            arrival["arrival"],
            arrival["state"],
            f"{names[0]}{more}" if names else "none",
            format_bytes(arrival["bytes"]),
            f"{age.total_seconds() / 3_600:.1f} h",
            arrival["delivered_by"],
        )
    console.print(pending if document["pending"] else f"no arrival of {model} waits")
    quarantined = new_table("file", "arrival", "delivered (UTC)", "reason")
    for file in document["quarantined"]:
        delivered = format_time(file["delivered_at"])
        quarantined.add_row(file["file"], file["arrival"], delivered, file["reason"])
    if document["quarantined"]:
        console.print("in quarantine:")
    console.print(quarantined if document["quarantined"] else "nothing is in quarantine")
    for stray in document["strays"]:
        console.print(f"{stray['key']} is left alone: {stray['why']}")
