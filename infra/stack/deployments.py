"""Registers the deployments of `deployments.yaml` when they or the flows changed, and prunes.

A program of its own, because it takes seconds: `python -m overnight.infra.stack.deployments`.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import yaml

from overnight.infra import connections
from overnight.infra.errors import DeploymentFailed
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import load
from overnight.store.errors import OvernightError
from overnight.store.local_files import write_atomically

FILE = "deployments.yaml"
TAG = "overnight"
SOURCES = ("flows", "models")


def main() -> int:
    """Exit code 0 when the server has the deployments of the file."""
    try:
        settings = load()
        api = connections.prefect(settings)
        print(deploy(Path.cwd(), settings.home / "deployed.json", api))
    except OvernightError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def deploy(root: Path, stamp: Path, api: PrefectApi) -> str:
    """Register the file's deployments with the server; return a summary of what was done."""
    wanted = _wanted(root)
    now = {"digest": _digest(root), "api_url": api.url}
    registered = {_identity(deployment) for deployment in _registered(api)}
    if registered == wanted and _last(stamp) == now:
        return "unchanged"
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    ended = subprocess.run([*command, "--prefect-file", FILE], cwd=root, check=False)
    if ended.returncode != 0:
        raise DeploymentFailed(f"`prefect deploy` ended with exit code {ended.returncode}")
    pruned = [deployment for deployment in _registered(api) if _identity(deployment) not in wanted]
    for deployment in pruned:
        api.request("DELETE", f"/deployments/{deployment['id']}")
    write_atomically(stamp, json.dumps(now).encode())
    return f"registered {len(wanted)}, removed {len(pruned)}"


def _last(stamp: Path) -> object:
    """What was registered last, or None when that file is missing or damaged."""
    try:
        return json.loads(stamp.read_bytes())
    except (OSError, ValueError):
        return None


def _wanted(root: Path) -> set[tuple[str, str]]:
    entries = yaml.safe_load((root / FILE).read_text())["deployments"]
    return {(entry["entrypoint"], entry["name"]) for entry in entries}


def _registered(api: PrefectApi) -> list[Document]:
    return api.filter("/deployments", deployments={"tags": {"all_": [TAG]}})


def _identity(deployment: Document) -> tuple[str, str]:
    return deployment["entrypoint"], deployment["name"]


def _digest(root: Path) -> str:
    """A digest of what shapes deployments: the file, the flows, and the models their forms list."""
    digest = hashlib.sha256(str(root).encode())
    sources = [path for package in SOURCES for path in (root / package).rglob("*.py")]
    for path in [root / FILE, *sorted(sources)]:
        name = str(path.relative_to(root))
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
