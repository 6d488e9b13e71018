"""One thing that can be asked: where, with what, and everything that may be answered."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

JSON, PROBLEM = "application/json", "application/problem+json"
HTML, TEXT = "text/html", "text/plain"

Form = Literal["Error", "Problem"]

# What each refusal means here; 500 is a fault of ours, told in the log.
REFUSALS: Mapping[int, str] = {
    400: "The request cannot be answered as it stands: which field, what was expected and found.",
    401: "A key or a token is needed, or the one that came is not known.",
    403: "Nobody may do this here; says why.",
    404: "No such model, version or label is here; says which are.",
    409: "Somebody else was faster, or the state does not allow it; says who, or why.",
    413: "Over a limit: bytes of the body, rows of a batch, or pixels; says which.",
    415: "A body of a kind, or compressed in a way, that is not read here.",
    429: "This client asks too often; `Retry-After` says when to ask again.",
    500: "A fault of this server; its log says why.",
    503: "Not now: no version is loaded yet, too many ask, or the store is away.",
}
_HEADERS: Mapping[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
# Whatever comes in past the entrance may be refused there, and everything may meet a fault.
ENTRANCE = (429, 500, 503)
BODY = (400, 413, 415)


@dataclass(frozen=True)
class Sample:
    """A program or command that can be copied and run."""

    language: Literal["Shell", "Python"]
    label: str
    source: str


@dataclass(frozen=True)
class Answer:
    """What comes back: what it means, its bodies by media type, and the headers it always has."""

    told: str
    content: Mapping[str, Any] = field(default_factory=dict)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """One method of one address. `content` is the request's body by media type."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    told: str
    answers: Mapping[int, Answer]
    refusals: tuple[int, ...] = ENTRANCE
    content: Mapping[str, Any] = field(default_factory=dict)
    is_body_needed: bool = True
    headers: tuple[str, ...] = ()
    security: Sequence[Mapping[str, list[str]]] = ()
    samples: Sequence[Sample] = ()

    @property
    def form(self) -> Form:
        """How a refusal is worded: the protocols' way at their addresses, ours at ours."""
        return "Error" if self.path.startswith(("/v1", "/v2")) else "Problem"

    def told_as_openapi(self) -> dict[str, Any]:
        """The operation object of OpenAPI 3.1."""
        parameters = [*re.findall(r"{(\w+)}", self.path), *self.headers]
        told: dict[str, Any] = {
            "operationId": self.name,
            "tags": [self.tag],
            "summary": self.summary,
            "description": self.told,
            "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in parameters],
            "responses": self._responses(),
            "security": list(self.security),
            "x-codeSamples": [
                {"lang": one.language, "label": one.label, "source": one.source}
                for one in self.samples
            ],
        }
        if self.content:
            told["requestBody"] = {"required": self.is_body_needed, "content": dict(self.content)}
        return told

    def _responses(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            str(status): _response(answer) for status, answer in self.answers.items()
        }
        for status in sorted(set(self.refusals) - set(self.answers)):
            found[str(status)] = {"$ref": f"#/components/responses/{self.form}{status}"}
        return found


def json_of(schema: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """One JSON body."""
    return {JSON: {"schema": dict(schema), **more}}


def ref(name: str) -> dict[str, str]:
    """A schema by name."""
    return {"$ref": f"#/components/schemas/{name}"}


def refusal_responses() -> dict[str, Any]:
    """Every refusal in both forms, to be referred to."""
    kinds: dict[Form, str] = {"Error": JSON, "Problem": PROBLEM}
    return {
        f"{form}{status}": _response(
            Answer(
                f"{HTTPStatus(status).phrase}. {told}",
                {kind: {"schema": ref(form)}},
                _HEADERS.get(status, ()),
            )
        )
        for form, kind in kinds.items()
        for status, told in REFUSALS.items()
    }


def _response(answer: Answer) -> dict[str, Any]:
    headers = [*answer.headers, "X-Request-Id"]
    return {
        "description": answer.told,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": dict(answer.content),
    }
