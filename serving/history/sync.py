"""Copies a model's deployment history from the store, for all workers of a host.

Only the leader runs it, in another thread than its watchers, so that a slow store delays no reload.
Manifests and records never change, so each is read once; a decision is looked for until there is
one. All its logic is in `tick`.
"""

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError

from overnight.serving.history.candidate_sync import REMEMBERED_CANDIDATES, CandidateSync
from overnight.serving.history.input_eras import merged
from overnight.serving.history.local_copy import (
    REPORT,
    HistoryFile,
    UnreadableVersion,
    VersionSummary,
    summarise,
)
from overnight.serving.history.monitor_sync import MonitorSync
from overnight.serving.history.run_sync import RunSync
from overnight.serving.history.score_sync import ScoreSync
from overnight.serving.host.alias_state import AliasState
from overnight.serving.inference.signatures import Signature
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.errors import (
    CorruptRecord,
    CorruptVersion,
    OvernightError,
    StoreError,
    UnknownVersion,
)
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
REFRESH_SECONDS = 30.0
AGAIN_SECONDS = 1.0
RETRY_SECONDS = 5.0
SCORES_SECONDS = 120.0
# Of each alias: years of daily records fit on a disk, but nobody scrolls through them on a page.
REMEMBERED_RECORDS = 200
REMEMBERED_VERSIONS = 30
# Of the versions that never served, only the newest may still get a decision.
AWAITED_DECISIONS = 5
_DAMAGED = 10


