"""Code samples of the operations: shell commands and Python programs that can be copied and run."""

import base64
import json
import math
from collections.abc import Iterator
from shlex import quote
from typing import Any

import numpy as np

from overnight.serving.inference.vocabulary import TEXTS
from overnight.serving.rest.invoked_model import INVOCATIONS, TARGET_HEADER
from overnight.serving.rest.openapi import examples
from overnight.serving.rest.openapi.context import ApiContext
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

_KEY = '-H "X-API-Key: $OVERNIGHT_KEY" '
_ADMINISTRATOR = '-H "Authorization: Bearer $OVERNIGHT_ADMIN_TOKEN" '
_JSON = "-H 'Content-Type: application/json' "

_RAW_TENSORS = """{modules}from urllib.request import Request, urlopen

tensors = {tensors}  # {comment}
request = {{
    "inputs": [
{inputs}    ],
    "outputs": [{{"name": {output}}}],
    "parameters": {{"binary_data_output": True}},
}}
text = json.dumps(request).encode()
headers = {{
    "Content-Type": "application/octet-stream",
    "Inference-Header-Content-Length": str(len(text)),
{key}}}
with urlopen(Request({url}, text + tensors, headers)) as response:
    length = int(response.headers["Inference-Header-Content-Length"])
    body = response.read()
print(json.loads(body[:length]))
print(memoryview(body[length:]).cast("{code}").tolist())
"""


def code_samples(
    context: ApiContext, path: str, method: str, operation: dict[str, Any], *, model: str = ""
) -> list[dict[str, str]]:
    """Samples for a model, or the first one; none for an operation that always fails."""
    takes_labels = operation["operationId"] == "feedback"
    models = context.labelled() if takes_labels else context.shown()
    if not models or not any(status.startswith("2") for status in operation["responses"]):
        return []
    model = model or next(iter(models))
    served = models[model]
    url = context.url + path.format(
        model=model, version=served.version, label="champion", arrival="night-0001"
    )
    if path.endswith("/infer"):
        samples = list(_infer(url, served.tensors, keyed=context.keyed))
        if path == f"/v2/models/{model}/infer":
            samples.append(_triton(context, model, served.tensors))
        return samples
    key = _KEY if context.keyed and operation["security"] else ""
    if path.endswith(":predict"):
        rows, columns = examples.v1_rows(served.tensors), examples.v1_columns(served.tensors)
        return [_post(url, rows, key, "by row"), _post(url, columns, key, "by column")]
    verb = "" if method == "get" else f"-X {method.upper()} "
    if "requestBody" not in operation:
        return [_shell("curl", f"curl {verb}{key}{quote(url)}\n")]
    return [_with_body(operation, path, url, verb, key)]


def _with_body(
    operation: dict[str, Any], path: str, url: str, verb: str, key: str
) -> dict[str, str]:
    """The first example of an operation's body, by curl."""
    bodies = operation["requestBody"]["content"]["application/json"]["examples"]
    model, example = next(iter(bodies.items()))
    body = example["value"]
    if path == INVOCATIONS:
        return _post(url, body, f"-H {quote(f'{TARGET_HEADER}: {model}')} {key}")
    if operation["security"] == [{"bearer": []}]:
        command = f"curl {verb}{_ADMINISTRATOR}\\\n  {_JSON}\\\n  -d {quote(json.dumps(body))}"
        return _shell("curl", f"{command} \\\n  {quote(url)}\n")
    return _post(url, body, key)


def _shell(label: str, source: str) -> dict[str, str]:
    return {"lang": "Shell", "label": label, "source": source}


def _post(url: str, body: object, key: str, label: str = "curl") -> dict[str, str]:
    """Post JSON from standard input, laid out with a line for each innermost list."""
    text = json.dumps(body, separators=(",", ":")).replace("[[[", "\n[[[").replace("],[", "],\n[")
    return _shell(label, f"curl {_JSON}{key}\\\n  {quote(url)} -d @- <<'JSON'\n{text}\nJSON\n")


