"""Prefect's REST API, as far as we need it.

Importing Prefect's own client costs two to three seconds of CPU; these requests cost none.
"""

import base64
import json
import time
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError

from overnight.infra.errors import OrchestratorRefused, OrchestratorUnavailable

Document = dict[str, Any]
TIMEOUT_SECONDS = 15.0
_BUSY_PAUSES_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0)


class PrefectApi:
    """One Prefect server. Requests raise OrchestratorUnavailable or OrchestratorRefused."""

    def __init__(
        self, url: str, *, auth: str = "", timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        """`auth` is the server's `user:password`, nothing where it asks for none."""
        self.url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", "X-PREFECT-API-VERSION": "0.8.4"}
        if auth:
            self._headers["Authorization"] = f"Basic {base64.b64encode(auth.encode()).decode()}"
        self._timeout_seconds = timeout_seconds

    def is_healthy(self) -> bool:
        """Whether the server answers that it is well."""
        try:
            return self._ask("GET", "/health", None) is True
        except (OrchestratorUnavailable, OrchestratorRefused):
            return False

    def find(self, path: str) -> Document | None:
        """One thing, or None when there is none."""
        try:
            found: Document = self.ask("GET", path)
        except OrchestratorRefused as refused:
            if refused.status == 404:
                return None
            raise
        return found

    def filter(self, path: str, **criteria: object) -> list[Document]:
        """The things that meet some criteria, as `POST …/filter` takes them."""
        found: list[Document] = self.ask("POST", f"{path}/filter", criteria)
        return found

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """One request and its JSON answer, None when it has no body.

        Asked again while the server answers 503: its database was locked for a moment.
        """
        for pause_seconds in _BUSY_PAUSES_SECONDS:
            try:
                return self._ask(method, path, body)
            except OrchestratorRefused as refused:
                if refused.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise
                time.sleep(pause_seconds)
        return self._ask(method, path, body)

    def _ask(self, method: str, path: str, body: object) -> Any:
        request = urllib.request.Request(  # noqa: S310  settings allow http and https only
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers=self._headers,
        )
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as response:  # noqa: S310
                answer = response.read()
            return json.loads(answer) if answer else None
        except HTTPError as error:
            why = _worded(error)
            raise OrchestratorRefused(f"{method} {path}", status=error.code, why=why) from None
        # A server that dies while it answers cuts its answer, and a proxy may answer for it.
        except (URLError, OSError, HTTPException, ValueError) as error:
            why = str(getattr(error, "reason", error))
            raise OrchestratorUnavailable(self.url, why) from None


def _worded(error: HTTPError) -> str:
    """What the server says was wrong, without its wrapping."""
    try:
        body = error.read()
    except (OSError, HTTPException):
        return str(error.reason)
    try:
        document = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")[:300]
    detail = document.get("detail", document) if isinstance(document, dict) else document
    return detail if isinstance(detail, str) else json.dumps(detail)[:300]
