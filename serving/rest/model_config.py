"""The configuration of a version in the form of Triton's `model_config.proto`, as JSON.

Load generators such as perf_analyzer read from it how many rows a request may have, and that
nothing is batched by sequence.
"""

from typing import Any

from overnight.serving.inference.limits import Limits
from overnight.serving.lifecycle.model_slots import LoadedVersion
from overnight.store.schema import TensorSpec

# As Triton names platforms: framework, then format.
PLATFORM = "tensorflow_litert"
_TYPES = {"BYTES": "TYPE_STRING"}


def model_config(loaded: LoadedVersion, limits: Limits) -> dict[str, Any]:
    """The configuration of a version; the first axis of every tensor is the batch."""
    tensors = loaded.manifest.tensors
    return {
        "name": loaded.manifest.model,
        "platform": PLATFORM,
        "backend": "litert",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": limits.batch_rows,
        "input": [
            _tensor(spec) | {"format": "FORMAT_NONE", "optional": spec.default is not None}
            for spec in tensors.inputs
        ],
        "output": [_tensor(spec) | {"label_filename": ""} for spec in tensors.outputs],
        "instance_group": [
            {"name": loaded.manifest.model, "kind": "KIND_CPU", "count": limits.answering}
        ],
        "default_model_filename": "predictor.tflite",
        "model_transaction_policy": {"decoupled": False},
    }


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    dims = spec.v2_shape[1:]
    described = {
        "name": spec.name,
        "data_type": _TYPES.get(spec.datatype, f"TYPE_{spec.datatype}"),
        "dims": dims or [1],
    }
    # A configuration has no tensors without axes: single values are one number, reshaped.
    return described if dims else described | {"reshape": {"shape": []}}
