"""The host's own copy of all candidates of a model: versions, and those that gates refused.

One file lists them, small enough to be sent whole; the findings of each are in a file of their own,
and the manifests as they were published.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from overnight.store.local_files import ReloadingFile, write_atomically
from overnight.store.objects import keys
from overnight.store.registry.manifest import Finding, Manifest, Measurement
from overnight.store.registry.refusals import Refusal
from overnight.store.values import Value

# Of one candidate: the gates of data have as many features as the model.
_MOST_DISTANCES = 12
_MOST_REASONS = 3


class DataDistance(Value):
    """What one gate of the data measured, such as the drift of a feature, and allows at most."""

    gate: str
    metric: str
    slice: str = ""
    value: float
    bound: float | None = None
    passed: bool


class ListedCandidate(Value):
    """A candidate as lists and charts show it.

    `name` is the version, or for a refused one the beginning of its fingerprint and the champion
    that it was compared with. `measured` is the metric by which it is judged first, on the whole
    holdout. `judged` counts the gates that applied, `passed` those that it passed; `failed` has the
    figures of the first others. `verdict` is empty until somebody decided. `seconds` is how long
    the training took, `size_bytes` the size in the store. Records of earlier releases have not all
    of these.
    """

    name: str
    kind: Literal["version", "refused"]
    at: datetime
    fingerprint: str
    measured: Measurement | None = None
    rows: int | None = None
    arrivals: int | None = None
    judged: int = 0
    passed: int = 0
    failed: tuple[str, ...] = ()
    compared_with: str | None = None
    approval: Literal["automatic", "manual"] = "automatic"
    verdict: str = ""
    run: str = ""
    run_url: str = ""
    seconds: float | None = None
    size_bytes: int | None = None
    distances: tuple[DataDistance, ...] = ()


class CandidateList(Value):
    """Candidates, newest first, and why others cannot be read."""

    candidates: tuple[ListedCandidate, ...] = ()
    damaged: tuple[str, ...] = ()


class _Findings(Value):
    findings: tuple[Finding, ...]


def of_version(manifest: Manifest) -> ListedCandidate:
    """A published version as a candidate, before the decision about it."""
    data, training = manifest.data, manifest.training
    return ListedCandidate(
        name=manifest.version,
        kind="version",
        at=manifest.created_at,
        fingerprint=manifest.fingerprint,
        measured=_headline(manifest.measurements),
        rows=data.rows,
        arrivals=data.arrivals,
        compared_with=manifest.compared_with,
        approval=manifest.approval,
        run=manifest.run.name,
        run_url=manifest.run.url,
        seconds=training.seconds,
        size_bytes=sum(entry.size_bytes for entry in manifest.files.values()),
        distances=_distances(manifest.data_findings),
        **_judgement(manifest.findings),
    )


def of_refusal(refusal: Refusal) -> ListedCandidate:
    """A candidate that was refused; what its record lacks is taken from its gates."""
    measured = _headline(refusal.measurements) or _from_findings(refusal.findings)
    return ListedCandidate(
        name=refused_name(refusal.fingerprint, refusal.compared_with),
        kind="refused",
        at=refusal.at,
        fingerprint=refusal.fingerprint,
        measured=measured,
        rows=refusal.rows,
        compared_with=refusal.compared_with,
        run=refusal.run,
        run_url=refusal.run_url,
        seconds=refusal.seconds,
        distances=_distances(refusal.data_findings),
        **_judgement(refusal.findings),
    )


def refused_name(fingerprint: str, compared_with: str | None) -> str:
    """The name of a refused candidate, which has no version."""
    return f"refused-{fingerprint[:12]}-{compared_with or 'none'}"


def _judgement(findings: tuple[Finding, ...]) -> dict[str, Any]:
    judged = [each for each in findings if each.applicable or not each.passed]
    failed = [each.brief for each in judged if not each.passed]
    return {
        "judged": len(judged),
        "passed": len(judged) - len(failed),
        "failed": tuple(failed[:_MOST_REASONS]),
    }


def _headline(measurements: tuple[Measurement, ...]) -> Measurement | None:
    """Accuracy, or the first metric of the whole holdout."""
    whole = [each for each in measurements if not each.slice]
    accuracy = (each for each in whole if each.metric == "accuracy")
    return next(accuracy, whole[0] if whole else None)


def _from_findings(findings: tuple[Finding, ...]) -> Measurement | None:
    """The metric that gates of the whole holdout checked, as they found it, without an interval."""
    measured = [
        Measurement(metric=each.metric, value=value, n=each.n or 0)
        for each in findings
        if not each.slice and (value := _own_value(each)) is not None
    ]
    return _headline(tuple(measured))


def _own_value(finding: Finding) -> float | None:
    """The metric itself, where a finding has it: of a comparison `value` is the gain."""
    if finding.candidate is not None:
        return finding.candidate
    return finding.value if finding.gate in {"AtLeast", "AtMost"} else None


def _distances(findings: tuple[Finding, ...]) -> tuple[DataDistance, ...]:
    """What gates of the data allow at most, and what was measured; failed ones first."""
    measured = [
        DataDistance(
            gate=each.gate, metric=each.metric, slice=each.slice, value=each.value,
            bound=each.bound, passed=each.passed,
        )
        for each in findings
        if each.direction == "at most" and each.value is not None and each.applicable
    ]  # fmt: skip
    return tuple(sorted(measured, key=lambda each: each.passed)[:_MOST_DISTANCES])


class CandidateFiles:
    """`candidates.json`, findings and manifests: all workers read, the leader writes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._list = ReloadingFile(folder / "candidates.json", _decoded)

    def read(self) -> CandidateList:
        """The list as last written; the file is parsed again only when it changed."""
        try:
            return self._list.read()
        except FileNotFoundError:
            return CandidateList()

    def write(self, listed: CandidateList) -> None:
        write_atomically(self._folder / "candidates.json", listed.model_dump_json().encode())

    def findings(self, name: str) -> tuple[Finding, ...] | None:
        """What the gates found of a candidate that is listed; None for any other."""
        # Only listed names become part of a path.
        if all(candidate.name != name for candidate in self.read().candidates):
            return None
        try:
            body = (self._folder / "findings" / f"{name}.json").read_bytes()
            return _Findings.model_validate_json(body).findings
        except (FileNotFoundError, ValidationError):
            return None

    def write_findings(self, name: str, findings: tuple[Finding, ...]) -> None:
        body = _Findings(findings=findings).model_dump_json().encode()
        write_atomically(self._folder / "findings" / f"{name}.json", body)

    def manifest(self, version: str) -> bytes | None:
        """The manifest of a version as it was published, if there is a copy.

        Raises:
            BadKey: this is no version's name.
        """
        try:
            return self._manifest(version).read_bytes()
        except FileNotFoundError:
            return None

    def write_manifest(self, version: str, body: bytes) -> None:
        write_atomically(self._manifest(version), body)

    def delete_others(self, kept: set[str]) -> None:
        """Delete findings and manifests of candidates that are listed no more."""
        for folder in ("findings", "manifests"):
            for path in (self._folder / folder).glob("*.json"):
                if path.stem not in kept:
                    path.unlink(missing_ok=True)

    def _manifest(self, version: str) -> Path:
        return self._folder / "manifests" / f"{keys.check_version(version)}.json"


def _decoded(body: bytes) -> CandidateList:
    try:
        return CandidateList.model_validate_json(body)
    except ValidationError:
        # Written by another release, or damaged: the leader reads it from the store anew.
        return CandidateList()
