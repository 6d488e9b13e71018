"""Which model answers at `/invocations`, whose path names none."""

from overnight.serving.errors import BadInput, NotServed
from overnight.serving.inference.codecs.content_types import Environ
from overnight.serving.lifecycle.model_slots import ModelSlots

INVOCATIONS = "/invocations"
TARGET_HEADER = "X-Amzn-SageMaker-Target-Model"
_TARGET, _ATTRIBUTES = (
    "HTTP_X_AMZN_SAGEMAKER_TARGET_MODEL",
    "HTTP_X_AMZN_SAGEMAKER_CUSTOM_ATTRIBUTES",
)
# Targets of multi-model endpoints are names of archives.
_ARCHIVE = ".tar.gz"
_SETTING = "OVERNIGHT_INVOCATIONS_MODEL"


def invoked_model(environ: Environ, slots: ModelSlots, default: str) -> tuple[str, str | None]:
    """The model of a request, and the version if it names one.

    A header of SageMaker's names the model, or attributes as its predictor for TensorFlow Serving
    sends them (`tfs-model-name`); else it is `default`, or the only one that is served.

    Raises:
        BadInput: several are served, and nothing says which; or another method than prediction.
        NotServed: none is served.
    """
    target, version = environ.get(_TARGET, ""), None
    if _ATTRIBUTES in environ:
        attributes = _attributes(environ[_ATTRIBUTES])
        method = attributes.get("tfs-method", "predict")
        if method != "predict":
            expected = "tfs-method=predict; for others the path /v1/models/<model>:<method>"
            raise BadInput("X-Amzn-SageMaker-Custom-Attributes", expected=expected, found=method)
        target = target or attributes.get("tfs-model-name", "")
        version = attributes.get("tfs-model-version")
    if target:
        return target.strip().strip("/").removesuffix(_ARCHIVE), version
    if default:
        return default, version
    models = [slot.model for slot in slots.all()]
    if not models:
        raise NotServed("no model is served here", (), soon=bool(slots.expected))
    if len(models) > 1:
        expected = f"the header {TARGET_HEADER} with one of {models}, or the setting {_SETTING}"
        raise BadInput("the model", expected=expected, found="neither")
    return models[0], version


def _attributes(header: str) -> dict[str, str]:
    """Pairs of `name=value`, of which others than TensorFlow Serving's are ignored."""
    pairs = (pair.partition("=") for pair in header.split(","))
    return {name.strip().lower(): value.strip() for name, _, value in pairs if value.strip()}
