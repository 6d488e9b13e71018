"""Copies all candidates of a model from the store: its versions, and what its gates refused.

Manifests and refusals never change, so each is read once, and only some at a time: after a first
start the list fills up within a few rounds, the newest versions first.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence

from overnight.serving.history.candidates import (
    CandidateFiles,
    CandidateList,
    ListedCandidate,
    of_refusal,
    of_version,
    refused_name,
)
from overnight.store.errors import BadKey, CorruptRecord, CorruptVersion, UnknownVersion
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.records import read
from overnight.store.registry.refusals import Refusal
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import decode_for

logger = logging.getLogger(__name__)

# A year of nights, and as many refusals among them.
REMEMBERED_CANDIDATES = 400
READ_AT_ONCE = 50
# Of the undecided versions, only the newest may still get a decision.
_AWAITED_DECISIONS = 5
_DAMAGED = 10


class CandidateSync:
    """The candidates of one model."""

    def __init__(self, bucket: Bucket, model: str, files: CandidateFiles) -> None:
        self._bucket, self._model, self._files = bucket, model, files
        self._registry = ModelRegistry(bucket, model)
        self._seen: set[str] = set()
        self._damaged: dict[str, str] = {}

    def update(self, versions: Sequence[str]) -> None:
        """Read candidates that are new; `versions` are the published ones, oldest first."""
        before = self._files.read()
        listed = {each.name: each for each in before.candidates}
        self._seen |= listed.keys()
        try:
            for candidate in itertools.islice(self._unread(versions), READ_AT_ONCE):
                if candidate is not None:
                    listed[candidate.name] = candidate
            self._add_decisions(listed)
        finally:
            # Also after an error: what was read before an outage is not read again.
            newest = sorted(listed.values(), key=lambda each: each.at, reverse=True)
            after = CandidateList(
                candidates=tuple(newest[:REMEMBERED_CANDIDATES]),
                damaged=tuple(self._damaged.values())[:_DAMAGED],
            )
            if after.model_dump_json() != before.model_dump_json():
                self._files.write(after)
                self._files.delete_others({each.name for each in after.candidates})

    def _unread(self, versions: Sequence[str]) -> Iterator[ListedCandidate | None]:
        """Each candidate that was not read yet; None for one that is incomplete or damaged."""
        for version in reversed(versions[-REMEMBERED_CANDIDATES:]):
            if version not in self._seen:
                yield self._version(version)
        for key in self._bucket.keys_below(keys.refusals(self._model)):
            fingerprint, _, file = key.removeprefix(f"{keys.refusals(self._model)}/").partition("/")
            champion = file.removesuffix(".json")
            name = refused_name(fingerprint, None if champion == "none" else champion)
            if name not in self._seen:
                yield self._refused(key, name)

    def _version(self, version: str) -> ListedCandidate | None:
        try:
            body = self._registry.manifest_bytes(version)
            manifest = decode_for(self._model, version, body)
        except UnknownVersion:
            # Its run has not finished writing it.
            return None
        except CorruptVersion as error:
            self._leave_out(version, error)
            return None
        self._files.write_manifest(version, body)
        self._files.write_findings(version, manifest.findings)
        self._seen.add(version)
        return self._decided(of_version(manifest))

    def _refused(self, key: str, name: str) -> ListedCandidate | None:
        try:
            refusal = read(Refusal, self._bucket, key)
        except (BadKey, CorruptRecord) as error:
            self._leave_out(name, error)
            return None
        self._seen.add(name)
        # A body under another key would be listed under a name that is not its own.
        if refusal is None or refused_name(refusal.fingerprint, refusal.compared_with) != name:
            return None
        self._files.write_findings(name, refusal.findings)
        return of_refusal(refusal)

    def _leave_out(self, name: str, error: Exception) -> None:
        logger.warning("%s: left out of the candidates: %s", self._model, error)
        self._damaged[name] = str(error)
        self._seen.add(name)

    def _add_decisions(self, listed: dict[str, ListedCandidate]) -> None:
        versions = (each for each in listed.values() if each.kind == "version")
        newest = sorted(versions, key=lambda each: each.name, reverse=True)
        for candidate in newest[:_AWAITED_DECISIONS]:
            if not candidate.verdict:
                listed[candidate.name] = self._decided(candidate)

    def _decided(self, candidate: ListedCandidate) -> ListedCandidate:
        try:
            decision = self._registry.decisions.find(candidate.name)
        except CorruptRecord:
            return candidate
        return candidate.model_copy(update={"verdict": decision.verdict}) if decision else candidate
