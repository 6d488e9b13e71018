"""The host's own copy of a model's deployment history, for pages while the store is away."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from overnight.serving.history.candidates import CandidateFiles
from overnight.serving.history.input_eras import InputEra
from overnight.serving.inference.signatures import Signature, signature_of
from overnight.store.datasets.arrival_reviews import PendingReview
from overnight.store.local_files import ReloadingFile, write_atomically
from overnight.store.objects import keys
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.decision import Decision
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import Finding, Manifest, Measurement, Override
from overnight.store.registry.monitoring import MonitorRecord
from overnight.store.registry.runs import RunRecord
from overnight.store.values import Value

REPORT = "report.html"
LARGEST_REPORT = 8_000_000


class VersionSummary(Value):
    """A version as pages show it; `decision` is None before there is one.

    `inputs` is None in copies of earlier releases.
    """

    version: str
    trained_at: datetime
    rows: int
    holdout_rows: int
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    compared_with: str | None = None
    override: Override | None = None
    approval: Literal["automatic", "manual"] = "automatic"
    run: str = ""
    run_url: str = ""
    report: bool = False
    decision: Decision | None = None
    inputs: Signature | None = None


class UnreadableVersion(Value):
    """A version whose manifest is damaged or foreign, and why it cannot be read."""

    version: str
    error: str


class DeploymentHistory(Value):
    """Alias records, versions, their live scores, what inputs they took, and monitor records.

    Then the records of runs, and the arrivals that wait for a person. Each newest first.
    `damaged_monitoring` says of monitor records why they cannot be read.
    """

    records: tuple[AliasRecord, ...] = ()
    versions: tuple[VersionSummary, ...] = ()
    unreadable: tuple[UnreadableVersion, ...] = ()
    scores: tuple[Score, ...] = ()
    eras: tuple[InputEra, ...] = ()
    monitoring: tuple[MonitorRecord, ...] = ()
    damaged_monitoring: tuple[str, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    waiting: tuple[PendingReview, ...] = ()


def summarise(manifest: Manifest) -> VersionSummary:
    """The part of a manifest that pages show."""
    return VersionSummary(
        version=manifest.version,
        trained_at=manifest.created_at,
        rows=manifest.data.rows,
        holdout_rows=manifest.data.holdout_rows,
        measurements=manifest.measurements,
        findings=manifest.findings,
        compared_with=manifest.compared_with,
        override=manifest.override,
        approval=manifest.approval,
        run=manifest.run.name,
        run_url=manifest.run.url,
        report=REPORT in manifest.files and manifest.files[REPORT].size_bytes <= LARGEST_REPORT,
        inputs=signature_of(manifest.tensors.inputs),
    )


class HistoryFile:
    """`history.json`, `reports/` and `candidates/`: all workers read, the leader writes."""

    def __init__(self, folder: Path) -> None:
        self._file, self._reports = folder / "history.json", folder / "reports"
        self._history = ReloadingFile(self._file, _decoded)
        self.candidates = CandidateFiles(folder / "candidates")

    def read(self) -> DeploymentHistory:
        """The history as last written; the file is parsed again only when it changed."""
        try:
            return self._history.read()
        except FileNotFoundError:
            return DeploymentHistory()

    def write(self, history: DeploymentHistory) -> None:
        body = history.model_dump_json().encode()
        try:
            if self._file.read_bytes() == body:
                return
        except FileNotFoundError:
            pass
        write_atomically(self._file, body)

    def report(self, version: str) -> bytes | None:
        """The report of a version as HTML, if there is a copy.

        Raises:
            BadKey: this is no version's name.
        """
        try:
            return self._report_file(version).read_bytes()
        except FileNotFoundError:
            return None

    def write_report(self, version: str, body: bytes) -> None:
        write_atomically(self._report_file(version), body)

    def delete_reports(self, *, keep: set[str]) -> None:
        for path in self._reports.glob("*.html"):
            if path.stem not in keep:
                path.unlink(missing_ok=True)

    def _report_file(self, version: str) -> Path:
        return self._reports / f"{keys.check_version(version)}.html"


def _decoded(body: bytes) -> DeploymentHistory:
    try:
        return DeploymentHistory.model_validate_json(body)
    except ValidationError:
        # Written by another release, or damaged: the leader reads it from the store anew.
        return DeploymentHistory()
