"""Ingests landed arrivals into the dataset, each exactly once."""

import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Delivery, Source, StreamedDelivery
from overnight.models.sources.local_folder import FolderSource
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.feedback_arrivals import parse_feedback_name
from overnight.store.datasets.landing import Arrival, Landing
from overnight.store.errors import AlreadyExists, BadFile
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Finding
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.categories import Categories
from overnight.tasks.data.changed_files import changed_files
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.ingest_arrival import ArrivalIngest
from overnight.tasks.data.land import land_written
from overnight.tasks.data.learned_arrivals import open_reviews
from overnight.tasks.data.read_arrival import ArrivalReader, DeliverRequest, ReadHere

HOLDOUT = "holdout"
UNDECLARED = DataGates()
# From the rows of a frozen holdout, and the name of their file, to the findings on them.
CheckHoldout = Callable[[pa.Table, str], tuple[Finding, ...]]


def unchecked(_rows: pa.Table, _file: str) -> tuple[Finding, ...]:
    """The default: no findings."""
    return ()


def ingest(
    source: Source,
    bucket: Bucket,
    rows: Dataset,
    holdout: Dataset,
    *,
    model: str,
    take_next: bool,
    gates: DataGates = UNDECLARED,
    reader: ArrivalReader | None = None,
    check_holdout: CheckHoldout = unchecked,
    known: Categories | None = None,
    open_categories: Categories | None = None,
    declared: DeclaredColumns | None = None,
) -> Ingested:
    """Ingest every pending arrival; with `take_next` and none pending, the source's next one.

    Files that cannot be read are quarantined, and so are all files of an arrival whose rows are
    not as `gates` declare, or that a person excluded. Of the columns that came later than the
    table, those that are `declared` are chosen. Known rows are dropped and rows of the
    holdout kept out; the others are added in one commit for each arrival. An ingest may be killed
    at any point and run again. Without a `reader`, files are read here, without limits.

    Arrivals of the landing that are parked for a person stay there until they are accepted or
    excluded. Labelled rows come as they please, and are no reason to wait with the source's next.

    A category that is not `known`, or not among the `open_categories`, is named in a notice with
    its arrival and first row; the rows are ingested all the same.

    A holdout with failed findings of `check_holdout` is not kept, and then nothing is ingested.
    """
    checked = _keep_holdout(source, holdout, check_holdout)
    if failures := tuple(finding for finding in checked if not finding.passed):
        return Ingested(findings=failures)
    landing = Landing(bucket, model)
    listing = landing.listing()
    reviews = ArrivalReviews(bucket, model)
    held = _held(reviews, listing.arrivals)
    arrivals: Sequence[Arrival] = [each for each in listing.arrivals if each.name not in held]
    # Read after the listing: an arrival committed in between counts as ingested.
    ingested = rows.arrival_names()
    reader = reader or ReadHere(source, gates)
    if take_next and not _of_source(arrivals):
        arrivals = [*_land_next(source, landing, rows, ingested, reader), *arrivals]
    outcomes: list[Ingested] = []
    if arrivals:
        excluded = reviews.excluded()
        each = ArrivalIngest(
            landing,
            rows,
            holdout,
            reader,
            gates,
            reusable=_reusable_arrivals(landing, rows, excluded),
            excluded=excluded,
            known=known or {},
            open=open_categories or {},
            declared=declared or DeclaredColumns(),
        )
        for arrival in arrivals:
            if arrival.name in ingested:
                outcomes.append(Ingested(skipped=(arrival.name,)))
            elif arrival.name in excluded:
                outcomes += _set_aside(each, reviews, arrival)
            elif outcome := each.ingest(arrival):
                outcomes.append(outcome)
            # After the commit: a killed ingest finds the arrival again and skips it.
            landing.clear(arrival)
    notices = [finding.message for finding in checked]
    notices += [notice for outcome in outcomes for notice in outcome.notices]
    notices += map(str, listing.strays)
    if isinstance(source, FolderSource) and take_next and not _of_source(listing.arrivals):
        notices += [*map(str, source.left_alone()), *changed_files(source, rows, model=model)]
    notices += [f"{name} waits for a person: `overnight accept` or `exclude`" for name in held]
    summed = _sum(outcomes, rows.version() if rows.has_rows() else None, notices)
    return replace(summed, held=held)


def _of_source(landed: Sequence[Arrival]) -> list[Arrival]:
    """The landed arrivals without those of labelled rows."""
    return [arrival for arrival in landed if parse_feedback_name(arrival.name) is None]


