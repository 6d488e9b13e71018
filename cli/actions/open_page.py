"""`overnight open`: the page of serving in a browser."""

import json
import webbrowser

import httpx

from overnight.cli.terminal import open_console
from overnight.infra.errors import ServingRefused, ServingUnavailable
from overnight.infra.settings import load
from overnight.models.errors import UnknownModel
from overnight.store.objects.proxies import Proxy

_TIMEOUT_SECONDS = 10.0


def run(model: str | None, *, browse: bool) -> None:
    """Print the address of the page, and open it where `browse` and the output is a terminal.

    Raises:
        UnknownModel: serving has no such model.
        ServingUnavailable, ServingRefused
    """
    settings = load()
    address = settings.answers_url
    known = _models(address, settings.proxy_of(address))
    if model is not None and model not in known:
        raise UnknownModel(model, known)
    url = f"{address}/#{model}" if model else f"{address}/"
    print(url)
    if browse and open_console().is_terminal:
        webbrowser.open(url)


def _models(address: str, proxy: Proxy | None) -> tuple[str, ...]:
    """The models that serving follows; asked first, because a browser shows a worse error."""
    url = f"{address}/api/models"
    try:
        response = httpx.get(url, timeout=_TIMEOUT_SECONDS)
        if response.is_error:
            raise ServingRefused(f"serving refused {url} ({response.status_code})")
        document = response.json()
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        through = f", through {proxy}" if proxy is not None else ""
        raise ServingUnavailable(url, f"{error}{through}") from None
    return tuple(model["name"] for model in document["models"])
