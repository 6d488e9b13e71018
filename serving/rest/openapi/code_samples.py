"""Code samples of the operations: commands and programs that can be copied and run."""

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
from overnight.serving.rest.openapi.context import PLACEHOLDER_VERSION, ApiContext
from overnight.serving.rest.openapi.literals import literal
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

_KEY = '-H "X-API-Key: $OVERNIGHT_KEY" '
_ADMINISTRATOR = '-H "Authorization: Bearer $OVERNIGHT_ADMIN_TOKEN" '
# Operations on what waits for a person, and on versions that do not serve.
_OF_WHAT_WAITS = {"approve", "reject", "accept", "exclude"}
_OF_OTHERS = {"challenge", "promote"}
_JSON = "-H 'Content-Type: application/json' "

_REQUESTS = """{modules}import requests

request = {request}
response = requests.post(
    {url},
    json=request,{headers}
    timeout=10,
)
response.raise_for_status()
print(response.json())
"""
_FETCH = """const request = {request};
const response = await fetch({url}, {{
  method: "POST",
  headers: {{{headers}}},
  body: JSON.stringify(request),
}});
if (!response.ok) throw new Error(await response.text());
console.log(await response.json());
"""

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
    """Samples for a model, or the first one; none where a request as shown would be refused."""
    takes_labels = operation["operationId"] == "feedback"
    models = context.labelled() if takes_labels else context.shown()
    if not models or not any(status.startswith("2") for status in operation["responses"]):
        return []
    model = model or next(iter(models))
    served, name = models[model], operation["operationId"]
    # Nothing may wait; and another version than the one that serves is not always loaded.
    if name in _OF_WHAT_WAITS or (name in _OF_OTHERS and served.other == PLACEHOLDER_VERSION):
        return []
    version = served.other if name in _OF_OTHERS else served.version
    url = context.url + path.format(
        model=model,
        version=version,
        candidate=version,
        label="champion",
        arrival="night-0001",
    )
    key = _KEY if context.keyed and operation["security"] else ""
    if samples := _predictions(context, path, url, model):
        return samples
    verb = "" if method == "get" else f"-X {method.upper()} "
    if "requestBody" not in operation:
        return [_shell("curl", f"curl {verb}{key}{quote(url)}\n")]
    return [_with_body(operation, url, verb, key)]


def _predictions(context: ApiContext, path: str, url: str, model: str) -> list[dict[str, str]]:
    """Samples of a path of predictions; long bodies by curl once a protocol."""
    tensors, keyed = context.shown()[model].tensors, context.keyed
    key, target = _KEY if keyed else "", ""
    if path == f"/v2/models/{model}/infer":
        request = examples.v2_request(tensors)
        return [
            _post(url, request, key),
            *_picture(url, tensors, key),
            _requests(url, request, keyed=keyed),
            _raw_tensors(url, tensors, keyed=keyed),
            _triton(context, model, tensors),
            _fetch(url, request, keyed=keyed),
        ]
    rows = examples.v1_rows(tensors)
    if path == f"/v1/models/{model}:predict":
        columns = examples.v1_columns(tensors)
        return [
            _post(url, rows, key, "by row, curl"),
            _requests(url, columns, keyed=keyed, label="by column, Python"),
            _fetch(url, rows, keyed=keyed),
        ]
    if path.endswith("/infer"):
        rows = examples.v2_request(tensors)
    elif path.endswith(":classify"):
        rows = examples.v1_examples(tensors)
    elif path == INVOCATIONS:
        rows, target = examples.records(tensors), model
    elif not path.endswith(":predict"):
        return []
    return [_requests(url, rows, keyed=keyed, target=target)]


def _with_body(operation: dict[str, Any], url: str, verb: str, key: str) -> dict[str, str]:
    """The first example of an operation's body, by curl."""
    bodies = operation["requestBody"]["content"]["application/json"]["examples"]
    body = next(iter(bodies.values()))["value"]
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


def _requests(
    url: str, body: object, *, keyed: bool, target: str = "", label: str = "requests, Python"
) -> dict[str, str]:
    """Post JSON by the library requests; `target` is a model that the path does not name."""
    headers = [f"{json.dumps(TARGET_HEADER)}: {json.dumps(target)}"] if target else []
    headers += ['"X-API-Key": os.environ["OVERNIGHT_KEY"]'] if keyed else []
    source = _REQUESTS.format(
        modules="import os\n\n" if keyed else "",
        request=literal(body, "Python"),
        url=json.dumps(url),
        headers=f"\n    headers={{{', '.join(headers)}}}," if headers else "",
    )
    return {"lang": "Python", "label": label, "source": source}


def _fetch(url: str, body: object, *, keyed: bool) -> dict[str, str]:
    """Post JSON from a page of an allowed origin, or from Node."""
    headers = ['"Content-Type": "application/json"']
    headers += ['"X-API-Key": process.env.OVERNIGHT_KEY'] if keyed else []
    source = _FETCH.format(
        request=literal(body, "JavaScript"), url=json.dumps(url), headers=", ".join(headers)
    )
    return {"lang": "JavaScript", "label": "fetch, JavaScript", "source": source}


def _picture(url: str, tensors: Schema, key: str) -> Iterator[dict[str, str]]:
    """A PNG, if the model takes pictures."""
    if picture := examples.png(tensors):
        curl = f"curl -H 'Content-Type: image/png' {key}--data-binary @- {quote(url)}"
        text = base64.b64encode(picture).decode()
        yield _shell("a PNG, curl", f"echo {text} | base64 -d |\n  {curl}\n")


def _raw_tensors(url: str, tensors: Schema, *, keyed: bool) -> dict[str, str]:
    """Raw tensors by the standard library alone."""
    shown = [_raw(spec) for spec in examples.needed(tensors)]
    inputs = [tensor | {"parameters": {"binary_data_size": len(raw)}} for tensor, raw, _ in shown]
    has_texts = any(tensor["datatype"] == TEXTS for tensor, _, _ in shown)
    zeros = "zeros; of a numpy array: array.tobytes()"
    if any(any(raw) for _, raw, _ in shown):
        zeros = "the least values that are allowed; of a numpy array: array.tobytes()"
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
    return {"lang": "Python", "label": "raw tensors, Python", "source": source}


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
    count, value = math.prod(tensor["shape"]), examples.value_of(spec)
    dtype = np.dtype(NUMPY_TYPES[spec.datatype]).newbyteorder("<")
    element = np.array(value, dtype).tobytes()
    product = f"{element!r} * {count}" if count > 1 else f"{element!r}"
    code = product if any(element) else f"bytes({count * dtype.itemsize})"
    return tensor, element * count, code


def _triton(context: ApiContext, model: str, tensors: Schema) -> dict[str, str]:
    """The client library of NVIDIA Triton."""
    host = context.url.split("://", 1)[1]
    headers = ', headers={"X-API-Key": os.environ["OVERNIGHT_KEY"]}' if context.keyed else ""
    lines = ["import os", ""] if context.keyed else []
    lines += ["import numpy as np", "import tritonclient.http as triton", "", "inputs = []"]
    for spec in examples.needed(tensors):
        tensor, _, _ = _raw(spec)
        shape = tuple(tensor["shape"])
        value, kind = examples.value_of(spec), NUMPY_TYPES[spec.datatype]
        rows = f"np.full({shape}, {value}, np.{kind})" if value else f"np.zeros({shape}, np.{kind})"
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
