"""The rules for moving a champion: to an approved version, or back to one that served before."""

from store.aliases import CHAMPION, AliasLog, AliasRecord
from store.bucket import Bucket
from store.collected import check_kept
from store.decisions import is_approved
from store.errors import CollectedVersion, ConfigurationError, PromotionConflict
from store.versions import read_manifest


def promote(
    bucket: Bucket,
    model: str,
    version: str,
    *,
    over: str | None,
    by: str,
    reason: str,
    proved: bool = False,
) -> AliasRecord:
    """Point the champion at an approved version, provided it still points at `over`.

    Promoting what is champion already is no error: a killed run is simply run again.

    Raises:
        PromotionConflict: another version became champion meanwhile.
        UnknownVersion, CorruptVersion, ConfigurationError: it cannot serve.
        CollectedVersion: retention let go of its files.
    """
    log = AliasLog(bucket, model)
    current = log.current()
    if current is not None and current.version == version:
        # The run that wrote it may have died before it looked once more.
        return _still_kept(bucket, log, current)
    _servable(bucket, model, version)
    record = log.append(version, over=over, by=by, reason=reason, proved=proved)
    return _still_kept(bucket, log, record)


def roll_back(
    bucket: Bucket,
    model: str,
    *,
    over: str | None,
    to: str | None,
    by: str,
    reason: str,
    proved: bool = False,
) -> AliasRecord:
    """Point the champion from `over` to `to`, or to what served before it, by one more record.

    Asked again after its record was written, it finds that record instead of going back further.

    Raises:
        ConfigurationError: nothing served before, or `to` serves already.
        CollectedVersion: retention let go of the files of that version.
        PromotionConflict: another version became champion meanwhile.
    """
    log = AliasLog(bucket, model)
    current = log.current()
    if current is None or over is None:
        raise ConfigurationError(f"{model} has no champion yet, so there is nothing to roll back")
    if (current.action, current.previous) == ("rolled back", over) and current.version != over:
        return current
    if current.version != over:
        raise PromotionConflict(f"{model}@{CHAMPION}", expected=over, found=current.version)
    target = to or previous(log, over)
    if target == current.version:
        raise ConfigurationError(f"{target} is the champion of {model} already; name another")
    _servable(bucket, model, target)
    record = log.append(
        target, over=over, by=by, reason=reason, action="rolled back", proved=proved
    )
    return _still_kept(bucket, log, record)


def previous(log: AliasLog, version: str) -> str:
    """The version that a rollback from `version` returns to.

    Undoing follows the records backwards: what a promotion replaced comes back, and rolling back
    twice goes back twice instead of forth.
    """
    promoted_over = {
        record.version: record.previous for record in log.history() if record.action == "promoted"
    }
    target = promoted_over.get(version)
    if target is None:
        raise ConfigurationError(
            f"nothing served {log.model} before {version}; name a version with `to`"
        )
    return target


def _still_kept(bucket: Bucket, log: AliasLog, record: AliasRecord) -> AliasRecord:
    """The record, unless its version was collected at that very moment: then what served before
    serves again, by one more record.
    """
    try:
        check_kept(bucket, log.model, record.version)
    except CollectedVersion as error:
        if record.previous is not None:
            log.append(
                record.previous,
                over=record.version,
                by=record.by,
                reason=str(error),
                action="rolled back",
            )
        raise
    return record


def _servable(bucket: Bucket, model: str, version: str) -> None:
    read_manifest(bucket, model, version)
    check_kept(bucket, model, version)
    if not is_approved(bucket, model, version):
        raise ConfigurationError(
            f"{model} {version} is not approved; `overnight approve {model} {version}` first"
        )
