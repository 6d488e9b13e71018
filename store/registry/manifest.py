"""The manifest: everything an auditor asks of a version, and what a reader must verify.

It is written last, so a version exists completely or not at all. Readers ignore fields they do
not know; only a new `format` breaks them, and they say so.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field, ValidationError

from overnight.store.errors import CorruptVersion
from overnight.store.schema import Schema
from overnight.store.values import Value

FORMAT = 1


class FileEntry(Value):
    """One file of a bundle: what must be found before a byte of it reaches a runtime."""

    size_bytes: int
    sha256: str


class Measurement(Value):
    """A metric on the holdout, over `n` rows; `low` to `high` is its 95 % interval, if any."""

    metric: str
    value: float
    n: int
    slice: str = ""
    low: float | None = None
    high: float | None = None


class Finding(Value):
    """What one gate said. `applicable` is false for a comparison when there is no champion.

    A comparison's `value` is how much better the candidate is, `low` to `high` its interval, and
    `p` the probability that decided, held against `alpha`.
    """

    gate: str
    metric: str
    passed: bool
    message: str
    slice: str = ""
    value: float | None = None
    bound: float | None = None
    n: int | None = None
    applicable: bool = True
    low: float | None = None
    high: float | None = None
    p: float | None = None
    alpha: float | None = None

    @property
    def name(self) -> str:
        """The gate, what it looked at, and where."""
        return f"{self.gate} {self.metric}{f' on {self.slice}' if self.slice else ''}"


class DataLineage(Value):
    """The exact rows: `digest` is over their sorted contents, whatever order they arrived in.

    `without` names the arrivals of that dataset version whose rows were left out. `judged_from` is
    the first day (ISO 8601) of the rows that judged, where those are the newest of the same table.
    """

    dataset_version: int
    digest: str
    rows: int
    arrivals: int
    holdout_digest: str
    holdout_rows: int
    without: tuple[str, ...] = ()
    judged_from: str | None = Field(default=None, exclude_if=lambda value: value is None)


class CodeLineage(Value):
    """The code that made it: `digest` is over the model's and the steps' sources.

    `files` has the digest of each source by its path in the tree, so that two can be told apart.
    """

    commit: str
    clean: bool
    digest: str
    files: dict[str, str] = Field(default_factory=dict)


class EnvironmentLineage(Value):
    """Where it was made."""

    python: str
    platform: str
    lock_digest: str
    packages: dict[str, str] = Field(default_factory=dict)


class TrainingLineage(Value):
    """How it was trained; `continued_from` is the version whose weights it began with, if any."""

    settings: dict[str, float | int | str | bool]
    epochs: int
    cpu_seconds: float
    seconds: float
    continued_from: str | None = None


class RunLineage(Value):
    """Which flow run made it, and who asked for that run, and why, where somebody said.

    `forced`: it was to train in any case, though nothing had changed. `proved`: a token showed
    that it was `by`; else it is what somebody typed.
    """

    id: str
    name: str
    url: str = ""
    forced: bool = False
    by: str = ""
    reason: str = ""
    proved: bool = False

    @property
    def why(self) -> str:
        """Why it was asked for, and that it was forced; empty when nobody said."""
        told = self.forced and not self.reason.startswith("forced")
        return ": ".join(part for part in ("forced" if told else "", self.reason) if part)


class Override(Value):
    """Gates were overruled: by whom, why, when and which, for ever.

    `proved`: a token showed that it was `by`; else it is what somebody typed. The findings that
    were overruled stay what they are: failed.
    """

    by: str
    reason: str
    at: datetime | None = None
    overruled: tuple[str, ...] = ()
    proved: bool = False


class Exported(Value):
    """In which form the network is served, and what decided.

    `agreement` is the share of `rows` that int8 weights answer as the trained network does; from
    `sufficient` on they are served, and float32 otherwise.
    """

    weights: Literal["int8", "float32"]
    agreement: float
    rows: int
    sufficient: float


class Rehearsed(Value):
    """What a version answered and cost in rehearsal, over HTTP, for `n` rows of the holdout."""

    n: int
    changed_answers: int
    largest_difference: float
    p50_ms: float
    p99_ms: float
    row_ms: float
    row_ms_in_eight: float
    resident_mb: float


class Manifest(Value):
    """One version, whole."""

    format: int = FORMAT
    model: str
    version: str
    created_at: datetime
    fingerprint: str
    files: dict[str, FileEntry]
    tensors: Schema
    data: DataLineage
    code: CodeLineage
    environment: EnvironmentLineage
    training: TrainingLineage
    run: RunLineage
    measurements: tuple[Measurement, ...] = ()
    data_findings: tuple[Finding, ...] = ()
    findings: tuple[Finding, ...] = ()
    compared_with: str | None = None
    override: Override | None = None
    approval: Literal["automatic", "manual"] = "automatic"
    exported: Exported | None = None
    rehearsed: Rehearsed | None = None
    # The id of the key that signs it; the signature itself stands beside the manifest.
    signed_by: str | None = None

    def measured(self, metric: str, slice: str = "") -> Measurement | None:
        """The measurement of a metric on a slice, if it was taken."""
        for measurement in self.measurements:
            if (measurement.metric, measurement.slice) == (metric, slice):
                return measurement
        return None


class _Format(Value):
    format: int | Literal["missing"] = "missing"


def decode(body: bytes, *, where: str) -> Manifest:
    """Read a manifest of this format.

    Raises:
        CorruptVersion: another format, or a field that is missing or of the wrong kind.
    """
    try:
        found = _Format.model_validate_json(body).format
        if found != FORMAT:
            raise CorruptVersion(where, expected=f"manifest format {FORMAT}", found=f"{found}")
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CorruptVersion(
            where, expected=f"a valid manifest at {field}", found=first["msg"]
        ) from None
