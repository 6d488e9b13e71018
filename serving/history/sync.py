"""The historian: gathers, for all workers of a host, what the page tells of a model's past.

Only the leader runs it, beside its watchers, so that a slow store delays nobody's following.
Manifests and records never change, so each is read once; a decision is asked for until there is
one. All its logic is in `look`.
"""

import heapq
import logging
import time
from collections.abc import Callable, Iterable, Sequence

from pydantic import ValidationError

from overnight.serving.history.local_copy import REPORT, History, Summary, summary
from overnight.serving.history.score_sync import ScoreSync
from overnight.serving.host.alias_state import AliasState
from overnight.store.errors import CorruptVersion, OvernightError, UnknownVersion
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import CHAMPION, AliasLog, AliasRecord
from overnight.store.registry.registry import ModelRegistry

logger = logging.getLogger(__name__)

ALIASES = (CHAMPION, "challenger")
TICK_SECONDS = 0.5
REFRESH_SECONDS = 30.0
AGAIN_SECONDS = 1.0
RETRY_SECONDS = 5.0
SCORES_SECONDS = 120.0
# Of each alias: years of nights fit on a disk, but nobody scrolls through them on a page.
REMEMBERED_RECORDS = 200
REMEMBERED_VERSIONS = 30
# Of what was published and never served, only the newest may yet be decided about.
AWAITED_DECISIONS = 5


class HistorySync:
    """One model's past, as far as the store tells it."""

    def __init__(
        self,
        history: History,
        ledger: AliasState,
        *,
        model: str,
        bucket: Bucket,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._history, self._ledger = history, ledger
        self._model, self._bucket, self._clock = model, bucket, clock
        self._unreadable: set[str] = set()
        self._published: list[str] = []
        self._scorekeeper = ScoreSync(bucket, model)
        self._scored: tuple[str, ...] = ()
        self._refresh_at = self._list_at = self._retry_at = self._score_at = clock()

    def look(self) -> float:
        """One tick: ask when something is new, and now and then. Returns seconds to rest.

        A store that is away is no error here: what is remembered stays.
        """
        now = self._clock()
        if now < self._retry_at or not (now >= self._refresh_at or self._is_behind()):
            return TICK_SECONDS
        try:
            self._recall_records()
            self._recall_versions()
            self._recall_scores()
            self._refresh_at, self._retry_at = now + REFRESH_SECONDS, now + AGAIN_SECONDS
        except (OvernightError, OSError, ValidationError) as error:
            self._retry_at = self._clock() + RETRY_SECONDS
            logger.info("%s: the past cannot be told whole yet: %s", self._model, error)
        return TICK_SECONDS

    def _is_behind(self) -> bool:
        """Whether the watcher has taken up a record that is not remembered here."""
        last = self._ledger.known().last
        return last is not None and all(last.id != one.id for one in self._history.past().records)

    def _recall_records(self) -> None:
        past = self._history.past()
        found: list[list[AliasRecord]] = []
        for alias in ALIASES:
            known = _in_order(record for record in past.records if record.alias == alias)
            log = AliasLog(self._bucket, self._model, alias)
            whole = [*known, *_since(known, log)] if _goes_on(known, log) else _newest(log)
            found.append(whole[: -REMEMBERED_RECORDS - 1 : -1])
        # Writers' clocks differ: within a log its own order counts, between logs the clocks.
        records = heapq.merge(*found, key=lambda record: record.at, reverse=True)
        self._history.remember(past.model_copy(update={"records": tuple(records)}))

    def _recall_versions(self) -> None:
        past = self._history.past()
        known = {one.version: one for one in past.versions}
        served = list(dict.fromkeys(record.version for record in past.records))
        wanted = {*served[:REMEMBERED_VERSIONS], *self._newest_published()}
        found: list[Summary] = []
        try:
            for version in sorted(wanted, reverse=True):
                one = known.get(version) or self._summarise(version)
                if one is not None:
                    awaited = version in served or len(found) < AWAITED_DECISIONS
                    found.append(self._decided(one) if awaited else one)
        finally:
            # What an outage interrupts is not asked for again.
            kept = {one.version: one for one in (*past.versions, *found) if one.version in wanted}
            versions = tuple(kept[version] for version in sorted(kept, reverse=True))
            self._history.remember(past.model_copy(update={"versions": versions}))
        self._history.forget_reports(wanted)

    def _recall_scores(self) -> None:
        """What versions measured while they served; listed now and then, and when another does."""
        past = self._history.past()
        served = _championed(past.records)
        if served == self._scored and self._clock() < self._score_at:
            return
        scores = self._scorekeeper.gather(past.scores, served)
        self._history.remember(past.model_copy(update={"scores": scores}))
        self._scored, self._score_at = served, self._clock() + SCORES_SECONDS

    def _newest_published(self) -> list[str]:
        if self._clock() >= self._list_at:
            names = self._bucket.names_below(keys.versions(self._model))
            self._list_at = self._clock() + REFRESH_SECONDS
            self._published = [*filter(keys.is_version, names)][-REMEMBERED_VERSIONS:]
        return self._published

    def _summarise(self, version: str) -> Summary | None:
        """A version's summary, or None while it is not whole, and for ever if it is not ours."""
        if version in self._unreadable:
            return None
        try:
            registry = ModelRegistry(self._bucket, self._model)
            manifest = registry.manifest(version)
            found = summary(manifest)
            if found.report:
                body = registry.read_file(manifest, REPORT)
                self._history.keep_report(version, body)
        except UnknownVersion:
            return None
        except CorruptVersion as error:
            logger.warning("%s: not told: %s", self._model, error)
            self._unreadable.add(version)
            return None
        return found

    def _decided(self, one: Summary) -> Summary:
        if one.decision is not None:
            return one
        decision = ModelRegistry(self._bucket, self._model).decision(one.version)
        return one if decision is None else one.model_copy(update={"decision": decision})


def _championed(records: Iterable[AliasRecord]) -> tuple[str, ...]:
    """The versions that served, the one that did so last first, each once."""
    served = dict.fromkeys(record.version for record in records if record.alias == CHAMPION)
    return tuple(served)[:REMEMBERED_VERSIONS]


def _in_order(records: Iterable[AliasRecord]) -> list[AliasRecord]:
    """What is remembered of one log, oldest first, and each of its records once."""
    by_sequence = {one.sequence: one for one in records}
    return [by_sequence[sequence] for sequence in sorted(by_sequence)]


def _goes_on(known: Sequence[AliasRecord], log: AliasLog) -> bool:
    """Whether the store still has the log that we know; one that was replaced begins anew."""
    if not known:
        return False
    found = log.at(known[-1].sequence)
    return found is not None and found.id == known[-1].id


def _since(known: Sequence[AliasRecord], log: AliasLog) -> list[AliasRecord]:
    found: list[AliasRecord] = []
    while (record := log.at(known[-1].sequence + len(found) + 1)) is not None:
        found.append(record)
    return found


def _newest(log: AliasLog) -> list[AliasRecord]:
    # A small GET says that there is no log at all; only one that exists is listed.
    if log.at(1) is None:
        return []
    records = (log.at(sequence) for sequence in log.sequences()[-REMEMBERED_RECORDS:])
    return [record for record in records if record is not None]
