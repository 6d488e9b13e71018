"""Who may change what answers here."""

from typing import cast

from flask import current_app, request

from overnight.serving.errors import AdministrationClosed, UnknownToken
from overnight.serving.rest.middleware.token_auth import Tokens, bearer, key_of


def administrator() -> str:
    """The name of the administrator whose token the current request carries.

    Raises:
        AdministrationClosed: nobody can administer here; says which setting would change that.
        UnknownToken: no token, or none that is known.
    """
    tokens = cast("Tokens", current_app.extensions["administrators"])
    if not tokens.configured:
        raise AdministrationClosed
    name = tokens.name_of(bearer(request.headers.get("Authorization", "")))
    if name is None:
        raise UnknownToken("administration needs a token")
    return name


def may_hear_names() -> bool:
    """Whether whoever asks may hear of models and their troubles: no key is needed, or it came."""
    keys = cast("Tokens", current_app.extensions["keys"])
    administrators = cast("Tokens", current_app.extensions["administrators"])
    key = key_of(request.environ)
    return not keys.configured or bool(keys.name_of(key) or administrators.name_of(key))
