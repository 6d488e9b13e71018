"""Move the champion: to an approved version, or back to one that served before."""

from store.aliases import AliasLog, AliasRecord
from store.bucket import Bucket
from store.errors import ConfigurationError
from store.versions import read_manifest
from tasks.decide import is_approved


def promote(
    bucket: Bucket, model: str, version: str, *, over: str | None, by: str, reason: str
) -> AliasRecord:
    """Point the champion at an approved version, provided it still points at `over`.

    Promoting what is champion already is no error: a killed run is simply run again.

    Raises:
        PromotionConflict: another version became champion meanwhile.
        UnknownVersion, CorruptVersion, ConfigurationError: it cannot serve.
    """
    log = AliasLog(bucket, model)
    current = log.current()
    if current is not None and current.version == version:
        return current
    _servable(bucket, model, version)
    return log.append(version, over=over, by=by, reason=reason)


def roll_back(bucket: Bucket, model: str, *, to: str | None, by: str, reason: str) -> AliasRecord:
    """Point the champion at `to`, or at what served before the current one, by one more record.

    Raises:
        ConfigurationError: nothing served before, or `to` serves already.
    """
    log = AliasLog(bucket, model)
    current = log.current()
    if current is None:
        raise ConfigurationError(f"{model} has no champion yet, so there is nothing to roll back")
    target = to or previous(log, current)
    if target == current.version:
        raise ConfigurationError(f"{target} is the champion of {model} already; name another")
    _servable(bucket, model, target)
    return log.append(target, over=current.version, by=by, reason=reason, action="rolled back")


def previous(log: AliasLog, current: AliasRecord) -> str:
    """The version that a rollback returns to.

    Undoing follows the records backwards: what a promotion replaced comes back, and rolling back
    twice goes back twice instead of forth.
    """
    promoted_over = {
        record.version: record.previous for record in log.history() if record.action == "promoted"
    }
    target = promoted_over.get(current.version)
    if target is None:
        raise ConfigurationError(
            f"nothing served {log.model} before {current.version}; name a version with `to`"
        )
    return target


def _servable(bucket: Bucket, model: str, version: str) -> None:
    read_manifest(bucket, model, version)
    if not is_approved(bucket, model, version):
        raise ConfigurationError(
            f"{model} {version} is not approved; `overnight approve {model} {version}` first"
        )
