"""WSGI entry point: `overnight.serving.wsgi:application` makes the application of one worker."""

import hashlib
from logging import getLogger
from pathlib import Path

from flask import Flask

from overnight.infra import connections, logging, settings
from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.challenger.router import Router
from overnight.serving.host.shared_memory import DrainFlag, SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.disk_cache import read_bundle
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.serving.status import StandaloneStatus
from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address, S3Bucket


def application(draining: Path | None = None) -> Flask:
    """Follow the store that the settings name, and answer for what it says is champion.

    `draining` is the file in which whoever ends the server says so beforehand.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    chosen = settings.load()
    logging.configure(chosen.log_level)
    address = connections.address(chosen)
    following = FollowConfig(
        folder=folder_of(chosen.home, address),
        models=chosen.serving_models,
        replica=chosen.replica,
        poll_seconds=chosen.poll_seconds,
        threads=chosen.serving_threads,
        workers=chosen.serving_workers,
        loaded_bytes=chosen.loaded_versions_mb * 1_000_000,
    )
    # One try: the watcher itself looks again a poll later.
    bucket = S3Bucket(address, read_seconds=10, tries=1)
    fleet = HostAgent(bucket, following, connections.trust(chosen))
    fleet.start()
    return create_application(
        fleet.router,
        limits=limits(chosen),
        status=fleet.status,
        administrators=administrators(chosen, lenient=True),
        # Whoever follows the store needs no right to move aliases; administrators' requests do.
        bucket=connections.operator(chosen) or bucket,
        admission=Admission(
            keys=prediction_keys(chosen, lenient=True),
            origins=chosen.cors_origins,
            log_requests=chosen.log_requests,
            draining=DrainFlag.at(draining) if draining else DrainFlag(),
        ),
    )


def limits(chosen: settings.Settings) -> Limits:
    """What one worker takes on.

    Nothing is divided by the workers: a connection stays with one of them, so a client that keeps
    one open gets what one worker allows.
    """
    return Limits(
        body_bytes=chosen.maximum_body_bytes,
        batch_rows=chosen.maximum_batch_rows,
        image_pixels=chosen.maximum_pixels,
        waiting=chosen.maximum_waiting_requests,
        answering=chosen.serving_threads,
        large_bytes=8 * chosen.maximum_body_bytes,
        per_second=chosen.requests_per_second_per_client,
    )


def prediction_keys(chosen: settings.Settings, *, lenient: bool = False) -> Tokens:
    """Who may ask; nobody has to say so when no file is set.

    Raises:
        ConfigurationError: the file of keys cannot be used.
    """
    name = "OVERNIGHT_PREDICTION_KEYS_FILE"
    return Tokens(chosen.prediction_keys_file, settings=(name, name), lenient=lenient)


def administrators(chosen: settings.Settings, *, lenient: bool = False) -> Tokens:
    """Who may administer.

    Raises:
        ConfigurationError: the token or the file of them cannot be used.
    """
    return Tokens(
        chosen.admin_tokens_file,
        token=chosen.admin_token.get_secret_value(),
        settings=("OVERNIGHT_ADMIN_TOKENS_FILE", "OVERNIGHT_ADMIN_TOKEN"),
        lenient=lenient,
    )


def rehearsal(folder: Path, threads: int, limits: Limits, log_level: str) -> Flask:
    """Answer for the one bundle in a folder, without any store.

    Raises:
        SystemExit: the bundle cannot answer; the log says why.
    """
    logging.configure(log_level)
    slots = ModelSlots()
    try:
        manifest, files = read_bundle(folder)
        predictor = load_version(manifest, files, threads=threads)
    except OvernightError as error:
        getLogger(__name__).error("%s", error)  # noqa: TRY400 - the words say it all
        raise SystemExit(1) from None
    slot = slots.add(ModelSlot(manifest.model, SharedGeneration.alone()))
    slot.put(LoadedVersion(1, predictor, None))
    slot.board.flip(1)
    return create_application(Router(slots), limits=limits, status=StandaloneStatus())


def folder_of(home: Path, address: S3Address) -> Path:
    """What is remembered belongs to one store: pointed at another, serving starts afresh."""
    store = hashlib.sha256(f"{address.endpoint}/{address.bucket}".encode()).hexdigest()[:12]
    return home / "serving" / store
