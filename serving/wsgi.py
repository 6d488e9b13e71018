"""The door for WSGI servers: `serving.wsgi:application` makes the application of one worker."""

import hashlib
from logging import getLogger
from pathlib import Path

from flask import Flask

from infra import connections, logging, settings
from serving.application import create_application
from serving.attendant import open_bundle
from serving.board import Board
from serving.cache import read_bundle
from serving.fleet import Fleet, Following
from serving.limits import Limits
from serving.slots import Loaded, Slot, Slots
from serving.story import Story
from store.errors import OvernightError
from store.s3 import S3Address, S3Bucket


def application() -> Flask:
    """Follow the store that the settings name, and answer for what it says is champion.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    chosen = settings.load()
    logging.configure(chosen.log_level)
    address = connections.address(chosen)
    following = Following(
        folder=folder_of(chosen.home, address),
        models=chosen.serving_models,
        replica=chosen.replica,
        poll_seconds=chosen.poll_seconds,
        threads=chosen.serving_threads,
        workers=chosen.serving_workers,
    )
    # One try: the watcher itself looks again a poll later.
    bucket = S3Bucket(address, read_seconds=10, tries=1)
    fleet = Fleet(bucket, following)
    fleet.start()
    limits = Limits(body_bytes=chosen.maximum_body_bytes, batch_rows=chosen.maximum_batch_rows)
    return create_application(fleet.slots, limits=limits, story=fleet.story)


def rehearsal(folder: Path, threads: int, limits: Limits, log_level: str) -> Flask:
    """Answer for the one bundle in a folder, without any store.

    Raises:
        SystemExit: the bundle cannot answer; the log says why.
    """
    logging.configure(log_level)
    slots = Slots()
    try:
        manifest, files = read_bundle(folder)
        predictor = open_bundle(manifest, files, threads=threads)
    except OvernightError as error:
        getLogger(__name__).error("%s", error)  # noqa: TRY400 - the words say it all
        raise SystemExit(1) from None
    slot = slots.add(Slot(manifest.model, Board.alone()))
    slot.put(Loaded(1, predictor, None))
    slot.board.flip(1)
    return create_application(slots, limits=limits, story=Story())


def folder_of(home: Path, address: S3Address) -> Path:
    """What is remembered belongs to one store: pointed at another, serving starts afresh."""
    store = hashlib.sha256(f"{address.endpoint}/{address.bucket}".encode()).hexdigest()[:12]
    return home / "serving" / store
