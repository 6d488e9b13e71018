"""Bodies of our own endpoints, made from the values that are served."""

import functools
from typing import Any

from pydantic import BaseModel

from serving.description.operation import ref
from serving.history import Summary
from serving.ledger import Refused
from store.aliases import AliasRecord
from store.decisions import Decision
from store.manifest import Finding, Measurement, Override
from store.schema import Forecast, TensorSpec
from store.scores import Score
from store.terms import Terms

_TEXT: dict[str, Any] = {"type": "string"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_SOME_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_SOME_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_SEVERAL_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}


@functools.cache
def schemas() -> dict[str, Any]:
    """Every schema of ours, by name; made once, so nobody may change what is in it."""
    return {
        "Problem": _PROBLEM,
        "TensorSpec": _of(TensorSpec),
        "Forecast": _forecast(),
        "Measurement": _of(Measurement),
        "Finding": _of(Finding),
        "Override": _of(Override),
        "Terms": _of(Terms),
        "Decision": _of(Decision, without=("model", "version")),
        "Refused": _of(Refused, without=("acknowledged",)),
        "AliasRecord": _of(AliasRecord, without=("format", "id"), optional=("model",)),
        "Version": _version(),
        "Challenger": _CHALLENGER,
        "Model": _MODEL,
        "Models": _list("models", "Model"),
        "Score": _of(Score, without=("format", "model")),
        "History": _object(
            {
                "records": {"type": "array", "items": ref("AliasRecord")},
                "scores": {"type": "array", "items": ref("Score")},
            }
        ),
        "Versions": _list("versions", "Version"),
        "Examples": _EXAMPLES,
        "Traffic": _TRAFFIC,
        "Written": _object({"record": ref("AliasRecord")}),
        "Rollback": _object({"reason": _REASON}, expected=_VERSION, to=_VERSION),
        "Stop": _object({"reason": _REASON}, expected=_VERSION),
        "Challenge": _challenge(),
    }


def _of(
    value: type[BaseModel], *, without: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The schema of a value as it is told, by pydantic; values within it by reference."""
    template = "#/components/schemas/{model}"
    found = value.model_json_schema(mode="serialization", ref_template=template)
    found.pop("$defs", None)
    for name in without:
        del found["properties"][name]
    left_out = {*without, *optional}
    found["required"] = [name for name in found.get("required", []) if name not in left_out]
    return found


def _version() -> dict[str, Any]:
    found = _of(Summary)
    found["properties"] |= {
        "report": _SOME_TEXT | {"description": "where its report can be read here"},
        "loaded": {"type": "boolean"},
        "champion": {"type": "boolean"},
    }
    found["required"] += ["loaded", "champion"]
    return found


def _forecast() -> dict[str, Any]:
    found = _of(Forecast)
    middle = _WHOLE | {"description": "place of the quantile that is the forecast"}
    found["properties"] |= {"middle": middle}
    return found


def _challenge() -> dict[str, Any]:
    terms = Terms.model_json_schema()
    needed = {"version": _VERSION, "reason": _REASON, "mode": terms["properties"]["mode"]}
    return _object(needed, **{name: terms["properties"][name] for name in terms["properties"]})


def _list(name: str, schema: str) -> dict[str, Any]:
    return _object({name: {"type": "array", "items": ref(schema)}})


def _object(needed: dict[str, Any], **optional: Any) -> dict[str, Any]:
    properties = {**optional, **needed}
    return {"type": "object", "required": list(needed), "properties": properties}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_REASON = {"type": "string", "minLength": 1, "maxLength": 500, "pattern": r"\S"}
_VERSION = {"type": "string", "pattern": "^[0-9]{8}T[0-9]{6}-[0-9a-f]{12}$"}
_PROBLEM = _object(
    {
        "type": {"const": "about:blank"},
        "title": _TEXT,
        "status": _WHOLE,
        "detail": _TEXT,
        "instance": _TEXT,
    }
)
_CHALLENGER = _object(
    {
        "version": _TEXT,
        "mode": {"enum": ["shadow", "canary"]},
        "share": {"type": "number"},
        "since": {"type": "string", "format": "date-time"},
        "by": _TEXT,
        "reason": _TEXT,
        "requests": _WHOLE,
        "errors": _WHOLE,
        "compared": _WHOLE,
        "disagreements": {"type": "number"},
        "dropped": _WHOLE,
        "slowdown": _SOME_NUMBER,
        "withdrawn": _SOME_TEXT | {"description": "why it was, if it was"},
    }
)
_MODEL = _object(
    {
        "name": _TEXT,
        "ready": {"type": "boolean"},
        "version": _SOME_TEXT,
        "loaded": _SEVERAL_TEXTS,
        "challenger": _or_null(ref("Challenger")),
        "refused": {"type": "array", "items": ref("Refused")},
        "last_sync_age_seconds": _SOME_NUMBER,
        "sync_error": _SOME_TEXT,
        "load_error": _SOME_TEXT,
    },
    trained_at={"type": "string", "format": "date-time"},
    trained_on_rows=_WHOLE,
    accuracy=_SOME_NUMBER,
    accuracy_low=_SOME_NUMBER,
    accuracy_high=_SOME_NUMBER,
    holdout_rows=_WHOLE,
    run=_TEXT,
    run_url=_TEXT,
    labels=_SEVERAL_TEXTS,
    inputs={"type": "array", "items": ref("TensorSpec")},
    outputs={"type": "array", "items": ref("TensorSpec")},
    forecast=_or_null(ref("Forecast")),
    alias=_or_null(ref("AliasRecord")),
)
_EXAMPLES = _object(
    {
        "inputs": {
            "type": "array",
            "items": _object(
                {
                    "name": _TEXT,
                    "datatype": _TEXT,
                    "shape": {"type": "array", "items": _WHOLE},
                    "data": {"type": "array", "description": "row-major and flat"},
                }
            ),
        }
    }
)
_SERIES = {"type": "array", "items": _SOME_NUMBER, "description": "60 buckets, oldest first"}
_TRAFFIC = _object(
    {
        "bucket_seconds": _WHOLE,
        "models": {
            "type": "object",
            "additionalProperties": _object(
                dict.fromkeys(
                    ("requests_per_second", "p50_ms", "p99_ms", "errors_per_second"), _SERIES
                )
            ),
        },
    }
)
