"""The manifest of a version: its lineage, measurements and gate findings, and its files' digests.

It is written last, so a version exists completely or not at all. Readers ignore unknown fields;
only another `format` is an error.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field, ValidationError

from overnight.store.errors import CorruptVersion
from overnight.store.novelty import NoveltyRule
from overnight.store.objects.records import validation_summary
from overnight.store.predictions.records import client_digest
from overnight.store.printable import figure, points, share
from overnight.store.schema import Schema
from overnight.store.values import Value

FORMAT = 1


class FileEntry(Value):
    """Size and digest of one file of a bundle, verified before any byte of it is used."""

    size_bytes: int
    sha256: str


class Measurement(Value):
    """The value of a metric over `n` rows; `low` to `high` is its 95 % interval, if any."""

    metric: str
    value: float
    n: int
    slice: str = ""
    low: float | None = None
    high: float | None = None


# How the value of a finding should stand to its bound.
Direction = Literal["at least", "at most"]


class Finding(Value):
    """The outcome of one gate for one metric and slice.

    `value` was checked against `bound`. For a comparison with the champion, `value` is the gain of
    the candidate, `low` to `high` its interval, and `p` was compared with the error rate `alpha`.
    `applicable` is false for a comparison when there is no champion. `holdout` is the set of a
    frozen holdout that was judged on, where there were two. `direction` is how `value` should stand
    to `bound`. Where there is `p`, it decides: below `alpha` a candidate presumed "worse" passes,
    and one presumed "no worse" fails. `candidate` and `champion` are the metric itself of the two
    that were compared. Findings of older releases have none of these four.
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
    holdout: str = Field(default="", exclude_if=lambda value: not value)
    direction: Direction | None = Field(default=None, exclude_if=lambda value: value is None)
    presumed: Literal["worse", "no worse"] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    candidate: float | None = Field(default=None, exclude_if=lambda value: value is None)
    champion: float | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def criterion(self) -> str:
        """What decided, in figures: a comparison's p against its error rate, else the bound."""
        if self.p is not None and self.alpha is not None:
            passes_below = self.presumed == "worse" or (
                self.presumed is None and self.passed == (self.p <= self.alpha)
            )
            return f"p = {self.p:.2g}, needs {'≤' if passes_below else '>'} {self.alpha:g}"
        if self.bound is None:
            return ""
        sign = {"at least": "≥ ", "at most": "≤ ", None: ""}[self.direction]
        return f"{sign}{figure(self.bound)}"

    @property
    def brief(self) -> str:
        """What people read first: of a comparison both values, the change, and what was allowed.

        For example `accuracy 99.07 % against 99.48 %: −0.39 points, allowed −0.30, p = 0.85`. Of
        other findings, and of those of older releases, the name and the message.
        """
        if self.p is None or self.value is None or self.candidate is None or self.champion is None:
            return f"{self.name}: {self.message}"
        values = (share(x) if self.is_share else figure(x) for x in (self.candidate, self.champion))
        return f"{self.metric}{self.where} {' against '.join(values)}: {self.change}, {self.limit}"

    @property
    def is_share(self) -> bool:
        """Whether the metric is a share, which people read in percent."""
        return self.metric.endswith(("accuracy", "coverage", "recall", "precision"))

    @property
    def change(self) -> str:
        """The gain of a comparison: points of a share, else how much better or worse."""
        gain = self.value or 0.0
        if self.is_share:
            return f"{points(gain)} points"
        return f"{figure(abs(gain))} {'better' if gain > 0 else 'worse'}"

    @property
    def limit(self) -> str:
        """What a comparison needs, and its p."""
        bound = self.bound or 0.0
        size = points(bound) if self.is_share else figure(abs(bound))
        wanted = f"{'allowed' if bound < 0 else 'needed'} {size}"
        if bound == 0:
            wanted = "nothing allowed" if self.presumed == "no worse" else "must be better"
        return f"{wanted}, p = {self.p:.2g}"

    @property
    def name(self) -> str:
        """The gate, the metric, and the slice and the holdout if any."""
        return f"{self.gate} {self.metric}{self.where}"

    @property
    def where(self) -> str:
        """The slice and the holdout if any, as they follow a metric."""
        slice = f" on {self.slice}" if self.slice else ""
        return f"{slice} of {self.holdout}" if self.holdout else slice


class DataLineage(Value):
    """The exact rows of training and holdout: `digest` is over the sorted contents of the rows.

    `without` names the arrivals of that dataset version whose rows were left out, and `left_out`
    pairs of a column and a value of it, whose rows were. `judged_from` is the first day (ISO 8601)
    of the holdout, where the holdout is the newest rows of the same table. `digest_format` is that
    of both digests: see `overnight.tasks.data.row_digest`. `unread` are columns of the table that
    were not read. Where the holdout was renewed, `judged_by` names its sets that judged, the newest
    first, and `kept_out` those whose rows were not learned.
    """

    dataset_version: int
    digest: str
    rows: int
    arrivals: int
    holdout_digest: str
    holdout_rows: int
    without: tuple[str, ...] = ()
    # Left out when empty: manifests of models with frozen holdouts keep their bytes.
    judged_from: str | None = Field(default=None, exclude_if=lambda value: value is None)
    # As of manifests that do not have it.
    digest_format: int = Field(default=1, exclude_if=lambda value: value == 1)
    left_out: tuple[tuple[str, str], ...] = Field(default=(), exclude_if=lambda value: not value)
    unread: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    judged_by: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    kept_out: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)