class HistorySync:
    """One model's deployment history."""

    def __init__(
        self,
        file: HistoryFile,
        alias_state: AliasState,
        *,
        model: str,
        bucket: Bucket,
        trust: Trust,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._alias_state = file, alias_state
        self._model, self._bucket, self._clock = model, bucket, clock
        registry = ModelRegistry(bucket, model, trust)
        self._logs = (registry.champion, registry.challenger)
        self._unreadable: dict[str, str] = {}
        self._published: list[str] = []
        self._score_sync = ScoreSync(bucket, model)
        self._monitor_sync = MonitorSync(bucket, model)
        self._run_sync = RunSync(bucket, model)
        self._candidate_sync = CandidateSync(bucket, model, file.candidates)
        self._reviews = ArrivalReviews(bucket, model)
        self._scored: tuple[str, ...] = ()
        self._refresh_at = self._list_at = self._retry_at = clock()
        self._score_at = self._monitor_at = clock()

    def tick(self) -> float:
        """Read the store after each new record, and now and then. Returns seconds to rest.

        A store that is away is no error here: what was copied stays.
        """
        now = self._clock()
        if now < self._retry_at or not (now >= self._refresh_at or self._is_behind()):
            return TICK_SECONDS
        error = self._update()
        if error is None:
            self._refresh_at, self._retry_at = now + REFRESH_SECONDS, now + AGAIN_SECONDS
        else:
            self._retry_at = self._clock() + RETRY_SECONDS
            logger.info("%s: the deployment history is incomplete: %s", self._model, error)
        return TICK_SECONDS

    def _update(self) -> Exception | None:
        """Read the store; the last error, if there was one."""
        last: Exception | None = None
        updates = (
            self._update_records,
            self._update_versions,
            self._update_scores,
            self._update_monitoring,
            self._update_runs,
            self._update_candidates,
        )
        for update in updates:
            try:
                update()
            except (StoreError, OSError) as error:
                # All that follows would wait for the same store, or the same disk.
                return error
            except (OvernightError, ValidationError) as error:
                # A damaged record hides nothing but its own log.
                last = error
        return last

    def _is_behind(self) -> bool:
        """Whether the watcher has followed a record that is not copied yet."""
        last = self._alias_state.follower_state().last
        return last is not None and all(last.id != known.id for known in self._file.read().records)

    def _update_records(self) -> None:
        history = self._file.read()
        logs: list[list[AliasRecord]] = []
        for log in self._logs:
            known = _in_order(record for record in history.records if record.alias == log.alias)
            records = (
                [*known, *log.after(known[-1].sequence)] if _continues(known, log) else _newest(log)
            )
            logs.append(records[: -REMEMBERED_RECORDS - 1 : -1])
        # Writers' clocks differ: within a log its own order counts, between logs the clocks.
        merged = heapq.merge(*logs, key=lambda record: record.at, reverse=True)
        self._file.write(history.model_copy(update={"records": tuple(merged)}))

    def _update_versions(self) -> None:
        history = self._file.read()
        known = {summary.version: summary for summary in history.versions}
        served = list(dict.fromkeys(record.version for record in history.records))
        wanted = {*served[:REMEMBERED_VERSIONS], *self._newest_published()}
        updated: list[VersionSummary] = []
        try:
            for version in sorted(wanted, reverse=True):
                summary = known.get(version)
                if summary is None or summary.inputs is None:
                    summary = self._summarise(version) or summary
                if summary is not None:
                    may_be_decided = version in served or len(updated) < AWAITED_DECISIONS
                    updated.append(self._with_decision(summary) if may_be_decided else summary)
        finally:
            # Also after an error: what was read before an outage is not read again.
            kept = {s.version: s for s in (*history.versions, *updated) if s.version in wanted}
            versions = tuple(kept[version] for version in sorted(kept, reverse=True))
            unreadable = tuple(
                UnreadableVersion(version=version, error=self._unreadable[version])
                for version in sorted(self._unreadable.keys() & wanted, reverse=True)
            )
            eras = merged(history.eras, _promoted(history.records, kept))
            update = {"versions": versions, "unreadable": unreadable, "eras": eras}
            self._file.write(history.model_copy(update=update))
        self._file.delete_reports(keep=wanted)

    def _update_scores(self) -> None:
        """Live scores; listed now and then, and as soon as another version serves."""
        history = self._file.read()
        served = _champions(history.records)
        if served == self._scored and self._clock() < self._score_at:
            return
        scores = self._score_sync.update(history.scores, served)
        self._file.write(history.model_copy(update={"scores": scores}))
        self._scored, self._score_at = served, self._clock() + SCORES_SECONDS

    def _update_monitoring(self) -> None:
        """Monitor records, with what could not be read of them since this process began."""
        if self._clock() < self._monitor_at:
            return
        history = self._file.read()
        recent = self._monitor_sync.update(history.monitoring)
        damaged = dict.fromkeys((*recent.damaged, *history.damaged_monitoring))
        update = {"monitoring": recent.records, "damaged_monitoring": tuple(damaged)[:_DAMAGED]}
        self._file.write(history.model_copy(update=update))
        self._monitor_at = self._clock() + SCORES_SECONDS

    def _update_runs(self) -> None:
        """Records of runs, and the arrivals that wait for a person."""
        history = self._file.read()
        runs, waiting = self._run_sync.update(history.runs), tuple(self._reviews.pending())
        self._file.write(history.model_copy(update={"runs": runs, "waiting": waiting}))

    def _update_candidates(self) -> None:
        """All candidates, those that were refused included."""
        self._candidate_sync.update(self._published)

    def _newest_published(self) -> list[str]:
        if self._clock() >= self._list_at:
            names = self._bucket.names_below(keys.versions(self._model))
            self._list_at = self._clock() + REFRESH_SECONDS
            self._published = sorted(filter(keys.is_version, names))[-REMEMBERED_CANDIDATES:]
        return self._published[-REMEMBERED_VERSIONS:]

    def _summarise(self, version: str) -> VersionSummary | None:
        """A version's summary; None while it is incomplete, and for ever if it is damaged."""
        if version in self._unreadable:
            return None
        try:
            registry = ModelRegistry(self._bucket, self._model)
            manifest = registry.manifest(version)
        except UnknownVersion:
            return None
        except CorruptVersion as error:
            logger.warning("%s: left out of the history: %s", self._model, error)
            self._unreadable[version] = str(error)
            return None
        summary = summarise(manifest)
        if summary.report:
            try:
                self._file.write_report(version, registry.read_file(manifest, REPORT))
            except CorruptVersion as error:
                logger.warning("%s: shown without its report: %s", self._model, error)
                return summary.model_copy(update={"report": False})
        return summary

    def _with_decision(self, summary: VersionSummary) -> VersionSummary:
        if summary.decision is not None:
            return summary
        try:
            decision = ModelRegistry(self._bucket, self._model).decisions.find(summary.version)
        except CorruptRecord as error:
            logger.info("%s: shown without its decision: %s", self._model, error)
            return summary
        return summary if decision is None else summary.model_copy(update={"decision": decision})


def _promoted(
    records: Iterable[AliasRecord], summaries: Mapping[str, VersionSummary]
) -> Iterator[tuple[AliasRecord, Signature]]:
    """The champion's records with the inputs of their versions, but for those that are unknown."""
    for record in records:
        summary = summaries.get(record.version)
        if record.alias == CHAMPION and summary is not None and summary.inputs is not None:
            yield record, summary.inputs


def _champions(records: Iterable[AliasRecord]) -> tuple[str, ...]:
    """The versions that served, each once, the last one first."""
    served = dict.fromkeys(record.version for record in records if record.alias == CHAMPION)
    return tuple(served)[:REMEMBERED_VERSIONS]


def _in_order(records: Iterable[AliasRecord]) -> list[AliasRecord]:
    """The records of one log, oldest first, each once."""
    by_sequence = {record.sequence: record for record in records}
    return [by_sequence[sequence] for sequence in sorted(by_sequence)]


def _continues(known: Sequence[AliasRecord], log: AliasLog) -> bool:
    """Whether the store still has the log that is known; one that was replaced begins anew."""
    if not known:
        return False
    stored = log.at(known[-1].sequence)
    return stored is not None and stored.id == known[-1].id


def _newest(log: AliasLog) -> list[AliasRecord]:
    # A small GET says that there is no log at all; only one that exists is listed.
    return [] if log.entry(1) is None else log.history(newest=REMEMBERED_RECORDS)
