"""`overnight feedback`: send the labels of a file to serving, and report what was not taken."""

import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from overnight.cli.actions.labels.label_rows import LabelRow, label_rows
from overnight.cli.actions.predict import NothingServed
from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import open_console, progress_bars
from overnight.infra.errors import ServingRefused, ServingUnavailable
from overnight.infra.settings import Settings, load
from overnight.store.printable import printable

_BLOCK_ROWS = 500
_TIMEOUT_SECONDS = 60.0
_TRIES = 6
# A longer wait is not for a terminal: the limit of a day, for example.
_LONGEST_WAIT_SECONDS = 60.0
_LISTED = 10_000
# Of refusals for one reason: a wrong column refuses every row.
_PRINTED = 10
_OK, _BAD, _UNAUTHORIZED, _UNKNOWN, _TOO_MUCH = 200, 400, 401, 404, 413
_RETRY = {429, 503}


def run(
    model: str, file: Path, *, as_json: bool, wait: Callable[[float], None] = time.sleep
) -> int:
    """Send every label of a file; returns the exit code: 1 where some were not taken, 4 of none.

    Labels that are not taken are named by their lines on standard error, and cost the others
    nothing. Sending a file again is harmless: the same label of the same answer counts once.

    Raises:
        BadFile: the file cannot be read.
        ServingUnavailable, ServingRefused: no label can be sent.
    """
    settings = load()
    sending = _Sending(model, settings.answers_url, _headers(settings), wait)
    classes = sending.classes()
    size = file.stat().st_size
    with progress_bars() as report:
        rows = label_rows(file, classes)
        while not sending.stopped and (block := list(itertools.islice(rows, _BLOCK_ROWS))):
            sending.send(block)
            report(file.name, block[-1].read_bytes, size)
        report(file.name, size, size)
    sending.print_more()
    _print(sending, file, as_json=as_json)
    if not (sending.accepted or sending.failed or sending.stopped):
        return NOTHING_TO_DO
    return 1 if sending.failed or sending.stopped else 0


@dataclass
class _Sending:
    """Sends labels to one model, and counts what became of them."""

    model: str
    address: str
    headers: Mapping[str, str]
    wait: Callable[[float], None]
    accepted: int = 0
    failed: int = 0
    stopped: str = ""
    refused: list[dict[str, Any]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def classes(self) -> Sequence[str]:
        """The classes of the first output; empty where it is a number.

        Raises:
            ServingUnavailable, ServingRefused: no version of the model serves there.
        """
        response = self._request("GET", f"/api/models/{self.model}")
        if response.status_code == _UNKNOWN:
            models = self._checked(self._request("GET", "/api/models"))
            raise NothingServed(self.model, self.address, models)
        details = self._checked(response)
        return details.get("labels") or ()

    def send(self, rows: Sequence[LabelRow]) -> None:
        """Send some labels together; those that the server does not take are reported."""
        for row in rows:
            if row.problem:
                self._fail(row.line, row.problem)
        labels = [row for row in rows if not row.problem]
        if labels and not self.stopped:
            self._send(labels)

    def _send(self, rows: Sequence[LabelRow]) -> None:
        body = {"origin": "file", "labels": [row.label for row in rows]}
        response = self._patiently(body)
        if response.status_code == _TOO_MUCH and len(rows) > 1:
            half = len(rows) // 2
            self.send(rows[:half])
            self.send(rows[half:])
            return
        if response.status_code in _RETRY:
            self.stopped = f"stopped before line {rows[0].line}: {_reason(response)}"
            return
        outcome = self._checked(response)
        self.accepted += outcome["accepted"]
        for each in outcome["refused"]:
            self._fail(rows[each["label"]].line, each["error"])

    def _patiently(self, body: Mapping[str, Any]) -> httpx.Response:
        """The answer to some labels; asked again where the server wants a moment."""
        path = f"/api/models/{self.model}/feedback"
        for _ in range(_TRIES - 1):
            response = self._request("POST", path, body)
            seconds = _seconds(response)
            if response.status_code not in _RETRY or seconds > _LONGEST_WAIT_SECONDS:
                return response
            self.wait(seconds)
        return self._request("POST", path, body)

    def _fail(self, line: int, why: str) -> None:
        self.failed += 1
        if len(self.refused) < _LISTED:
            self.refused.append({"line": line, "error": why})
        self.reasons[why] += 1
        if self.reasons[why] <= _PRINTED:
            print(printable(f"line {line}: {why}"), file=sys.stderr)

    def print_more(self) -> None:
        """How many refusals were not printed, by reason."""
        for why, count in self.reasons.items():
            if count > _PRINTED:
                print(printable(f"and {count - _PRINTED:,} more: {why}"), file=sys.stderr)

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        url = f"{self.address}{path}"
        try:
            return httpx.request(
                method, url, json=body, headers=dict(self.headers), timeout=_TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            raise ServingUnavailable(url, f"{error}") from None

    def _checked(self, response: httpx.Response) -> dict[str, Any]:
        """The JSON of an answer; also of one that took no label, with the reason for each.

        Raises:
            ServingRefused: with the server's reason.
        """
        content = _json(response)
        is_report = response.status_code == _BAD and "refused" in content
        if response.status_code == _OK or is_report:
            return content
        hint = ""
        if response.status_code == _UNAUTHORIZED:
            hint = "; set OVERNIGHT_ADMIN_TOKEN to a token that the server knows"
        why = f"({response.status_code}): {_reason(response)}{hint}"
        raise ServingRefused(f"serving refused {response.url} {why}")


def _headers(settings: Settings) -> dict[str, str]:
    """A token, where one is set: labels of clients that are known count as such."""
    token = settings.admin_token.get_secret_value()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _reason(response: httpx.Response) -> str:
    content = _json(response)
    return str(content.get("detail") or content.get("error") or response.text[:300])


def _seconds(response: httpx.Response) -> float:
    sent = response.headers.get("Retry-After", "")
    return float(sent) if sent.isdigit() else 1.0


def _print(sending: _Sending, file: Path, *, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "model": sending.model,
                    "file": str(file),
                    "accepted": sending.accepted,
                    "refused": sending.failed,
                    "lines": sending.refused,
                    "stopped": sending.stopped,
                },
                indent=2,
            )
        )
        return
    console = open_console()
    if not (sending.accepted or sending.failed or sending.stopped):
        console.print(f"nothing to do: {file} has no label")
        return
    console.print(f"{sending.accepted:,} labels accepted, {sending.failed:,} refused")
    if sending.stopped:
        console.print(f"{sending.stopped}; send the file again later: a label counts once")
