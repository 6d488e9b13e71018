"""The methods of every service: which route of the HTTP interface each of them is."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from overnight.serving.errors import BadInput, NotServed
from overnight.serving.grpc import messages
from overnight.serving.grpc.calls import Calls, Context, Parsed, segment
from overnight.serving.grpc.messages import message
from overnight.serving.grpc.reflection import respond
from overnight.serving.grpc.tensorflow_messages import classification_of, prediction_of
from overnight.serving.grpc.v2_messages import inference_of
from overnight.serving.inference.codecs.content_types import CALLER, Environ
from overnight.serving.rest.headers import PROTOCOL

_V1: Environ = {PROTOCOL: "v1_grpc"}
# Health watches and reflections hold a thread for as long as their clients like.
MOST_STREAMS = 16
_WATCH_SECONDS = 1.0

# Of a service, by the name of the method.
_Handlers = dict[str, Any]


class Services:
    """The handlers of all methods, by service."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._streams = threading.BoundedSemaphore(MOST_STREAMS)
        self.stopping = threading.Event()

    def handlers(self) -> Mapping[str, _Handlers]:
        """The handlers by the full name of a service and the name of a method."""
        reflect = {"ServerReflectionInfo": self._streamed(messages.REFLECTION, respond)}
        alpha = {"ServerReflectionInfo": self._streamed(messages.REFLECTION_ALPHA, respond)}
        return {
            messages.INFERENCE: self._inference(),
            messages.PREDICTION: {
                "Predict": self._infer(_predict),
                "Classify": self._infer(_classify),
                "GetModelMetadata": self._answered(
                    messages.PREDICTION, "GetModelMetadata", self._signature
                ),
            },
            messages.MODEL: {
                "GetModelStatus": self._answered(messages.MODEL, "GetModelStatus", self._status)
            },
            messages.HEALTH: {
                "Check": self._answered(messages.HEALTH, "Check", self._check),
                "Watch": self._watched(),
            },
            messages.REFLECTION: reflect,
            messages.REFLECTION_ALPHA: alpha,
        }

    def _inference(self) -> _Handlers:
        answering: dict[str, Callable[[Any, Context], Any]] = {
            "ServerLive": lambda _, context: self._get(context, "/v2/health/live"),
            "ServerReady": lambda _, context: self._ready(context, "/v2/health/ready"),
            "ModelReady": self._model_ready,
            "ServerMetadata": lambda _, context: self._get(context, "/v2"),
            "ModelMetadata": lambda sent, context: self._get(context, _model_path(sent)),
            "ModelConfig": lambda sent, context: {
                "config": self._get(context, f"{_model_path(sent)}/config")
            },
            "ModelStatistics": self._statistics,
            "RepositoryIndex": self._index,
            "RepositoryModelLoad": partial(self._change, verb="load"),
            "RepositoryModelUnload": partial(self._change, verb="unload"),
        }
        handlers = {
            name: self._answered(messages.INFERENCE, name, answer)
            for name, answer in answering.items()
        }
        return handlers | {"ModelInfer": self._infer(_model_infer)}

    def _infer(self, parse: Callable[[bytes], Parsed]) -> Any:
        # As a stream of one message, the call is seen before the message has come.
        return grpc.stream_unary_rpc_method_handler(partial(self._calls.infer, parse))

    def _answered(self, service: str, name: str, answer: Callable[[Any, Context], Any]) -> Any:
        """A method whose response is made of a message, or of the fields that it is made of."""
        method = messages.POOL.FindServiceByName(service).methods_by_name[name]
        request, response = message(method.input_type.full_name), method.output_type.full_name

        def run(sent: Iterator[bytes], context: Context) -> bytes:
            body = self._calls.receive(sent, context)
            try:
                made = answer(_decoded(request, body), context)
            except BadInput as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            except NotServed as error:
                context.abort(grpc.StatusCode.NOT_FOUND, str(error))
            encoded: bytes = _parsed(made, message(response)()).SerializeToString()
            return encoded

        return grpc.stream_unary_rpc_method_handler(run)

    def _streamed(self, service: str, respond: Callable[[Any, Any], Any]) -> Any:
        """A method that answers each message of a stream by one."""
        package = service.rpartition(".")[0]
        response = message(f"{package}.ServerReflectionResponse")

        def run(sent: Iterator[Any], context: Context) -> Iterator[Any]:
            with self._stream(context):
                for request in sent:
                    yield respond(request, response)

        return grpc.stream_stream_rpc_method_handler(
            run,
            message(f"{package}.ServerReflectionRequest").FromString,
            response.SerializeToString,
        )

    def _watched(self) -> Any:
        request, response = (
            message(f"grpc.health.v1.HealthCheck{kind}") for kind in ("Request", "Response")
        )

        def run(sent: Any, context: Context) -> Iterator[Any]:
            before = None
            with self._stream(context):
                while context.is_active() and not self.stopping.is_set():
                    is_known = not sent.service or sent.service in messages.SERVICES
                    status = self._health(context) if is_known else "SERVICE_UNKNOWN"
                    if status != before:
                        yield _parsed({"status": status}, response())
                    before = status
                    self.stopping.wait(_WATCH_SECONDS)

        return grpc.unary_stream_rpc_method_handler(
            run, request.FromString, response.SerializeToString
        )

    def _stream(self, context: Context) -> "_Stream":
        if not self._streams.acquire(blocking=False):
            context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"expected at most {MOST_STREAMS} watches and reflections at a time, found more; "
                "end one of them, or retry later",
            )
        return _Stream(self._streams)

    def _get(self, context: Context, path: str) -> Any:
        return self._calls.query(context, path)[1]

    def _ready(self, context: Context, path: str) -> dict[str, bool]:
        _, answer = self._calls.query(context, path, also=(404, 503))
        return {"ready": answer.get("ready", False)}

    def _model_ready(self, sent: Any, context: Context) -> dict[str, bool]:
        return self._ready(context, f"{_model_path(sent)}/ready")

    def _statistics(self, sent: Any, context: Context) -> Any:
        path = f"{_model_path(sent)}/stats" if sent.name else "/v2/models/stats"
        return self._get(context, path)

    def _index(self, sent: Any, context: Context) -> dict[str, Any]:
        body = json.dumps({"ready": sent.ready}).encode()
        path = "/v2/repository/index"
        return {"models": self._calls.query(context, path, body=body, method="POST")[1]}

    def _change(self, sent: Any, context: Context, *, verb: str) -> dict[str, Any]:
        path = f"/v2/repository/models/{segment(sent.model_name, 'model')}/{verb}"
        self._calls.query(context, path, method="POST")
        return {}

    def _signature(self, sent: Any, context: Context) -> Any:
        """`GetModelMetadata`: the signatures, which are all that a version has."""
        unknown = [name for name in sent.metadata_field if name != "signature_def"]
        if unknown or not sent.metadata_field:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"metadata_field: expected signature_def, found {[name[:40] for name in unknown]}",
            )
        path = f"{_spec_path(sent.model_spec)}/metadata"
        _, answer = self._calls.query(context, path, more=_V1)
        made = message("tensorflow.serving.GetModelMetadataResponse")()
        _parsed(answer["model_spec"], made.model_spec)
        signatures = message("tensorflow.serving.SignatureDefMap")()
        made.metadata["signature_def"].Pack(
            _parsed(answer["metadata"]["signature_def"], signatures)
        )
        return made

    def _status(self, sent: Any, context: Context) -> Any:
        return self._get(context, _spec_path(sent.model_spec))

    def _check(self, sent: Any, context: Context) -> dict[str, str]:
        if sent.service and sent.service not in messages.SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no service {sent.service[:80]!r} is here")
        return {"status": self._health(context)}

    def _health(self, context: Context) -> str:
        code, _ = self._calls.query(context, "/v2/health/ready", also=(503,))
        return "SERVING" if code == 200 else "NOT_SERVING"


