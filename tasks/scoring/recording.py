"""Records of the prediction log for scored rows, as the model declares them for live answers."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from overnight.store.predictions.records import AnsweredRequest, is_recorded
from overnight.store.predictions.segments import inputs_digest
from overnight.store.registry.manifest import Manifest

Array = NDArray[Any]


def record_of(
    manifest: Manifest,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    *,
    request: str,
    client: str,
    at_us: int,
    latency_us: int,
) -> AnsweredRequest | None:
    """One request of a batch run, or None where the model's log leaves it out."""
    policy = manifest.logged
    if policy is None or not is_recorded(request, policy.share):
        return None
    return AnsweredRequest(
        request=request,
        caller="",
        at_us=at_us,
        model=manifest.model,
        version=manifest.version,
        route="batch",
        client=policy.recorded_client(manifest.model, client),
        share=policy.share,
        latency_us=latency_us,
        n=len(next(iter(outputs.values()))),
        inputs=inputs if policy.inputs == "values" else {},
        digest=inputs_digest(inputs) if policy.inputs == "digest" and inputs else "",
        outputs=outputs,
    )
