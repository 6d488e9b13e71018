"""The base of all errors, and the errors of the store.

Every message says what happened, what was expected and what to do. The packages above define their
errors in an `errors.py` of their own.

OvernightError
├── ConfigurationError      a setting, a model or a deployment is wrong: fix it
├── Unauthenticated         a name is claimed where a token is required: send a token
├── BadKey                  a name or key outside the grammar; never sent to the store
├── StoreError
│   ├── NotFound            nothing under this key
│   ├── TooLarge            more bytes than a thing of this kind has: see who wrote it
│   ├── AlreadyExists       another writer created this key first; an expected outcome
│   ├── StoreUnavailable    did not answer, or answered 5xx: try again
│   ├── StoreDenied         credentials or policy: fix them
│   ├── UntrustedStore      no trusted authority signed its certificate: name its authority
│   ├── CorruptTable        a Delta table whose files are damaged or lost: restore them
│   ├── IncompatibleColumns a column cannot hold what came: deliver it under another name
│   ├── Unrecorded          rows of the prediction log lack what is asked for: take others
│   └── UnsafeStore         does not honour create-only writes: choose another store
├── NothingPublished        no version yet, or none that serves: train one
├── UnknownVersion          no manifest: the version does not exist (yet)
├── CorruptVersion          a bundle differs from its manifest: publish it anew
│   └── CollectedVersion    retention deleted its files: name another version
├── UntrustedVersion        no trusted key signed it: sign it, or trust the key
│   └── UntrustedRecord     no trusted key that may signed an alias record or a decision
├── RejectedVersion         somebody decided that it never serves: name another
├── CorruptRecord           an object is not the record that its key names: remove it
├── IncomparableVersions    two versions name other classes or categories
├── UnencodableValue        a published value that its declaration does not allow: change either
├── PromotionConflict       the alias moved meanwhile: evaluate again
├── ChallengeRunning        one challenger at a time: stop it first
├── NoChallenge             no challenge runs
├── AlreadyDecided          a decision is final
├── BadPicture              no picture that an input takes: send another
│   └── PictureTooLarge     over a limit; nothing of it was decoded
├── DestinationNotEmpty     a folder or store holds something else: name an empty one
├── ExportChanged           an export differs from its index: export again
└── BadFile                 a delivered file cannot be ingested
    └── BadLines            some of its lines cannot; the others are ingested
"""

from collections.abc import Sequence
from typing import Self

# An error names this many lines of a file.
_NAMED_LINES = 20


class OvernightError(Exception):
    """Base of all expected failures, whose message is fit for users."""


class ConfigurationError(OvernightError):
    """A setting, a model or a deployment is wrong."""


class Unauthenticated(OvernightError):
    """A request needs an authenticated actor and has none."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}; use the `overnight` command, which authenticates with the token that "
            "`overnight up` made, or set OVERNIGHT_TOKEN or OVERNIGHT_TOKEN_FILE to a token that "
            "the worker's OVERNIGHT_ADMIN_TOKENS_FILE lists"
        )


class BadKey(OvernightError):
    """A name or key outside the grammar."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(
            f"{key!r} cannot be a name in the store: {why}; use letters, digits and . _ = - "
            "in segments of at most 255 bytes joined by single slashes"
        )


class StoreError(OvernightError):
    """The object store refused a request, or did not answer."""


class NotFound(StoreError):
    """Nothing is stored under this key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} does not exist in the store")


class TooLarge(StoreError):
    """The store has, or sends, more than a thing of this kind may have; the rest was not read."""

    def __init__(
        self,
        what: str,
        *,
        expected: str,
        found: str,
        remedy: str = "find out who wrote it, and remove it with the store's own tools",
    ) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"{what}: expected {expected}, found {found}; it is not used: {remedy}")

    @classmethod
    def object(cls, key: str, limit: int, size: int | None = None) -> Self:
        """An object over its limit; a size that was not declared is not known."""
        found = "more" if size is None else f"{size:,} bytes"
        return cls(key, expected=f"at most {limit:,} bytes", found=found)


class AlreadyExists(StoreError):
    """Another writer created this key first."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} exists already, and objects are never overwritten")