class CodeLineage(Value):
    """The code of a training run: `digest` is over the sources of the model and of the steps.

    `files` maps each source's path to its digest. `clean` is false when there were uncommitted
    changes to them. For a model outside of overnight, `commit` is of the model's repository,
    `folder` the path in it that the other paths begin at, `overnight` the release that trained, and
    the files of that are listed as `overnight/…`.
    """

    commit: str
    clean: bool
    digest: str
    files: dict[str, str] = Field(default_factory=dict)
    folder: str = ""
    overnight: str = ""


class EnvironmentLineage(Value):
    """Interpreter, platform and packages of a training run."""

    python: str
    platform: str
    lock_digest: str
    packages: dict[str, str] = Field(default_factory=dict)


class TrainingLineage(Value):
    """Settings and cost of a fit; `continued_from` is the version whose weights it started from.

    `as_it_is`: nothing was trained; the weights are those that the network came with.
    """

    settings: dict[str, float | int | str | bool]
    epochs: int
    cpu_seconds: float
    seconds: float
    continued_from: str | None = None
    as_it_is: bool = Field(default=False, exclude_if=lambda value: not value)


class RunLineage(Value):
    """The flow run that made a version, who requested that run, and why, where that is known.

    `forced`: to train even though nothing had changed. `authenticated`: a token authenticated the
    actor `by`; otherwise the name is a claim.
    """

    id: str
    name: str
    url: str = ""
    forced: bool = False
    by: str = ""
    reason: str = ""
    authenticated: bool = Field(default=False, alias="proved")

    @property
    def why(self) -> str:
        """The reason of the request, marked as forced if it was; empty when there is none."""
        is_unmarked = self.forced and not self.reason.startswith("forced")
        return ": ".join(part for part in ("forced" if is_unmarked else "", self.reason) if part)


class Override(Value):
    """The decision of a person to publish although gates failed, and which ones.

    The overruled findings stay recorded as failed. `authenticated`: a token authenticated the
    actor `by`; otherwise the name is a claim.
    """

    by: str
    reason: str
    at: datetime | None = None
    overruled: tuple[str, ...] = ()
    authenticated: bool = Field(default=False, alias="proved")


class Exported(Value):
    """The weight format in which the network is served, and the measurement behind that choice.

    `agreement` is the share of `rows` on which int8 weights agree with the trained network: int8 is
    served if it is at least `sufficient`, else float32. `outputs` has the share of each output,
    where there are several; `agreement` is then the least of them.
    """

    weights: Literal["int8", "float32"]
    agreement: float
    rows: int
    sufficient: float
    outputs: dict[str, float] = Field(default_factory=dict, exclude_if=lambda value: not value)


class Rehearsed(Value):
    """Correctness and cost of a version in rehearsal: `n` holdout rows served over HTTP."""

    n: int
    changed_answers: int
    largest_difference: float
    p50_ms: float
    p99_ms: float
    row_ms: float
    row_ms_in_eight: float
    resident_mb: float


class LogPolicy(Value):
    """What serving records of the answers of a version, as its model declared.

    `share` of the requests is recorded, with `inputs` and `clients` as values, digests or not at
    all. `feedback`: whether labels of these answers are taken.
    """

    share: float
    inputs: Literal["values", "digest", "none"]
    clients: Literal["key", "digest", "none"]
    feedback: bool
    labels_per_client_daily: int = 0

    def recorded_client(self, model: str, client: str) -> str:
        """A client's key as answers and labels have it: as it is, a digest of it, or nothing."""
        if self.clients == "digest":
            return client_digest(model, client) if client else ""
        return client if self.clients == "key" else ""


class Manifest(Value):
    """The complete description of one version.

    Without `logged`, nothing is recorded of its answers; without `novelty`, no input counts as
    unlike what it learned from.
    """

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
    logged: LogPolicy | None = Field(default=None, exclude_if=lambda value: value is None)
    novelty: NoveltyRule | None = Field(default=None, exclude_if=lambda value: value is None)
    # The id of the signing key. The signature is over these very bytes, so it is another object.
    signed_by: str | None = None

    def measured(self, metric: str, slice: str = "") -> Measurement | None:
        """The measurement of a metric on a slice, if there is one."""
        for measurement in self.measurements:
            if (measurement.metric, measurement.slice) == (metric, slice):
                return measurement
        return None


class _Format(Value):
    format: int | Literal["missing"] = "missing"


def decode(body: bytes, *, where: str) -> Manifest:
    """Parse a manifest.

    Raises:
        CorruptVersion: another format, or a field that is missing or of the wrong kind.
    """
    try:
        # The format first, alone: another format may lack any of the fields of this one.
        format = _Format.model_validate_json(body).format
        if format != FORMAT:
            raise CorruptVersion(where, expected=f"manifest format {FORMAT}", found=f"{format}")
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        field, problem = validation_summary(error)
        raise CorruptVersion(
            where, expected=f"a valid manifest at {field}", found=problem
        ) from None
