"""The options by which Delta Lake reaches the bucket."""

from overnight.store.objects.s3 import S3Address


def storage_options(address: S3Address) -> dict[str, str]:
    """The library's names for the address, credentials and limits of a bucket."""
    token = {"AWS_SESSION_TOKEN": address.session_token} if address.session_token else {}
    proxy = {"proxy_url": address.proxy.url} if address.proxy else {}
    return {
        "AWS_ENDPOINT_URL": address.endpoint,
        "AWS_ACCESS_KEY_ID": address.access_key,
        "AWS_SECRET_ACCESS_KEY": address.secret_key,
        "AWS_REGION": address.region,
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "false",
        "AWS_ALLOW_HTTP": str(address.endpoint.startswith("http://")).lower(),
        "aws_conditional_put": "etag",
        # The store refuses bytes that were damaged on their way.
        "aws_checksum_algorithm": "SHA256",
        # As our own client; by default it would retry for three minutes.
        "connect_timeout": "3s",
        "timeout": "60s",
        "max_retries": "3",
        "retry_timeout": "20s",
        **token,
        **proxy,
    }
