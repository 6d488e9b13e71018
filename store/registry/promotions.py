"""Promotions: move the champion to an approved version, or back to one that served before."""

from dataclasses import dataclass

from overnight.store.errors import CollectedVersion, ConfigurationError, PromotionConflict
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.registry import ModelRegistry


@dataclass(frozen=True)
class Promotions:
    """Promotions and rollbacks of one model's champion."""

    registry: ModelRegistry

    def promote(self, version: str, *, expected: str | None, actor: Actor) -> AliasRecord:
        """Point the champion at an approved version, provided it still points at `expected`.

        Promoting the champion again is no error, so that an interrupted run can be repeated.

        Raises:
            PromotionConflict: another version became champion meanwhile.
            UnknownVersion, CorruptVersion, ConfigurationError: it cannot serve.
            CollectedVersion: retention deleted its files.
        """
        current = self.registry.champion.current()
        if current is not None and current.version == version:
            # The run that wrote the record may have died before its last check.
            return self._checked_after_write(current)
        self._check_servable(version)
        record = self.registry.champion.append(version, expected=expected, actor=actor)
        return self._checked_after_write(record)

    def roll_back(self, *, expected: str | None, to: str | None, actor: Actor) -> AliasRecord:
        """Append a record that moves the champion from `expected` to `to`, or to its predecessor.

        Repeating the same rollback returns the record of the first one.

        Raises:
            ConfigurationError: nothing served before, or `to` is the champion already.
            CollectedVersion: retention deleted the files of that version.
            PromotionConflict: another version became champion meanwhile, also by a rollback to
                another version than `to`.
            UnknownVersion: `to` does not exist.
        """
        log = self.registry.champion
        current = log.current()
        if current is None or expected is None:
            raise ConfigurationError(
                f"{self.registry.model} has no champion yet, so there is nothing to roll back"
            )
        # Without this, a rollback that is retried after a lost response would go back twice.
        is_done = (current.action, current.previous) == ("rolled back", expected)
        if is_done and current.version != expected and to in {None, current.version}:
            return current
        if current.version != expected:
            where = f"{self.registry.model}@{CHAMPION}"
            raise PromotionConflict(where, expected=expected, found=current.version)
        target = to or predecessor(log, expected)
        if target == current.version:
            raise ConfigurationError(
                f"{target} is the champion of {self.registry.model} already; name another"
            )
        self._check_servable(target)
        record = log.append(target, expected=expected, actor=actor, action="rolled back")
        return self._checked_after_write(record)

    def _check_servable(self, version: str) -> None:
        manifest = self.registry.manifest(version)
        self.registry.tombstones.check_not_collected(version)
        decision = self.registry.decisions.find(version)
        if decision is None or decision.verdict != "approved":
            raise ConfigurationError(
                f"{self.registry.model} {version} is not approved; "
                f"`overnight approve {self.registry.model} {version}` first"
            )
        if self.registry.trust is not None:
            self.registry.decisions.approval(manifest)

    def _checked_after_write(self, record: AliasRecord) -> AliasRecord:
        """Return the record, or undo it by another one if retention deleted its version meanwhile.

        Retention writes its tombstone and then checks the aliases; a promotion writes the alias and
        then checks for a tombstone. So at least one of the two notices the other.
        """
        try:
            self.registry.tombstones.check_not_collected(record.version)
        except CollectedVersion as error:
            if record.previous is not None:
                actor = Actor(record.by, str(error))
                self.registry.champion.append(
                    record.previous, expected=record.version, actor=actor, action="rolled back"
                )
            raise
        return record


def predecessor(log: AliasLog, version: str) -> str:
    """The version that a rollback from `version` returns to.

    The history is walked as a stack: a promotion puts its version on top, and a rollback takes
    off whatever served after its target. So repeated rollbacks go back champion by champion to
    the first, also after a version was promoted a second time.

    Raises:
        ConfigurationError: no version served before it.
        PromotionConflict: another one is champion by now.
    """
    served: list[str] = []
    for record in log.history():
        if record.action == "rolled back" and record.version in served:
            while served[-1] != record.version:
                served.pop()
        elif served[-1:] != [record.version]:
            served.append(record.version)
    if served[-1:] != [version]:
        actual = served[-1] if served else None
        raise PromotionConflict(f"{log.model}@{log.alias}", expected=version, found=actual)
    if len(served) == 1:
        raise ConfigurationError(
            f"nothing served {log.model} before {version}; name a version with `to`"
        )
    return served[-2]
