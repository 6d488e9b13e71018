"""Proxies and certificate authorities, as the environment names them for all HTTP clients.

boto3, Delta Lake, Prefect, MLflow and our own client read the same variables, each in its own way.
Here they are brought into a form that all of them understand. `infra/settings.py` alone hands in
the environment of this process.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

# As all clients of Python's own library read `no_proxy`; only the types leave it out.
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from overnight.infra.formats import is_loopback
from overnight.store.errors import ConfigurationError
from overnight.store.local_files import write_atomically
from overnight.store.objects.proxies import Proxy

# The network is for clients that understand networks; the others need each address.
_LOOPBACK = ("127.0.0.1", "localhost", "::1", "127.0.0.0/8")
_VARIABLES = {"http_proxy", "https_proxy", "all_proxy"}
_CERTIFICATES = "SSL_CERT_FILE"
_PEM = b"-----BEGIN CERTIFICATE-----"


def bypass_proxies(environment: MutableMapping[str, str], urls: Iterable[str]) -> None:
    """Keep requests to this machine from proxies, which cannot reach it.

    `urls`: addresses that are asked; hosts of them that are loopback addresses are named, too.
    """
    if not _VARIABLES & {name.lower() for name in environment}:
        return
    before = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    # The text `*` alone means all hosts; in a list with others it would mean none.
    if before.strip() != "*":
        given = [host for entry in before.split(",") if (host := entry.strip())]
        hosts = [urlsplit(url).hostname or "" for url in urls]
        ours = [host for host in hosts if is_loopback(host)]
        before = ",".join(dict.fromkeys((*given, *_LOOPBACK, *ours)))
    # Python's libraries prefer the name in lower case, and Delta Lake the other.
    environment["no_proxy"] = environment["NO_PROXY"] = before


def proxy_of(environment: Mapping[str, str], url: str) -> Proxy | None:
    """The proxy by which a URL is asked, or None where it is asked directly."""
    address = urlsplit(url)
    host, port = address.hostname or "", f":{address.port}" if address.port else ""
    bypassed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if is_loopback(host) or proxy_bypass_environment(f"{host}{port}", {"no": bypassed}):
        return None
    for variable in (f"{address.scheme}_proxy", "all_proxy"):
        for name in (variable, variable.upper()):
            if address_of_proxy := environment.get(name):
                with_scheme = "://" in address_of_proxy
                return Proxy("http://" * (not with_scheme) + address_of_proxy, name)
    return None


def trust_authorities(environment: MutableMapping[str, str], chosen: Path, bundle: Path) -> None:
    """Make Delta Lake trust the authorities in a file, beside those that it trusts by itself.

    It has no option for them and reads `SSL_CERT_FILE` instead, which replaces all others, also
    those of public servers; so `bundle` is written with both.

    Raises:
        ConfigurationError: the file has no certificates.
    """
    own = _certificates(chosen)
    given = environment.get(_CERTIFICATES)
    if given in {str(chosen), str(bundle)}:
        return
    # Imported late: few have an authority of their own, and it takes a third of a second.
    from botocore.httpsession import get_cert_path

    body = own.rstrip() + b"\n" + _certificates(Path(given or str(get_cert_path(True))))
    # A host that only serves reads no tables, and its disk may be read-only.
    with suppress(OSError):
        if not bundle.exists() or bundle.read_bytes() != body:
            write_atomically(bundle, body)
        environment[_CERTIFICATES] = str(bundle)


def _certificates(file: Path) -> bytes:
    try:
        body, why = file.read_bytes(), "no PEM certificate in it"
    except OSError as error:
        body, why = b"", error.strerror or str(error)
    if _PEM not in body:
        raise ConfigurationError(
            "OVERNIGHT_S3_CA_FILE, AWS_CA_BUNDLE and SSL_CERT_FILE: expected PEM files with the "
            f"certificates of authorities, found {file} ({why}); correct it and start again"
        )
    return body
