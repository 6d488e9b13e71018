"""The OpenAPI 3.1 document: `openapi.yaml`, completed for one server and its models."""

import functools
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from overnight import __version__
from overnight.serving.history.local_copy import VersionSummary
from overnight.serving.host.alias_state import RefusedVersion
from overnight.serving.inference.codecs.v1_json import has_classes
from overnight.serving.inference.signatures import InputSignature
from overnight.serving.rest.invoked_model import INVOCATIONS
from overnight.serving.rest.openapi import examples, model_schemas
from overnight.serving.rest.openapi.code_samples import code_samples
from overnight.serving.rest.openapi.context import ApiContext, Served
from overnight.store.datasets.arrival_reviews import PendingReview
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.pictures.declaration import Picture
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.decision import Decision
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import Finding, Measurement, Override
from overnight.store.registry.monitoring import (
    Alarm,
    Consequence,
    DetectorState,
    LiveDistance,
    LiveQuality,
    MonitorRecord,
)
from overnight.store.registry.runs import RunRecord
from overnight.store.schema import Forecast, TensorSpec

# Stored records that the API returns, each with the fields that are left out.
_RECORDS: dict[type[BaseModel], tuple[str, ...]] = {
    AliasRecord: ("format", "id", "signed"),
    Decision: ("model", "version", "signed"),
    Finding: (),
    Forecast: (),
    InputSignature: (),
    Measurement: (),
    Alarm: (),
    Consequence: (),
    DetectorState: (),
    LiveDistance: (),
    LiveQuality: (),
    MonitorRecord: ("format", "id", "model"),
    PendingReview: ("model",),
    RunRecord: ("format", "model", "due"),
    Missing: (),
    Override: (),
    Picture: (),
    RefusedVersion: ("acknowledged",),
    Score: ("format", "model"),
    VersionSummary: ("report",),
    TensorSpec: (),
    TextEncoding: (),
    Terms: (),
}
# Operations whose bodies are those of one model, by the end of their paths.
_FORMS = {"/infer": "v2", ":predict": "v1", ":classify": "classify"}
_MODEL = {"$ref": "#/components/parameters/model"}
_ERROR_HEADERS = {401: "WWW-Authenticate", 429: "Retry-After", 503: "Retry-After"}


def document(context: ApiContext) -> dict[str, Any]:
    """The document as JSON values, with examples that work on this server without changes."""
    document: dict[str, Any] = orjson.loads(template())
    document["servers"] = [{"url": context.url}]
    _add_models(document["components"], context)
    document["paths"] = dict(_paths(document["paths"], context))
    for path, method, operation in operations(document):
        if operation["operationId"] == "feedback":
            content = operation["requestBody"]["content"]
            content["application/json"]["examples"] = _labels(context)
        if operation["operationId"] == "invocations":
            content = operation["requestBody"]["content"]
            content["application/json"]["examples"] = _invocations(context)
        if operation["operationId"] == "challenge":
            content = operation["requestBody"]["content"]
            example = content["application/json"]["examples"]["shadow"]["value"]
            example["version"] = next(iter(context.shown().values())).other
        model = operation.pop("x-model", "")
        operation["x-codeSamples"] = code_samples(context, path, method, operation, model=model)
    return document


def _paths(paths: dict[str, Any], context: ApiContext) -> Iterator[tuple[str, dict[str, Any]]]:
    """The paths, with one for each model where the body depends on it."""
    for path, methods in paths.items():
        form = next((form for end, form in _FORMS.items() if path.endswith(end)), None)
        if form is None:
            yield path, methods
            continue
        for model, served in context.shown().items():
            if form == "classify" and not has_classes(served.tensors):
                continue
            of_model = {
                method: _of_model(methods[method], model, served, form) for method in methods
            }
            yield path.replace("{model}", model), of_model


def _of_model(operation: dict[str, Any], model: str, served: Served, form: str) -> dict[str, Any]:
    """An operation on one model: its body has a schema and an example of its own."""
    example = {"v2": examples.v2_request, "v1": examples.v1_rows, "classify": examples.v1_examples}
    body = {
        "schema": {"$ref": f"#/components/schemas/{model}.{form}"},
        "examples": {
            model: {"summary": f"one row for {model}", "value": example[form](served.tensors)}
        },
    }
    content = operation["requestBody"]["content"] | {"application/json": body}
    return operation | {
        "operationId": f"{operation['operationId']}-{model}",
        "parameters": [each for each in operation["parameters"] if each != _MODEL],
        "requestBody": operation["requestBody"] | {"content": content},
        "x-model": model,
    }


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation, in the order of the document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


