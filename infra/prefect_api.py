"""Client of Prefect's REST API, for the few requests that we need.

Importing Prefect's own client costs two to three seconds of CPU, importing httpx a tenth of one; it
is imported by the first request, so that commands that send none do not pay for it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from overnight.infra.errors import OrchestratorRefused, OrchestratorUnavailable
from overnight.infra.formats import is_loopback

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from overnight.store.objects.proxies import Proxy

Document = dict[str, Any]
TIMEOUT_SECONDS = 15.0
# Of every deployment of ours, and so of its runs.
TAG = "overnight"
_BUSY_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)


class PrefectApi:
    """One Prefect server. Requests raise OrchestratorUnavailable or OrchestratorRefused."""

    def __init__(
        self,
        url: str,
        *,
        auth: str = "",
        timeout_seconds: float = TIMEOUT_SECONDS,
        busy_pauses_seconds: Sequence[float] = _BUSY_PAUSES_SECONDS,
        proxy: Proxy | None = None,
    ) -> None:
        """`auth` is the server's `user:password`, or empty where it has no authentication.

        `busy_pauses_seconds`: the pause before each further try while its database is locked.
        `proxy`: the one that the environment puts between, for errors to name.
        """
        self.url, self._proxy = url.rstrip("/"), proxy
        self._busy_pauses_seconds = busy_pauses_seconds
        user, _, password = auth.partition(":")
        self._options: dict[str, Any] = {
            "headers": {"X-PREFECT-API-VERSION": "0.8.4"},
            "auth": (user, password) if auth else None,
            "timeout": timeout_seconds,
            "follow_redirects": True,
            # No proxy can reach the loopback addresses of this machine.
            "trust_env": not is_loopback(urlsplit(self.url).hostname or ""),
        }

    def is_healthy(self) -> bool:
        """Whether the server reports that it is healthy; never retried."""
        try:
            return self._send("GET", "/health", None) is True
        except (OrchestratorUnavailable, OrchestratorRefused):
            return False

    def find(self, path: str) -> Document | None:
        """The document at a path, or None when the server has none."""
        try:
            document: Document = self.request("GET", path)
        except OrchestratorRefused as refused:
            if refused.status == 404:
                return None
            raise
        return document

    def filter(self, path: str, **criteria: object) -> list[Document]:
        """The documents that meet some criteria, as `POST …/filter` takes them."""
        documents: list[Document] = self.request("POST", f"{path}/filter", criteria)
        return documents

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send one request with a JSON body; return its JSON answer, None when it has no body."""
        for pause_seconds in self._busy_pauses_seconds:
            try:
                return self._send(method, path, body)
            except OrchestratorRefused as refused:
                # Prefect answers 503 while its SQLite database is locked, which passes.
                if refused.status != 503:
                    raise
                time.sleep(pause_seconds)
        return self._send(method, path, body)

    def _send(self, method: str, path: str, body: object) -> Any:
        import httpx

        try:
            # Streamed, because the status of a refusal counts even when its body is cut off.
            with httpx.stream(method, self.url + path, json=body, **self._options) as response:
                if response.is_error:
                    why, status = _reason(response), response.status_code
                    if self._proxy is not None and not _is_json(response):
                        raise OrchestratorUnavailable(self.url, f"{self._proxy} answered {status}")
                    raise OrchestratorRefused(f"{method} {path}", status=status, why=why)
                content = response.read()
            return json.loads(content) if content else None
        # A server that dies while it answers cuts its answer, and a proxy may answer for it.
        except (httpx.HTTPError, ValueError) as error:
            through = f", through {self._proxy}" if self._proxy is not None else ""
            raise OrchestratorUnavailable(self.url, f"{error}{through}") from None


def _is_json(response: httpx.Response) -> bool:
    """Whether Prefect may have written a response; what proxies write by themselves is a page."""
    return "json" in response.headers.get("content-type", "")


def _reason(response: httpx.Response) -> str:
    """The server's own explanation of an error, without the JSON around it."""
    import httpx

    try:
        response.read()
        document = response.json()
    except httpx.HTTPError:
        return response.reason_phrase
    except ValueError:
        return response.text[:300]
    detail = document
    if isinstance(document, dict):
        detail = document.get("detail", document.get("exception_message", document))
    return detail if isinstance(detail, str) else json.dumps(detail)[:300]
