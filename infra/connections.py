"""Connections built from settings, at the doors."""

from dataclasses import replace

from overnight.infra.prefect_api import TIMEOUT_SECONDS, PrefectApi
from overnight.infra.settings import Settings
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.trust.trusted_keys import Trust


def address(settings: Settings) -> S3Address:
    """Where the bucket is and who we are there."""
    return S3Address(
        endpoint=settings.store_endpoint,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
        session_token=settings.s3_session_token.get_secret_value(),
    )


def bucket(settings: Settings) -> S3Bucket:
    """The bucket as the settings say; nothing is asked of it yet."""
    return S3Bucket(address(settings))


def trust(settings: Settings) -> Trust:
    """Whose versions may be loaded; the file is read when something is to be verified."""
    return Trust.from_file(settings.trusted_keys)


def operator(settings: Settings) -> S3Bucket | None:
    """The bucket for whoever moves aliases over HTTP; None where serving has no such credential."""
    if not settings.s3_operator_access_key:
        return None
    secret_key = settings.s3_operator_secret_key.get_secret_value()
    chosen = replace(
        address(settings),
        access_key=settings.s3_operator_access_key,
        secret_key=secret_key,
        session_token="",
    )
    return S3Bucket(chosen, read_seconds=10, tries=1)


def prefect(settings: Settings, *, timeout_seconds: float = TIMEOUT_SECONDS) -> PrefectApi:
    """Prefect's API, asked as whoever the settings say we are."""
    auth = settings.prefect_auth.get_secret_value()
    return PrefectApi(settings.api_url, auth=auth, timeout_seconds=timeout_seconds)