@functools.cache
def template() -> bytes:
    """The parts that are the same on all servers, as JSON."""
    # Imported late: most servers never render documentation, and should not load a YAML parser.
    import yaml

    text = Path(__file__).with_name("openapi.yaml").read_text("utf-8")
    # The parser in C takes a tenth of the time of `safe_load`; it is in every wheel of PyYAML.
    document = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_single_data()
    del document["x-anchors"]
    document["info"]["version"] = __version__
    components = document["components"]
    components["responses"] = _error_responses(document.pop("x-errors"))
    components["schemas"] |= {record.__name__: _record_schema(record) for record in _RECORDS}
    # Alias records of earlier releases do not name their model.
    components["schemas"]["AliasRecord"]["required"].remove("model")
    for path, _, operation in operations(document):
        form = "Error" if path.startswith(("/v1", "/v2", INVOCATIONS)) else "Problem"
        errors = {
            str(status): {"$ref": f"#/components/responses/{form}{status}"}
            for status in operation.pop("x-errors")
        }
        # New lists and dicts, because an anchor may share those of the YAML between operations.
        operation["parameters"] = [
            *({"$ref": f"#/components/parameters/{name}"} for name in re.findall(r"{(\w+)}", path)),
            *operation.get("parameters", ()),
        ]
        responses = {
            status: response | {"headers": _headers(*response.get("headers", ()))}
            for status, response in operation["responses"].items()
        }
        operation["responses"] = dict(sorted((errors | responses).items()))
    return orjson.dumps(document)


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*names, "X-Request-Id")}


def _error_responses(meanings: dict[int, str]) -> dict[str, Any]:
    """The response of every error, in both forms."""
    forms = {"Error": "application/json", "Problem": "application/problem+json"}
    return {
        f"{form}{status}": {
            "description": f"{HTTPStatus(status).phrase}. {meaning}",
            "headers": _headers(*filter(None, [_ERROR_HEADERS.get(status)])),
            "content": {media_type: {"schema": {"$ref": f"#/components/schemas/{form}"}}},
        }
        for form, media_type in forms.items()
        for status, meaning in meanings.items()
    }


def _record_schema(record: type[BaseModel]) -> dict[str, Any]:
    """The schema of a record as it is returned; records within it by reference."""
    reference = "#/components/schemas/{model}"
    schema = record.model_json_schema(mode="serialization", by_alias=False, ref_template=reference)
    schema.pop("$defs", None)
    for name in _RECORDS[record]:
        del schema["properties"][name]
    required = schema.get("required", [])
    return schema | {"required": [name for name in required if name not in _RECORDS[record]]}


def _add_models(components: dict[str, Any], context: ApiContext) -> None:
    """Schemas of the requests of each model, and examples of the parameters in paths."""
    schemas, parameters = components["schemas"], components["parameters"]
    for model, served in context.shown().items():
        schemas[f"{model}.v2"] = model_schemas.v2_request(schemas, served.tensors, context.limits)
        schemas[f"{model}.v1"] = model_schemas.v1_request(served.tensors)
        schemas[f"{model}.classify"] = model_schemas.v1_examples(served.tensors)
        parameters["model"].setdefault("examples", {})[model] = {"value": model}
        parameters["version"].setdefault("examples", {})[model] = {"value": served.version}


def _invocations(context: ApiContext) -> dict[str, Any]:
    """One row of each model."""
    return {
        model: {"summary": f"one row for {model}", "value": examples.records(served.tensors)}
        for model, served in context.shown().items()
    }


def _labels(context: ApiContext) -> dict[str, Any]:
    """A label and two of each model."""
    return {
        name: {"summary": f"{summary} for {model}", "value": example(served.tensors)}
        for model, served in context.labelled().items()
        for name, summary, example in (
            (model, "one label", examples.label),
            (f"{model}-several", "two labels", examples.labels),
        )
    }
