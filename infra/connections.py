"""Clients of the store and of Prefect, built from settings. For entry points only."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from overnight.infra import identities
from overnight.infra.prefect_api import TIMEOUT_SECONDS, PrefectApi
from overnight.infra.settings import Settings
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import Trust


def address(settings: Settings) -> S3Address:
    """Endpoint, bucket and credentials of the store."""
    return S3Address(
        endpoint=settings.store_endpoint,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
        session_token=settings.s3_session_token.get_secret_value(),
        proxy=settings.proxy_of(settings.store_endpoint),
        authorities=settings.s3_ca_file,
    )


def rows_store(settings: Settings, model: str) -> S3Address:
    """The S3 of s3:// addresses of rows of a model: that of its source, or else our own store."""
    names = (model, model.replace("-", "_"))
    source = next((settings.sources[name] for name in names if name in settings.sources), None)
    if source is None or not source.s3_access_key:
        return address(settings)
    endpoint = source.s3_endpoint or "https://s3.amazonaws.com"
    return S3Address(
        endpoint=endpoint,
        # Each address names its own.
        bucket="",
        access_key=source.s3_access_key,
        secret_key=source.s3_secret_key.get_secret_value(),
        region=source.s3_region or "us-east-1",
        session_token=source.s3_session_token.get_secret_value(),
        proxy=settings.proxy_of(endpoint),
    )


def bucket(settings: Settings, *, tries: int = 4) -> S3Bucket:
    """The bucket of these settings; no request is sent yet."""
    return S3Bucket(address(settings), tries=tries)


def trust(settings: Settings) -> Trust:
    """The trusted signing keys; their file is read when a version is verified."""
    return Trust.from_file(settings.trusted_keys)


def known_trust(settings: Settings) -> Trust | None:
    """The trusted signing keys, or None in a home without a file of them: for display only."""
    # An unreadable file must not pass as a missing one.
    return trust(settings) if settings.trusted_keys.exists() else None


def record_signer(
    settings: Settings, identity: identities.Name | None = None
) -> Callable[[], Signer]:
    """Reads the key that signs records of an identity, by default of this process', once needed.

    Raises (when it is called):
        ConfigurationError: there is no such key; says how to make one.
    """
    name = identities.signing(identity or settings.identity)
    setting = "SIGNING" if name == "training" else name.upper()

    def read() -> Signer:
        return Signer.from_file(
            settings.key_of(name),
            setting=f"OVERNIGHT_{setting}_KEY_FILE",
            remedy=f"`overnight up`, or `overnight keys new NAME --for {name}`, makes one",
        )

    return cache(read)


def operator(settings: Settings) -> S3Bucket | None:
    """The bucket for serving's writes of alias records, or None without credentials for it."""
    if not settings.s3_operator_access_key:
        return None
    secret_key = settings.s3_operator_secret_key.get_secret_value()
    chosen = replace(
        address(settings),
        access_key=settings.s3_operator_access_key,
        secret_key=secret_key,
        session_token="",
    )
    # An administrator waits for the answer over HTTP: fail soon instead of trying again.
    return S3Bucket(chosen, read_seconds=10, tries=1)


def prefect(settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> PrefectApi:
    """Prefect's API, with the user and password of the settings."""
    auth = settings.prefect_auth.get_secret_value()
    return PrefectApi(
        settings.api_url,
        auth=auth,
        timeout_seconds=timeout_seconds,
        proxy=settings.proxy_of(settings.api_url),
    )
