"""Who says so: a word that a token proves, or a name that somebody typed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.house import House
from infra.settings import Settings
from store.errors import ConfigurationError, NotProved
from store.registry.registry import ModelRegistry
from store.request_proof import Plain, Said, prover
from store.tokens import Token, parse

_OPERATOR = "operator"


@dataclass(frozen=True)
class Word:
    """Whose word it is; `proved` when a token showed it."""

    by: str
    proved: bool = False


def word_of(
    house: House,
    act: str,
    *,
    by: str,
    proof: str,
    said: Mapping[str, Plain],
    manual: bool = False,
) -> Word:
    """Whose word a run acts on: the prover's, or else whoever `by` claims.

    About a model that people decide about, and about a `manual` version, a claim is not enough
    where any token is known here, such as the one that `overnight up` made.

    Raises:
        NotProved: the proof does not hold, or there is none where it is needed.
        ConfigurationError: the file of tokens cannot be used.
    """
    known = _known(house.settings)
    if proof and known:
        name = prover(proof, Said(act, house.model, said), known, now=datetime.now(UTC))
        return Word(name, proved=True)
    if known and (manual or house.definition.approval == "manual"):
        raise NotProved(f"{by!r} is only claimed, and people decide about {house.model}")
    return Word(by)


def for_people(house: House, version: str) -> bool:
    """Whether a version waits, or waited, for a person, whatever its model declares by now.

    Raises:
        UnknownVersion, CorruptVersion: there is no such version.
    """
    return ModelRegistry(house.bucket, house.model).manifest(version).approval == "manual"


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
