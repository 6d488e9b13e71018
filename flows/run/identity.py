"""Authenticated or claimed identity of whoever asks for a run."""

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
    by: str,
    proof: str,
    said: Mapping[str, Plain],
    verb: str,
    manual: bool = False,
) -> Actor:
    """Who acts in a run, and why: whoever the proof is of, or else whoever `by` claims to be.

    Without a reason among `said` the record gets `verb` and the name. About a model that people
    decide about, and about a `manual` version, a claim is not enough where any token is known
    here, such as the one that `overnight up` made.

    Raises:
        NotProved: the proof does not hold, or there is none where it is needed.
        ConfigurationError: the file of tokens cannot be used.
    """
    known, name = _known(context.settings), by
    authenticated = bool(proof and known)
    if authenticated:
        name = verify_statement(
            proof, Statement(act, context.model, said), known, now=datetime.now(UTC)
        )
    elif known and (manual or context.definition.approval == "manual"):
        raise Unauthenticated(f"{by!r} is only claimed, and people decide about {context.model}")
    return Actor(name, str(said["reason"] or f"{verb} by {name}"), authenticated)


def is_manual(context: ModelContext, version: str) -> bool:
    """Whether a version waits, or waited, for a person, whatever its model declares by now.

    Raises:
        UnknownVersion, CorruptVersion: there is no such version.
    """
    return context.registry.manifest(version).approval == "manual"


def _known(settings: Settings) -> tuple[Token, ...]:
    token = settings.admin_token.get_secret_value()
    given = (Token(_OPERATOR, token),) if token else ()
    file = settings.admin_tokens_file
    if file is None:
        return given
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"OVERNIGHT_ADMIN_TOKENS_FILE: {file} cannot be read; expected one `name token` a line"
        ) from None
    where = f"OVERNIGHT_ADMIN_TOKENS_FILE: line {{number}} of {file}"
    return given + parse(text, where=where)
