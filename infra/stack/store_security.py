"""Keys and certificates by which the components of the embedded store trust each other.

SeaweedFS reads `security.toml` in the folder that it is started in. They are made anew before each
start: its components are one process, so nobody else needs them, and nothing stored depends on
them.
"""

import datetime as dt
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from overnight.store.local_files import write_atomically

_CONFIGURATION, _CERTIFICATE = "security.toml", "store.pem"
# Requests between components over HTTP carry a token signed with one of these.
_SIGNING = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
# Both ends of every gRPC connection show the certificate.
_GRPC = ("master", "volume", "filer", "s3", "admin", "worker", "client")
# No clock, however wrong, may lock the store out of itself.
_FROM = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_UNTIL = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)


def write(folder: Path) -> None:
    """Write new keys and a new certificate, readable by this user only."""
    certificate = folder / _CERTIFICATE
    write_atomically(certificate, _certificate(), mode=0o600)
    write_atomically(folder / _CONFIGURATION, _configuration(certificate).encode(), mode=0o600)


def _configuration(certificate: Path) -> str:
    quoted = '"' + str(certificate).replace("\\", "\\\\").replace('"', '\\"') + '"'
    lines = ["[grpc]", f"ca = {quoted}"]
    for component in _GRPC:
        lines += [f"[grpc.{component}]", f"cert = {quoted}", f"key = {quoted}"]
    for name in _SIGNING:
        lines += [f"[{name}]", f'key = "{secrets.token_hex(32)}"']
    return "\n".join(lines) + "\n"


def _certificate() -> bytes:
    """A private key and its own certificate, which is also the only authority trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "overnight store")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + certificate.public_bytes(serialization.Encoding.PEM)
