"""Authenticated or claimed identity of the person who requests a run."""

from collections.abc import Mapping
from datetime import UTC, datetime

from overnight.flows.run.context import ModelContext
from overnight.infra.settings import Settings
from overnight.store.errors import ConfigurationError, Unauthenticated
from overnight.store.registry.actor import Actor
from overnight.store.trust.request_proof import Plain, Statement, verify_statement
from overnight.store.trust.tokens import Token, parse

_OPERATOR = "operator"


def authenticate(
    context: ModelContext,
    act: str,
    *,
    requested_by: str,
    proof: str,
    statement: Mapping[str, Plain],
    verb: str,
    manual: bool = False,
) -> Actor:
    """The person who acts in a run: the owner of the token that made the proof, or a claimed name.

    Without a reason in `statement` the record gets `verb` and the name. For a model with manual
    approval, and for a `manual` version, a claim is not enough where any token is known to this
    worker, such as the one that `overnight up` made.

    Raises:
        Unauthenticated: the proof is not valid, or there is none where it is needed.
        ConfigurationError: the file of tokens cannot be used.
    """
    tokens, name = _known_tokens(context.settings), requested_by
    # Without known tokens no proof can be verified, and every name is a claim.
    authenticated = bool(proof and tokens)
    if authenticated:
        name = verify_statement(
            proof, Statement(act, context.model, statement), tokens, now=datetime.now(UTC)
        )
    elif tokens and (manual or context.definition.approval == "manual"):
        raise Unauthenticated(
            f"{requested_by!r} is only claimed, and people decide about {context.model}"
        )
    return Actor(name, str(statement["reason"] or f"{verb} by {name}"), authenticated)


def is_manual(context: ModelContext, version: str) -> bool:
    """Whether a version was made for manual approval, whatever its model declares by now.

    Raises:
        UnknownVersion, CorruptVersion: there is no such version.
    """
    return context.registry.manifest(version).approval == "manual"


def _known_tokens(settings: Settings) -> tuple[Token, ...]:
    token = settings.admin_token.get_secret_value()
    own = (Token(_OPERATOR, token),) if token else ()
    file = settings.admin_tokens_file
    if file is None:
        return own
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"OVERNIGHT_ADMIN_TOKENS_FILE: {file} cannot be read; expected one `name token` a line"
        ) from None
    where = f"OVERNIGHT_ADMIN_TOKENS_FILE: line {{number}} of {file}"
    return own + parse(text, where=where)