class StoreUnavailable(StoreError):
    """The store did not answer, or answered with a server error (`answered`)."""

    def __init__(
        self, endpoint: str, why: str, *, proxied: bool = False, answered: bool = False
    ) -> None:
        self.answered = answered
        remedy = "; a host that is listed in no_proxy is contacted directly" if proxied else ""
        super().__init__(
            f"the object store at {endpoint} does not answer ({why}); "
            f"check that it runs and that OVERNIGHT_S3_ENDPOINT points at it{remedy}"
        )


class StoreDenied(StoreError):
    """The store denies access."""

    def __init__(self, endpoint: str, why: str, *, what: str = "") -> None:
        super().__init__(
            f"the object store at {endpoint} denies access ({why}){' ' * bool(what)}{what}; check "
            "OVERNIGHT_S3_ACCESS_KEY, OVERNIGHT_S3_SECRET_KEY and OVERNIGHT_S3_BUCKET, and whether "
            "OVERNIGHT_IDENTITY has this permission: infra/policies lists those of each identity"
        )


class UntrustedStore(StoreError):
    """The certificate of the store is not trusted."""

    def __init__(self, endpoint: str, why: str) -> None:
        super().__init__(
            f"the certificate of the object store at {endpoint} is not trusted ({why}); if it is "
            "yours, set OVERNIGHT_S3_CA_FILE (or AWS_CA_BUNDLE) to the PEM file of the authority "
            "that signed it"
        )


class CorruptTable(StoreError):
    """Files of a Delta table are damaged or missing."""

    def __init__(self, table: str, why: str) -> None:
        super().__init__(
            f"the table {table} is damaged ({why}); `overnight verify` shows where, and "
            "`overnight verify --repair --from FOLDER` restores files from an export"
        )


class IncompatibleColumns(StoreError):
    """A column of a table cannot hold the values of a column that came."""

    def __init__(self, column: str, *, table: str, arrival: str) -> None:
        self.column = column
        super().__init__(
            f"{column}: the table holds {table}, and {arrival} came, which does not fit there; "
            "deliver it as it was, or under another name that the model declares with a default "
            "for the older rows (`row_defaults`)"
        )


class Unrecorded(StoreError):
    """Rows of the prediction log have no values, or values of another shape, of a tensor."""


class UnsafeStore(StoreError):
    """The store ignores `If-None-Match: *`, on which every guarantee is built."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            f"{where} does not honour create-only writes: {found}; expected the second of two "
            "creations of one key to be refused. Use AWS S3, SeaweedFS 4, Cloudflare R2 or MinIO"
        )


class NothingPublished(OvernightError):
    """The model has no version, or no champion."""

    def __init__(self, model: str, published: tuple[str, ...]) -> None:
        super().__init__(
            f"{model} has no such version yet; `overnight retrain {model}` trains one. "
            f"Models with versions: {', '.join(published) or 'none'}"
        )


class UnknownVersion(OvernightError):
    """A version has no manifest, so it does not exist."""

    def __init__(self, model: str, version: str) -> None:
        super().__init__(
            f"{model} has no version {version!r}; `overnight versions {model}` lists them"
        )


class CorruptVersion(OvernightError):
    """A bundle differs from its manifest."""

    def __init__(
        self, where: str, *, expected: str, found: str, remedy: str = "publish the version anew"
    ) -> None:
        super().__init__(f"{where}: expected {expected}, found {found}; {remedy}")


class CollectedVersion(CorruptVersion):
    """Retention deleted a version's files; its manifest and decision remain."""

    def __init__(self, model: str, version: str, *, at: str, by: str, remedy: str) -> None:
        super().__init__(
            f"{model} {version}",
            expected="its files",
            found=f"that retention deleted them (collected on {at} by {by})",
            remedy=remedy,
        )


class UntrustedVersion(OvernightError):
    """No trusted key signed a version's manifest."""

    def __init__(self, version: str, why: str, *, expected: str, remedy: str) -> None:
        super().__init__(
            f"{version}: expected its manifest to be signed {expected}, but {why}; {remedy}"
        )


