"""Approval: which decision lets a version serve, and who may promote it; every message whole."""

from typing import Literal

import pytest

from overnight.store.errors import OvernightError, RejectedVersion, UntrustedRecord
from overnight.store.objects import keys
from overnight.store.registry import approval
from overnight.store.registry.alias_log import Action, AliasRecord
from overnight.store.registry.approval import Approval, StoredDecision
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.decisions import Decision, Verdict
from overnight.store.trust import record_signatures
from overnight.store.trust.record_signatures import RecordSignature
from overnight.store.trust.signing import Signer
from tests.support.examples import AT, VERSION, manifest
from tests.support.signing_keys import GATES, IDENTITIES, PEOPLE, SERVING

KEY = keys.decision("digits", VERSION)
NAMED = {
    who: str(IDENTITIES.keys[each.key_id])
    for who, each in (("gates", GATES), ("people", PEOPLE), ("serving", SERVING))
}
SIGN = "if it is yours, `overnight keys sign digits` signs it; else find out who wrote it"
Approvals = Literal["automatic", "manual"]


def decision(verdict: Verdict = "approved") -> Decision:
    return Decision(
        model="digits", version=VERSION, verdict=verdict, by="ann", reason="ugly", at=AT
    )


def stored(body: bytes, beside: RecordSignature | None = None) -> StoredDecision:
    return StoredDecision(
        body, lambda key_id: beside if beside and key_id == beside.key_id else None
    )


def check(
    made_for: Approvals, found: StoredDecision | None, *, is_needed: bool = True
) -> Approval | None:
    made = manifest().model_copy(update={"approval": made_for})
    return approval.check(made, found, IDENTITIES, is_needed=is_needed)


@pytest.mark.parametrize(
    ("made_for", "by"), [("automatic", GATES), ("automatic", PEOPLE), ("manual", PEOPLE)]
)
def test_a_decision_by_a_key_with_the_right_counts_in_it_and_beside_it(
    made_for: Approvals, by: Signer
) -> None:
    inside, outside = decision().signed_by(by, KEY), decision().encoded()
    signature = record_signatures.sign(KEY, outside, by)
    assert inside.signed is not None

    assert check(made_for, stored(inside.encoded())) == Approval(inside.encoded(), inside.signed)
    assert check(made_for, stored(outside, signature)) == Approval(outside, signature)


@pytest.mark.parametrize(
    ("made_for", "by", "why"),
    [
        (
            "automatic",
            SERVING,
            (
                f"{KEY}: expected it to be signed with the right decisions or gates "
                f"(by {NAMED['gates']} or {NAMED['people']}), but {NAMED['serving']} signed it, "
                f"which may sign withdrawals only; {SIGN}"
            ),
        ),
        (
            "manual",
            GATES,
            (
                f"{KEY}: expected it to be signed with the right decisions (by {NAMED['people']}), "
                f"but {NAMED['gates']} signed it, which may sign versions,gates only; {SIGN}"
            ),
        ),
        (
            "manual",
            None,
            (
                f"{KEY}: expected it to be signed with the right decisions (by {NAMED['people']}), "
                f"but it is not signed; {SIGN}"
            ),
        ),
    ],
)
def test_a_decision_by_any_other_key_does_not(
    made_for: Approvals, by: Signer | None, why: str
) -> None:
    made = decision().signed_by(by, KEY) if by else decision()

    with pytest.raises(UntrustedRecord) as raised:
        check(made_for, stored(made.encoded()), is_needed=False)

    assert str(raised.value) == why


@pytest.mark.parametrize(
    ("made_for", "allowed"), [("automatic", "decisions or gates"), ("manual", "decisions")]
)
def test_a_version_without_a_decision_may_only_shadow(made_for: Approvals, allowed: str) -> None:
    assert check(made_for, None, is_needed=False) is None

    with pytest.raises(UntrustedRecord) as raised:
        check(made_for, None)

    assert str(raised.value) == (
        f"{KEY}: expected it to be signed with the right {allowed}, but nobody has decided about "
        f"it; `overnight approve digits {VERSION}`"
    )


@pytest.mark.parametrize("is_needed", [True, False])
def test_a_rejection_counts_without_a_signature(is_needed: bool) -> None:
    with pytest.raises(RejectedVersion) as raised:
        check("automatic", stored(decision("rejected").encoded()), is_needed=is_needed)

    assert str(raised.value) == (
        f"digits {VERSION} was rejected by ann (ugly) and never answers anything; "
        "name another version (`overnight versions digits`)"
    )


def test_what_is_no_decision_is_told_by_its_key() -> None:
    with pytest.raises(OvernightError) as raised:
        check("automatic", stored(b"?"))

    assert str(raised.value).startswith(f"{KEY}: expected a valid Decision, found no JSON;")


def record(
    alias: str = "champion", action: Action = "promoted", terms: Terms | None = None
) -> AliasRecord:
    return AliasRecord(
        model="digits",
        alias=alias,
        sequence=2,
        version=VERSION,
        previous=None,
        action=action,
        by="ann",
        reason="",
        at=AT,
        terms=terms,
    )


@pytest.mark.parametrize(
    ("pointed", "is_needed"),
    [
        (record(), True),
        (record(terms=Terms(mode="shadow")), True),
        (record("challenger", terms=Terms(mode="shadow")), False),
        (record("challenger", terms=Terms(mode="canary")), True),
        (record("challenger"), True),
    ],
)
def test_only_what_is_discarded_needs_no_approval(pointed: AliasRecord, is_needed: bool) -> None:
    assert approval.needs_approval(pointed) is is_needed


RECORD = keys.alias_record("digits", "champion", 2)


def promoter(made_for: Approvals, pointed: AliasRecord, by: Signer | None) -> None:
    made = manifest().model_copy(update={"approval": made_for})
    signed = pointed.signed_by(by, RECORD) if by else pointed
    approval.check_promoter(made, signed, IDENTITIES)


@pytest.mark.parametrize(
    ("made_for", "pointed", "by"),
    [
        ("automatic", record(), GATES),
        ("automatic", record(), None),
        ("manual", record(), PEOPLE),
        ("manual", record(action="rolled back"), GATES),
        ("manual", record("challenger", "started"), GATES),
    ],
)
def test_the_key_of_gates_promotes_what_waits_for_nobody(
    made_for: Approvals, pointed: AliasRecord, by: Signer | None
) -> None:
    promoter(made_for, pointed, by)


@pytest.mark.parametrize(("by", "who"), [(GATES, NAMED["gates"]), (None, "nobody")])
def test_a_version_that_waits_for_a_person_is_promoted_by_one(by: Signer | None, who: str) -> None:
    with pytest.raises(UntrustedRecord) as raised:
        promoter("manual", record(), by)

    assert str(raised.value) == (
        f"{RECORD}: expected it to be signed with the right aliases, but {who} signed it, and "
        f"{VERSION} awaits a person's approval; `overnight promote digits {VERSION}` if you want "
        "it to serve"
    )