class _Stream:
    """A place among the streams, which is given back at the end of the block."""

    def __init__(self, places: threading.BoundedSemaphore) -> None:
        self._places = places

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._places.release()


def _model_infer(body: bytes) -> Parsed:
    sent = _decoded(messages.ModelInferRequest, body)
    version = f"/versions/{segment(sent.model_version, 'version')}" if sent.model_version else ""
    path = f"/v2/models/{segment(sent.model_name, 'model')}{version}/infer"
    return path, {PROTOCOL: "v2_grpc", CALLER: sent.id}, partial(inference_of, sent)


def _predict(body: bytes) -> Parsed:
    sent = _decoded(messages.PredictRequest, body)
    return f"{_spec_path(sent.model_spec)}:predict", _V1, partial(prediction_of, sent)


def _classify(body: bytes) -> Parsed:
    sent = _decoded(messages.ClassificationRequest, body)
    return f"{_spec_path(sent.model_spec)}:classify", _V1, partial(classification_of, sent)


def _decoded(kind: Any, body: bytes) -> Any:
    """The message of these bytes.

    Raises:
        BadInput: they are none.
    """
    try:
        return kind.FromString(body)
    except DecodeError:
        expected = f"a {kind.DESCRIPTOR.full_name}"
        raise BadInput("the message", expected=expected, found="other bytes") from None


def _parsed(made: Any, into: Any) -> Any:
    """A message as it is, or the fields of one as its JSON has them; others are left out."""
    if not isinstance(made, dict):
        return made
    return json_format.ParseDict(made, into, ignore_unknown_fields=True)


def _model_path(sent: Any) -> str:
    version = f"/versions/{segment(sent.version, 'version')}" if sent.version else ""
    return f"/v2/models/{segment(sent.name, 'model')}{version}"


def _spec_path(model_spec: Any) -> str:
    """The path of the model, or of the version of it by number or label, in a `ModelSpec`."""
    path = f"/v1/models/{segment(model_spec.name, 'model')}"
    match model_spec.WhichOneof("version_choice"):
        case "version":
            return f"{path}/versions/{model_spec.version.value}"
        case "version_label":
            return f"{path}/labels/{segment(model_spec.version_label, 'label')}"
    return path