class UntrustedRecord(UntrustedVersion):
    """No trusted key that may do so signed an alias record or a decision."""

    def __init__(self, key: str, why: str, *, expected: str, remedy: str) -> None:
        OvernightError.__init__(
            self, f"{key}: expected it to be signed {expected}, but {why}; {remedy}"
        )


class RejectedVersion(OvernightError):
    """A version was rejected, which is final."""

    def __init__(self, model: str, version: str, *, by: str, reason: str) -> None:
        super().__init__(
            f"{model} {version} was rejected by {by} ({reason:.200}) and never answers anything; "
            f"name another version (`overnight versions {model}`)"
        )


class CorruptRecord(OvernightError):
    """An object is not the record that its key names."""

    def __init__(self, key: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"{key}: expected {expected}, found {found:.300}; nothing that depends on it is used. "
            "Find out who wrote it, remove it with the store's own tools, and restore the record "
            "with `overnight verify --repair --from` an export"
        )


class IncomparableVersions(OvernightError):
    """Two versions cannot answer the same rows, or their answers have no common meaning."""


class UnencodableValue(OvernightError):
    """A published value cannot be turned into the network's numbers.

    `row` is its row, counted from 0, or None where it is no matter of one row.
    """

    def __init__(self, tensor: str, row: int | None, why: str) -> None:
        self.tensor, self.row, self.why = tensor, row, why
        where = f"input {tensor!r}" if row is None else f"input {tensor!r}, row {row}"
        super().__init__(f"{where}: {why}")


class PromotionConflict(OvernightError):
    """The alias moved between reading and writing."""

    def __init__(self, where: str, *, expected: str | None, found: str | None) -> None:
        self.expected, self.found = expected, found
        super().__init__(
            f"{where}: expected {expected or 'no version'} to be current, found "
            f"{found or 'none'}; evaluate against it and promote again"
        )


class ChallengeRunning(OvernightError):
    """A model has one challenger at a time."""

    def __init__(self, model: str, *, version: str, by: str, since: str) -> None:
        self.version = version
        super().__init__(
            f"{version} challenges the champion of {model} since {since}, started by {by}; "
            f"`overnight challenge {model} --stop` first"
        )


class NoChallenge(OvernightError):
    """No challenge runs."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(f"nothing challenges the champion of {model}: {why}")


class AlreadyDecided(OvernightError):
    """A version is approved or rejected once."""

    def __init__(self, model: str, version: str, verdict: str, by: str) -> None:
        self.verdict, self.by = verdict, by
        super().__init__(f"{model} {version} was {verdict} by {by} already; a decision is final")


class BadPicture(OvernightError):
    """A picture cannot be a row of an input."""

    def __init__(self, *, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"the picture: expected {expected}, found {found}")


class PictureTooLarge(BadPicture):
    """More than a limit allows; nothing of it was decoded."""


class DestinationNotEmpty(OvernightError):
    """The destination of a copy holds something else; contents are never mixed or overwritten."""

    def __init__(self, where: str, *, found: str) -> None:
        super().__init__(
            f"{where} holds {found}; expected it to be empty, or to hold a part of this very copy. "
            "Name another destination"
        )


class ExportChanged(OvernightError):
    """A folder differs from the export that its index describes."""

    def __init__(self, where: object, *, expected: str, found: str) -> None:
        super().__init__(
            f"{where}: expected {expected}, found {found}; this export cannot be used: "
            "run `overnight export` again"
        )


class BadFile(OvernightError):
    """A delivered file cannot be ingested; the rest of its arrival can."""

    def __init__(self, file: str, *, expected: str, found: str) -> None:
        self.file, self.expected, self.found = file, expected, found
        super().__init__(f"{file}: expected {expected}, found {found}")


class BadLines(BadFile):
    """Some lines of a delivered file cannot be ingested; the others can.

    `text` is those lines as they were delivered.
    """

    def __init__(self, file: str, lines: Sequence[str], *, text: bytes) -> None:
        self.text = text
        more = f"; and {len(lines) - _NAMED_LINES:,} more" * (len(lines) > _NAMED_LINES)
        super().__init__(
            file,
            expected="every line as declared",
            found=f"{len(lines):,} that will not do: {'; '.join(lines[:_NAMED_LINES])}{more}",
        )
