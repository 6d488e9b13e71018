"""WSGI entry point: `overnight.serving.wsgi:application` makes the application of one worker."""

import hashlib
from logging import getLogger
from pathlib import Path

from flask import Flask

from overnight.infra import connections, logging, settings
from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.host.shared_memory import DrainFlag
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.disk_cache import read_bundle
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.prediction_log.spool import SpoolConfig
from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.client_address import TrustedProxies
from overnight.serving.rest.middleware.container_routes import container_routes
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.serving.status import StandaloneStatus
from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.registry import Registry


def application(draining: Path | None = None, server_started: float = 0.0) -> Flask:
    """The application of one worker, which follows the store named in the settings.

    `draining` is the file of the drain flag, which the parent process sets before it stops;
    `server_started` is when that process started, in seconds since 1970.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    chosen = settings.load()
    logging.configure(chosen.log_level)
    address = connections.address(chosen)
    folder = folder_of(chosen.home, address)
    following = FollowConfig(
        folder=folder,
        models=chosen.serving_models,
        replica=chosen.replica,
        poll_seconds=chosen.poll_seconds,
        threads=chosen.serving_threads,
        workers=chosen.serving_workers,
        loaded_bytes=chosen.loaded_versions_mb * 1_000_000,
        server_started=server_started,
        prediction_log=prediction_log(chosen, folder),
    )
    # One try: the watcher retries with its next poll.
    bucket = S3Bucket(address, read_seconds=10, tries=1)
    trust = connections.trust(chosen)
    agent = HostAgent(bucket, following, trust, signer=connections.record_signer(chosen, "serving"))
    agent.start()
    return create_application(
        agent.router,
        limits=limits(chosen),
        status=agent.status,
        administrators=administrators(chosen, lenient=True),
        # Following needs no permission to move aliases, so administrators' requests have their own
        # credentials where they are configured, and a key of their own.
        registry=Registry(
            connections.operator(chosen) or bucket,
            trust,
            connections.record_signer(chosen, "operator"),
        ),
        admission=Admission(
            keys=prediction_keys(chosen, lenient=True),
            origins=chosen.cors_origins,
            proxies=TrustedProxies(chosen.trusted_proxies),
            log_requests=chosen.log_requests,
            draining=DrainFlag.open(draining) if draining else DrainFlag(),
            routes=container_routes(chosen.aip_health_route, chosen.aip_predict_route),
        ),
        predictions=agent.predictions,
        labels=agent.predictions,
        invocations_model=chosen.invocations_model,
        peer_metrics=chosen.peer_metrics,
    )


def prediction_log(chosen: settings.Settings, folder: Path) -> SpoolConfig | None:
    """Where answers are recorded, below the folder of the host's state; None where they are not."""
    if not chosen.prediction_log:
        return None
    return SpoolConfig(
        folder / "predictions",
        spool_bytes=chosen.prediction_log_spool_mb * 1_000_000,
        lost_seconds=chosen.prediction_log_seconds,
        segment_seconds=chosen.prediction_log_segment_seconds,
    )


def limits(chosen: settings.Settings) -> Limits:
    """The limits of one worker.

    They are not divided by the workers: a connection stays with one worker, so a client with a
    single connection must get the full limits from it.
    """
    return Limits(
        body_bytes=chosen.maximum_body_bytes,
        batch_rows=chosen.maximum_batch_rows,
        image_pixels=chosen.maximum_pixels,
        text_bytes=chosen.maximum_text_bytes,
        waiting=chosen.maximum_waiting_requests,
        answering=chosen.serving_threads,
        large_bytes=8 * chosen.maximum_body_bytes,
        per_second=chosen.requests_per_second_per_client,
        body_bytes_per_second=chosen.body_bytes_per_second,
        body_grace_seconds=chosen.body_grace_seconds,
        body_seconds=chosen.body_seconds,
    )


def prediction_keys(chosen: settings.Settings, *, lenient: bool = False) -> Tokens:
    """API keys for predictions; without a file, none is required.

    Raises:
        ConfigurationError: the file of keys is invalid.
    """
    name = "OVERNIGHT_PREDICTION_KEYS_FILE"
    return Tokens(chosen.prediction_keys_file, settings=(name, name), lenient=lenient)


def administrators(chosen: settings.Settings, *, lenient: bool = False) -> Tokens:
    """Tokens of administrators.

    Raises:
        ConfigurationError: the token or the file of tokens is invalid.
    """
    return Tokens(
        chosen.admin_tokens_file,
        token=chosen.admin_token.get_secret_value(),
        settings=("OVERNIGHT_ADMIN_TOKENS_FILE", "OVERNIGHT_ADMIN_TOKEN"),
        lenient=lenient,
    )


def rehearsal(folder: Path, threads: int, limits: Limits, log_level: str) -> Flask:
    """An application for the one bundle in a folder, without a store.

    Raises:
        SystemExit: the bundle cannot be loaded; the log says why.
    """
    logging.configure(log_level)
    slots = ModelSlots()
    try:
        manifest, files = read_bundle(folder)
        predictor = load_version(manifest, files, threads=threads)
    except OvernightError as error:
        getLogger(__name__).error("%s", error)  # noqa: TRY400 - the message is complete
        raise SystemExit(1) from None
    slot = slots.add(ModelSlot(manifest.model, SharedGeneration.in_process()))
    slot.put(LoadedVersion(1, predictor, None))
    slot.shared.activate(1)
    return create_application(Router(slots), limits=limits, status=StandaloneStatus())


def folder_of(home: Path, address: S3Address) -> Path:
    """The folder of all local state, one for each store, so that stores are never mixed up."""
    store = hashlib.sha256(f"{address.endpoint}/{address.bucket}".encode()).hexdigest()[:12]
    return home / "serving" / store