def _held(reviews: ArrivalReviews, landed: Sequence[Arrival]) -> tuple[str, ...]:
    """The landed arrivals that are parked for a person, who has not decided yet."""
    # Only labelled rows are parked before they are ingested, and most models have none.
    if not any(parse_feedback_name(arrival.name) for arrival in landed):
        return ()
    parked = {review.arrival for review in reviews.pending()}
    return tuple(arrival.name for arrival in landed if arrival.name in parked)


def _keep_holdout(source: Source, holdout: Dataset, check: CheckHoldout) -> tuple[Finding, ...]:
    """Write the holdout unless it is there, or wrong; it never changes. Returns its findings."""
    if HOLDOUT in holdout.arrival_names():
        return ()
    file = source.holdout_file() if isinstance(source, FolderSource) else "the holdout"
    try:
        rows = source.holdout()
    except BadFile as error:
        return (Finding(gate=HOLDOUT, metric="file", slice=file, passed=False, message=str(error)),)
    findings = check(rows, file)
    if all(finding.passed for finding in findings):
        # Otherwise a concurrent ingest wrote it.
        with suppress(AlreadyExists):
            holdout.append(rows, HOLDOUT)
    return findings


def _land_next(
    source: Source,
    landing: Landing,
    rows: Dataset,
    ingested: Collection[str],
    reader: ArrivalReader,
) -> list[Arrival]:
    """Land the source's next arrival.

    Without a table nothing remembers an arrival that was refused, so the source delivers it again,
    mended or not; then the one after it is landed, too.
    """
    delivered = {*ingested, *ArrivalReviews(landing.bucket, landing.model).excluded()}
    refused = set()
    if rows.version() is None:
        refused = {file.arrival for file in landing.quarantined()}
    landed: list[Arrival] = []
    while (delivery := source.deliver(delivered)) is not None:
        # Landed first and ingested like any other, so that a killed run finds it again.
        landed.append(_land(landing, delivery, delivered, reader))
        if landed[-1].name not in refused:
            break
        delivered |= {delivery.name, landed[-1].name}
    return landed


def _land(
    landing: Landing,
    delivery: Delivery | StreamedDelivery,
    delivered: Collection[str],
    reader: ArrivalReader,
) -> Arrival:
    """Land what the source delivers; rows that are streamed go over the disk, and not by memory."""
    by, now = "the source", datetime.now(UTC)
    if isinstance(delivery, Delivery):
        return landing.land(delivery.name, delivery.files, by=by, at=now)
    with tempfile.TemporaryDirectory(prefix="overnight-deliver-") as name:
        folder = Path(name)
        request = DeliverRequest(delivered=tuple(sorted(delivered)), folder=folder)
        outcome = reader.deliver(delivery, request)
        return land_written(landing, outcome.name, outcome.converted, folder, by=by, at=now)


def _set_aside(each: ArrivalIngest, reviews: ArrivalReviews, arrival: Arrival) -> list[Ingested]:
    """Quarantine an arrival that a person excluded, unread."""
    decision = reviews.decision(arrival.name)
    why = f"excluded by {decision.by}: {decision.reason}" if decision else "excluded"
    finding = Finding(
        gate="not excluded",
        metric="decision",
        slice=arrival.name,
        passed=False,
        message=why,
    )
    outcome = each.refuse(arrival, (finding,), lambda file: each.landing.read_file(arrival, file))
    return [outcome] if outcome else []


def _reusable_arrivals(landing: Landing, rows: Dataset, excluded: Collection[str]) -> set[str]:
    """The arrivals that are excluded or may become so: their rows may arrive again elsewhere.

    If such an arrival is accepted later, a snapshot uses its row and not the later one.
    """
    pending = open_reviews(ModelRegistry(landing.bucket, landing.model), rows.arrival_versions)
    return {*excluded, *(review.arrival for review in pending)}


def _sum(outcomes: Sequence[Ingested], version: int | None, notices: Sequence[str]) -> Ingested:
    return Ingested(
        arrivals=tuple(name for outcome in outcomes for name in outcome.arrivals),
        rows_added=sum(outcome.rows_added for outcome in outcomes),
        duplicates=sum(outcome.duplicates for outcome in outcomes),
        kept_out=sum(outcome.kept_out for outcome in outcomes),
        quarantined=tuple(file for outcome in outcomes for file in outcome.quarantined),
        dataset_version=version,
        findings=tuple(finding for outcome in outcomes for finding in outcome.findings),
        skipped=tuple(name for outcome in outcomes for name in outcome.skipped),
        notices=tuple(notices),
    )
