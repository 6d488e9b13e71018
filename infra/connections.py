"""Connections built from settings, at the doors."""

from infra.settings import Settings
from store.s3 import S3Address, S3Bucket


def address(settings: Settings) -> S3Address:
    """Where the bucket is and who we are there."""
    return S3Address(
        endpoint=settings.store_endpoint,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
    )


def bucket(settings: Settings) -> S3Bucket:
    """The bucket as the settings say; nothing is asked of it yet."""
    return S3Bucket(address(settings))
