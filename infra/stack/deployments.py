"""Registers the deployments of all models when they or the flows changed, and prunes.

A program of its own, because it takes seconds: `python -m overnight.infra.stack.deployments`.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight import __version__
from overnight.infra import connections
from overnight.infra.errors import DeploymentFailed
from overnight.infra.prefect_api import TAG, Document, PrefectApi
from overnight.infra.settings import Settings, load
from overnight.infra.stack import prefect_automations, prefect_services
from overnight.infra.stack.generated_deployments import TEMPLATES, Generated, generate
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.local_files import write_atomically

FILE = "deployments.yaml"
LOG = "logs/prefect-deploy.log"
FLOWS = TEMPLATES.parent / "flows"


@dataclass(frozen=True)
class Deployed:
    """What was done with the server's deployments: their number, and the names of models.

    `errors` are those of models whose definition cannot be read; what is registered of them stays.
    """

    registered: int
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: bool = True
    errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.changed:
            return "unchanged"
        parts = [f"registered {self.registered}"]
        parts += [f"added {', '.join(self.added)}"] if self.added else []
        parts += [f"removed {', '.join(self.removed)}"] if self.removed else []
        return "; ".join(parts)


def main() -> int:
    """Exit code 0 when the server has the deployments of all models."""
    try:
        settings = load()
        api = connections.prefect(settings)
        generated = generate(settings=settings)
        deployed = deploy(generated, settings.home, api, prefect_services.environment(settings))
        problems = (*deployed.errors, *_notifications(api, settings))
    except OvernightError as error:
        print(error, file=sys.stderr)
        return 1
    print(deployed)
    for problem in problems:
        print(problem, file=sys.stderr)
    # The models that could be read have theirs, so the stack need not try again.
    return 0


def _notifications(api: PrefectApi, settings: Settings) -> tuple[str, ...]:
    """What keeps people from being notified, which keeps no model from being trained."""
    try:
        prefect_automations.register_notifications(api, settings)
    except ConfigurationError as error:
        return (str(error),)
    return ()


def deploy(
    generated: Generated, home: Path, api: PrefectApi, environment: Mapping[str, str]
) -> Deployed:
    """Register deployments with the server, and remove those that are gone.

    `environment` says to Prefect's own client where the server is.
    """
    wanted = {_identity(entry) for entry in generated.entries}
    now = {"digest": _digest(generated), "api_url": api.url}
    before = {_identity(deployment) for deployment in _registered(api)}
    errors = tuple(generated.errors.values())
    kept = {identity for identity in before if identity[1] in generated.errors}
    if before == wanted | kept and _last(home / "deployed.json") == now:
        return Deployed(len(wanted), changed=False, errors=errors)
    home.mkdir(parents=True, exist_ok=True)
    write_atomically(home / FILE, generated.text.encode())
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    ended = subprocess.run(
        [*command, "--prefect-file", FILE],
        cwd=home,
        env={**os.environ, **environment},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # A dozen lines for each deployment, which nobody reads unless it fails.
    log = home / LOG
    write_atomically(log, ended.stdout)
    if ended.returncode != 0:
        last = " ".join(ended.stdout.decode(errors="replace").split()[-20:])
        raise DeploymentFailed(
            f"`prefect deploy` ended with exit code {ended.returncode}: …{last} (all of it: {log})"
        )
    gone = [each for each in _registered(api) if _identity(each) not in wanted | kept]
    for deployment in gone:
        api.request("DELETE", f"/deployments/{deployment['id']}")
    write_atomically(home / "deployed.json", json.dumps(now).encode())
    names, models = ({name for _, name in group} for group in (before, wanted | kept))
    return Deployed(
        len(wanted),
        added=tuple(sorted(models - names)),
        removed=tuple(sorted(names - models)),
        errors=errors,
    )


def _last(stamp: Path) -> object:
    """What was registered last, or None when that file is missing or damaged."""
    try:
        return json.loads(stamp.read_bytes())
    except (OSError, ValueError):
        return None


def _registered(api: PrefectApi) -> list[Document]:
    return api.filter("/deployments", deployments={"tags": {"all_": [TAG]}})


def _identity(deployment: Mapping[str, Any]) -> tuple[str, str]:
    return deployment["entrypoint"], deployment["name"]


def _digest(generated: Generated) -> str:
    """A digest of what shapes deployments: what is generated, and the flows with their forms."""
    digest = hashlib.sha256(f"{__version__}\0{generated.text}\0".encode())
    for path in sorted(FLOWS.rglob("*.py")):
        digest.update(path.relative_to(FLOWS).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
