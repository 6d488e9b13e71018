"""Commands and programs that ask as the examples do, ready to be copied into a shell."""

import base64
import json
from shlex import quote

from serving.description import examples
from serving.description.operation import Sample
from serving.description.scene import Scene, Served
from store.schema import NUMPY_TYPES

# What `memoryview` calls the datatypes.
_CODES = {
    "BOOL": "?",
    "UINT8": "B",
    "INT8": "b",
    "INT32": "i",
    "INT64": "q",
    "FP32": "f",
    "FP64": "d",
}
_KEY = '-H "X-API-Key: $OVERNIGHT_KEY"'
_ADMINISTRATOR = '-H "Authorization: Bearer $OVERNIGHT_ADMIN_TOKEN"'

_BINARY = """{modules}from urllib.request import Request, urlopen

tensors = {tensors}  # zeros; of a numpy array: array.tobytes()
request = {{
    "inputs": [
{inputs}    ],
    "parameters": {{"binary_data_output": True}},
}}
text = json.dumps(request).encode()
headers = {{
    "Content-Type": "application/octet-stream",
    "Inference-Header-Content-Length": str(len(text)),
{key}}}
with urlopen(Request({address}, text + tensors, headers)) as answer:
    length = int(answer.headers["Inference-Header-Content-Length"])
    body = answer.read()
print(json.loads(body[:length]))
print(memoryview(body[length:]).cast("{code}").tolist())
"""


def get(scene: Scene, path: str, *, open_to_all: bool = False) -> tuple[Sample]:
    """Ask by GET."""
    key = [_KEY] if scene.keyed and not open_to_all else []
    return (Sample("Shell", "curl", " ".join(["curl", *key, quote(scene.url + path)]) + "\n"),)


def post_nothing(scene: Scene, path: str) -> tuple[Sample]:
    """Ask by POST, without a body or a key."""
    words = ["curl", "-X", "POST", quote(scene.url + path)]
    return (Sample("Shell", "curl", " ".join(words) + "\n"),)


def post_json(scene: Scene, path: str, body: object, *, label: str = "curl") -> Sample:
    """Ask by POST with JSON; the body is read from standard input."""
    key = f" {_KEY}" if scene.keyed else ""
    source = (
        f"curl -H 'Content-Type: application/json'{key} \\\n"
        f"  {quote(scene.url + path)} -d @- <<'JSON'\n{examples.text(body)}\nJSON\n"
    )
    return Sample("Shell", label, source)


def administer(scene: Scene, method: str, path: str, body: object) -> tuple[Sample]:
    """Ask for a change, with an administrator's token."""
    source = (
        f"curl -X {method} {_ADMINISTRATOR} \\\n  -H 'Content-Type: application/json' \\\n"
        f"  -d {quote(json.dumps(body))} \\\n  {quote(scene.url + path)}\n"
    )
    return (Sample("Shell", "curl", source),)


def picture(scene: Scene, path: str, served: Served) -> tuple[Sample, ...]:
    """Ask with a PNG, if the model takes one."""
    found = examples.picture(served.tensors)
    if found is None:
        return ()
    key = f" {_KEY}" if scene.keyed else ""
    text = base64.b64encode(found).decode()
    source = (
        f"echo {text} | base64 -d |\n"
        f"  curl -H 'Content-Type: image/png'{key} --data-binary @- {quote(scene.url + path)}\n"
    )
    return (Sample("Shell", "a PNG, curl", source),)


def binary(scene: Scene, path: str, served: Served) -> Sample:
    """Ask with raw tensors, and read the raw answer; the standard library is enough."""
    inputs = [
        {
            "name": spec.name,
            "shape": [1, *spec.shape],
            "datatype": spec.datatype,
            "parameters": {"binary_data_size": examples.raw_bytes(spec)},
        }
        for spec in served.tensors.inputs
    ]
    key = '    "X-API-Key": os.environ["OVERNIGHT_KEY"],\n' if scene.keyed else ""
    source = _BINARY.format(
        modules="import json\nimport os\n" if scene.keyed else "import json\n",
        tensors=" + ".join(f"bytes({examples.raw_bytes(spec)})" for spec in served.tensors.inputs),
        inputs="".join(f"        {json.dumps(one)},\n" for one in inputs),
        key=key,
        address=json.dumps(scene.url + path),
        code=_CODES[served.tensors.outputs[0].datatype],
    )
    return Sample("Python", "raw tensors, Python", source)


def triton(scene: Scene, model: str, served: Served) -> Sample:
    """Ask with NVIDIA's client."""
    host = scene.url.split("://", 1)[1]
    headers = ', headers={"X-API-Key": os.environ["OVERNIGHT_KEY"]}' if scene.keyed else ""
    lines = [*(["import os", ""] if scene.keyed else []), "import numpy as np"]
    lines += ["import tritonclient.http as triton", "", "inputs = []"]
    for spec in served.tensors.inputs:
        lines += [
            f"rows = np.zeros({(1, *spec.shape)}, np.{NUMPY_TYPES[spec.datatype]})",
            f'inputs.append(triton.InferInput("{spec.name}", rows.shape, "{spec.datatype}"))',
            "inputs[-1].set_data_from_numpy(rows)",
        ]
    output = served.tensors.outputs[0].name
    lines += [
        f'client = triton.InferenceServerClient("{host}")',
        f'print(client.infer("{model}", inputs{headers}).as_numpy("{output}"))',
        "",
    ]
    return Sample("Python", "tritonclient[http]", "\n".join(lines))
