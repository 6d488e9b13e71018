"""Base of all errors, and those of the store. Each says what happened, was expected and helps.

Errors of the layers above stand in an `errors.py` of theirs, with `OvernightError` as their base.

OvernightError
├── ConfigurationError      a setting, a model or a deployment is wrong: fix it
├── NotProved               a name was typed where a token has to show it: prove it
├── BadKey                  a name or key outside the grammar: never reaches the store
├── StoreError
│   ├── NotFound            nothing under this key
│   ├── AlreadyExists       somebody created this key first; a lost race is an answer
│   ├── StoreUnavailable    did not answer, or answered 5xx: try again
│   ├── StoreDenied         credentials or policy: fix them
│   ├── CorruptTable        a Delta table whose files are damaged or lost: restore them
│   └── UnsafeStore         does not honour create-only writes: choose another store
├── NothingPublished        no version yet, or none that serves: train one
├── UnknownVersion          no manifest: the version does not exist (yet)
├── CorruptVersion          a bundle that is not what its manifest says
│   └── CollectedVersion    retention let go of its files: name another version
├── UntrustedVersion        nobody who is trusted signed it: sign it, or trust the key
├── CorruptRecord           an object that is not the record its key says: have it removed
├── PromotionConflict       the alias moved meanwhile: evaluate again
├── ChallengeRunning        one challenger at a time: stop it first
├── NoChallenge             nothing challenges the champion
├── AlreadyDecided          a decision is final
├── PlaceTaken              a folder or store holds something else: name an empty one
├── ExportChanged           an export is not what its index says: export again
└── BadFile                 an arrived file that cannot be taken in
"""


class OvernightError(Exception):
    """Anything that went wrong in a way we know how to word."""


class ConfigurationError(OvernightError):
    """A setting, a model or a deployment is wrong."""


class Unauthenticated(OvernightError):
    """Nobody knows whose word it is."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}; say it by the `overnight` command, which proves it by itself where "
            "`overnight up` was run, and elsewhere by OVERNIGHT_TOKEN or OVERNIGHT_TOKEN_FILE with "
            "a token that the worker's OVERNIGHT_ADMIN_TOKENS_FILE names"
        )


class BadKey(OvernightError):
    """A name or key outside the grammar."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(
            f"{key!r} cannot be a name in the store: {why}; use letters, digits and . _ = - "
            "in segments of at most 255 bytes joined by single slashes"
        )


class StoreError(OvernightError):
    """The object store said no, or nothing."""


class NotFound(StoreError):
    """Nothing is stored under this key."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} does not exist in the store")


class AlreadyExists(StoreError):
    """Somebody created this key first."""

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"{key} exists already and nothing here is ever overwritten")


class StoreUnavailable(StoreError):
    """The store did not answer, or answered that it is not well."""

    def __init__(self, endpoint: str, why: str) -> None:
        super().__init__(
            f"the object store at {endpoint} does not answer ({why}); "
            "check that it runs and that OVERNIGHT_S3_ENDPOINT points at it"
        )


class StoreDenied(StoreError):
    """The store answers, and refuses us."""

    def __init__(self, endpoint: str, why: str, *, what: str = "") -> None:
        super().__init__(
            f"the object store at {endpoint} refuses us ({why}){' ' * bool(what)}{what}; check "
            "OVERNIGHT_S3_ACCESS_KEY, OVERNIGHT_S3_SECRET_KEY and OVERNIGHT_S3_BUCKET, and whether "
            "OVERNIGHT_IDENTITY is one that may: infra/policies has what each may"
        )


class CorruptTable(StoreError):
    """The store answers, and what a Delta table consists of is damaged or lost."""

    def __init__(self, table: str, why: str) -> None:
        super().__init__(
            f"the table {table} is damaged ({why}); `overnight verify` tells where, and "
            "`overnight verify --repair --from FOLDER` restores what an export has"
        )


class UnsafeStore(StoreError):
    """The store ignores `If-None-Match: *`, on which every promise rests."""

    def __init__(self, where: str, found: str) -> None:
        super().__init__(
            f"{where} does not honour create-only writes: {found}; expected the second of two "
            "creations of one key to be refused. Use AWS S3, SeaweedFS 4, Cloudflare R2 or MinIO"
        )


class NothingPublished(OvernightError):
    """The model has no version, or none that serves."""

    def __init__(self, model: str, published: tuple[str, ...]) -> None:
        super().__init__(
            f"{model} has no such version yet; `overnight retrain {model}` makes one. "
            f"Models with versions: {', '.join(published) or 'none'}"
        )


class UnknownVersion(OvernightError):
    """A version without a manifest does not exist."""

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
    """Retention let go of a version's files; what it was is still on record."""

    def __init__(self, model: str, version: str, *, at: str, by: str, remedy: str) -> None:
        super().__init__(
            f"{model} {version}",
            expected="its files",
            found=f"that it was collected on {at} by {by}",
            remedy=remedy,
        )


class UntrustedVersion(OvernightError):
    """No trusted key signed a version's manifest as it is."""

    def __init__(self, version: str, why: str, *, expected: str, remedy: str) -> None:
        super().__init__(
            f"{version}: expected its manifest to be signed {expected}, and {why}; {remedy}"
        )


class CorruptRecord(OvernightError):
    """Something else is stored where a record belongs."""

    def __init__(self, key: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"{key}: expected {expected}, found {found:.300}; nothing that rests on it is "
            "believed. Find out who wrote it, remove it with the store's own tools, and restore "
            "what belongs there with `overnight verify --repair --from` an export"
        )


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
    """There is no challenger to stop."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(f"nothing challenges the champion of {model}: {why}")


class AlreadyDecided(OvernightError):
    """A version is decided once."""

    def __init__(self, model: str, version: str, verdict: str, by: str) -> None:
        self.verdict, self.by = verdict, by
        super().__init__(f"{model} {version} was {verdict} by {by} already; a decision is final")


class DestinationNotEmpty(OvernightError):
    """Something else is where a copy is to go, and nothing is ever mixed or overwritten."""

    def __init__(self, where: str, *, found: str) -> None:
        super().__init__(
            f"{where} holds {found}; expected an empty place, or a part of this very copy. "
            "Name another one"
        )


class ExportChanged(OvernightError):
    """A folder is not the export that its index describes."""

    def __init__(self, where: object, *, expected: str, found: str) -> None:
        super().__init__(
            f"{where}: expected {expected}, found {found}; nothing can be taken from this export: "
            "run `overnight export` again"
        )


class BadFile(OvernightError):
    """An arrived file that cannot be taken in; the rest of its arrival is."""

    def __init__(self, file: str, *, expected: str, found: str) -> None:
        self.file, self.expected, self.found = file, expected, found
        super().__init__(f"{file}: expected {expected}, found {found}")