def _infer(url: str, tensors: Schema, *, keyed: bool) -> Iterator[dict[str, str]]:
    """JSON, a PNG if the model takes pictures, and raw tensors by the standard library alone."""
    key = _KEY if keyed else ""
    yield _post(url, examples.v2_request(tensors), key)
    if picture := examples.png(tensors):
        curl = f"curl -H 'Content-Type: image/png' {key}--data-binary @- {quote(url)}"
        text = base64.b64encode(picture).decode()
        yield _shell("a PNG, curl", f"echo {text} | base64 -d |\n  {curl}\n")
    shown = [_raw(spec) for spec in examples.needed(tensors)]
    inputs = [tensor | {"parameters": {"binary_data_size": len(raw)}} for tensor, raw, _ in shown]
    has_texts = any(tensor["datatype"] == TEXTS for tensor, _, _ in shown)
    zeros = "zeros; of a numpy array: array.tobytes()"
    source = _RAW_TENSORS.format(
        modules="import json\nimport os\n" if keyed else "import json\n",
        tensors=" + ".join(code for _, _, code in shown),
        comment="each text after its length in four bytes; numbers are zeros"
        if has_texts
        else zeros,
        inputs="".join(f"        {json.dumps(tensor)},\n" for tensor in inputs),
        key='    "X-API-Key": os.environ["OVERNIGHT_KEY"],\n' if keyed else "",
        url=json.dumps(url),
        output=json.dumps(tensors.outputs[0].name),
        # NumPy's `l` is 4 or 8 bytes, depending on the platform of the client; `q` is always 8.
        code=np.dtype(NUMPY_TYPES[tensors.outputs[0].datatype]).char.replace("l", "q"),
    )
    yield {"lang": "Python", "label": "raw tensors, Python", "source": source}


def _raw(spec: TensorSpec) -> tuple[dict[str, Any], bytes, str]:
    """One row of an input in the binary extension: its JSON, its bytes, and Python for these."""
    tensor = {name: value for name, value in examples.v2_tensor(spec).items() if name != "data"}
    tensor = {"name": tensor["name"], "shape": tensor["shape"], "datatype": tensor["datatype"]}
    if spec.text is not None:
        texts = np.ravel(examples.row(spec)).tolist()
        raw = b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in texts)
        return tensor, raw, repr(raw)
    if tensor["datatype"] == TEXTS:
        # A large picture: as a tensor it is as good.
        tensor |= {"shape": [1, *spec.shape], "datatype": spec.datatype}
    size = math.prod(tensor["shape"]) * np.dtype(NUMPY_TYPES[spec.datatype]).itemsize
    return tensor, bytes(size), f"bytes({size})"


def _triton(context: ApiContext, model: str, tensors: Schema) -> dict[str, str]:
    """The client library of NVIDIA Triton."""
    host = context.url.split("://", 1)[1]
    headers = ', headers={"X-API-Key": os.environ["OVERNIGHT_KEY"]}' if context.keyed else ""
    lines = ["import os", ""] if context.keyed else []
    lines += ["import numpy as np", "import tritonclient.http as triton", "", "inputs = []"]
    for spec in examples.needed(tensors):
        tensor, _, _ = _raw(spec)
        shape = tuple(tensor["shape"])
        rows = f"np.zeros({shape}, np.{NUMPY_TYPES[spec.datatype]})"
        if spec.text is not None:
            rows = f"np.array({json.dumps([examples.row(spec)], ensure_ascii=False)}, object)"
        lines += [
            f"rows = {rows}",
            f'inputs.append(triton.InferInput("{spec.name}", rows.shape, "{spec.datatype}"))',
            "inputs[-1].set_data_from_numpy(rows)",
        ]
    output = tensors.outputs[0].name
    lines += [
        f'client = triton.InferenceServerClient("{host}")',
        f'print(client.infer("{model}", inputs{headers}).as_numpy("{output}"))',
        "",
    ]
    return {"lang": "Python", "label": "tritonclient[http]", "source": "\n".join(lines)}
