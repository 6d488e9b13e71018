"""`overnight holdout`: the sets of a frozen holdout, and a new one."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from overnight.cli.runs.exit_codes import REFUSED
from overnight.cli.runs.follow import user
from overnight.cli.terminal import new_table, open_console
from overnight.flows.run.context import ModelContext
from overnight.store.datasets.holdout_sets import HoldoutSet, Renewal, holdout_sets, judging, verify
from overnight.store.errors import ConfigurationError, UntrustedRecord
from overnight.store.registry.actor import Actor
from overnight.store.trust.request_proof import format_actor
from overnight.tasks.data.renew_holdout import HoldoutRenewal, check_days
from overnight.tasks.errors import HoldoutNotRenewed


def show(model: str, *, as_json: bool) -> None:
    """Print every set, whether it judges now, and who renewed the holdout and why.

    Raises:
        UnknownModel, StoreUnavailable
    """
    context = ModelContext.open(model)
    sets = holdout_sets(context.holdout)
    names = {each.name for each in judging(sets, datetime.now(UTC))}
    if as_json:
        print(json.dumps([_as_json(context, each, names) for each in sets], indent=2))
        return
    console = open_console()
    if context.definition.moving_holdout is not None:
        days = context.definition.moving_holdout.days
        console.print(f"The newest {days} days of each snapshot of {model} judge its versions.")
        return
    table = new_table("set", "rows", "judges", "since", "by", "reason")
    for each in reversed(sets):
        document = _as_json(context, each, names)
        table.add_row(*(str(document[name]) for name in _COLUMNS))
    console.print(table)


_COLUMNS = ("name", "rows", "judges", "since", "by", "reason")


def _as_json(context: ModelContext, each: HoldoutSet, judges: set[str]) -> dict[str, object]:
    renewal = each.renewal
    if renewal is None:
        rows = context.holdout.read(each.version, ["digest"]).num_rows
        facts: dict[str, object] = {"rows": rows, "since": "", "by": "the source", "reason": ""}
    else:
        facts = {
            "rows": renewal.rows,
            "since": renewal.at.isoformat(timespec="seconds"),
            "by": format_actor(renewal.by, authenticated=renewal.authenticated),
            "reason": renewal.reason,
            "both_until": renewal.both_until.isoformat(timespec="seconds"),
            "signed_by": _signer(context, each),
        }
    return {"name": each.name, "judges": each.name in judges, **facts}


def _signer(context: ModelContext, each: HoldoutSet) -> str:
    try:
        verify([each], context.registry.trust) if context.registry.trust is not None else None
    except (UntrustedRecord, ConfigurationError) as error:
        return f"nobody who counts here: {error}"
    signed = each.renewal.signed if each.renewal else None
    return signed.key_id if signed else "nobody"


def renew(model: str, *, rows: int | None, file: Path | None, days: int, reason: str) -> None:
    """Add a set; exits with 3 where its rows cannot judge.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied
        ConfigurationError: there is no key to sign with.
    """
    check_days(days)
    # Decides what judges, as approvals do: with the credentials and the key of administration.
    context = ModelContext.open(model, "administration")
    champion = context.registry.champion_version()
    renewal = HoldoutRenewal(
        context.definition,
        context.rows,
        context.holdout,
        learned=context.registry.manifest(champion).data if champion else None,
        excluded=context.reviews.excluded(),
        actor=Actor(user(), reason),
        both_for_days=days,
        now=datetime.now(UTC),
    )
    signer = context.record_signer
    try:
        if file is None:
            kept = renewal.from_arrivals(rows or 0, signer)
        else:
            kept = renewal.from_rows(_read(context, file), file.name, signer)
    except HoldoutNotRenewed as error:
        print(error, file=sys.stderr)
        sys.exit(REFUSED)
    print(_kept(kept))


def _read(context: ModelContext, file: Path) -> pa.Table:
    """The rows of a file by the source's own reader.

    Raises:
        HoldoutNotRenewed: it cannot be read, or a line of it cannot.
    """
    try:
        body = file.read_bytes()
    except OSError as error:
        raise HoldoutNotRenewed(context.model, f"{file}: {error.strerror}") from None
    reading = context.source.read({file.name: body})
    # Frozen as it is for ever, so that nothing may be left out of it.
    for bad in reading.rejected:
        raise HoldoutNotRenewed(context.model, str(bad))
    return reading.rows


def _kept(renewal: Renewal) -> str:
    return (
        f"{renewal.name} of {renewal.model}: its {renewal.rows:,} rows judge from now on, with "
        f"the set before until {renewal.both_until:%Y-%m-%d %H:%M} UTC; none of them is learned"
    )
