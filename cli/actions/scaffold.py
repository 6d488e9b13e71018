"""`overnight new`: the files of a new model, made from a starter."""

import keyword
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import yaml

from overnight import models
from overnight.cli.actions.sample_data import GENERATORS
from overnight.store.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
# A name is also a Python package, part of URLs, and part of a setting's name.
_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
_HOLDOUT_ROWS, _ARRIVAL_ROWS = 120, 240


def scaffold(name: str, like: str, *, root: Path = ROOT) -> dict[Path, str]:
    """The files of a new model: their paths in the checkout, and their text.

    Nothing is written; `deployments.yaml` is among them, with its entries added.

    Raises:
        ConfigurationError: an unusable name, an unknown starter, or no checkout.
    """
    _check(name, like, root)
    folder = root / "models" / "starters" / like
    files = {
        root / "models" / name / path.name: _renamed(path.read_text(), name, like)
        for path in sorted(folder.glob("*.py"))
    }
    files[root / "deployments.yaml"] = _deployed(root, name, like)
    rows = root / "tests" / "models" / name / "rows"
    files[rows / "holdout.csv"] = GENERATORS[like](_HOLDOUT_ROWS, seed=1)
    files[rows / "night-0001.csv"] = GENERATORS[like](_ARRIVAL_ROWS, seed=2)
    return files


def write(files: Mapping[Path, str]) -> None:
    """Write the files, creating their folders."""
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _check(name: str, like: str, root: Path) -> None:
    if not (root / "deployments.yaml").is_file() or not (root / "models").is_dir():
        raise ConfigurationError(
            f"{root} is no checkout of overnight: a new model is added to one; "
            "clone the repository and run this in it"
        )
    if like not in GENERATORS:
        raise ConfigurationError(f"--like: expected one of {', '.join(GENERATORS)}, found {like!r}")
    # YAML reads `on` as a boolean and `null` as none: deployments.yaml needs a string.
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or yaml.safe_load(name) != name:
        raise ConfigurationError(
            f"a model's name is lower-case letters and digits, 32 at most, beginning with a "
            f"letter, and no word of Python's or YAML's; found {name!r}"
        )
    # A package would hide a module of the same name, which other models may import.
    if any((root / "models" / path).exists() for path in (name, f"{name}.py")):
        raise ConfigurationError(
            f"models/{name} exists already; choose another name, or remove that folder and its "
            "entries in deployments.yaml first"
        )


def _renamed(text: str, name: str, like: str) -> str:
    """A starter's source with the modules, the name and the title of the new model."""
    text = text.replace(f"overnight.models.starters.{like}", f"overnight.models.{name}")
    return text.replace('"starter"', f'"{name}"').replace('"Starter"', f'"{name.capitalize()}"')


def _deployed(root: Path, name: str, like: str) -> str:
    """deployments.yaml with the new model, scheduled half an hour after all others."""
    text = (root / "deployments.yaml").read_text()
    entries = yaml.safe_load(text)["deployments"]
    crons = [
        schedule["cron"].split() for entry in entries for schedule in entry.get("schedules", ())
    ]
    minutes = [int(hour) * 60 + int(minute) for minute, hour, *_ in crons]
    hour, minute = divmod((max(minutes, default=90) + 30) % (24 * 60), 60)
    settings = import_module(f"{models.__name__}.starters.{like}").DEFINITION.settings
    shown = settings.model_dump(include={"epochs", "learning_rate", "batch_rows", "seed"})
    parameters = "".join(f", {setting}: {value}" for setting, value in shown.items())
    # Appended as text: a dump of the parsed file would lose its anchors and comments.
    return "\n".join(
        (
            text.rstrip("\n"),
            "",
            *_entry("retrain", name, parameters),
            "    schedules:",
            f'      - {{cron: "{minute} {hour} * * *", timezone: Europe/Berlin, slug: nightly}}',
            *_entry("ingest", name),
            *_entry("reproduce", name),
            "",
        )
    )


def _entry(flow: str, name: str, parameters: str = "") -> tuple[str, ...]:
    return (
        f"  - <<: *{flow}",
        f"    name: {name}",
        f"    tags: [overnight, {name}, {flow}, retry]",
        f"    parameters: {{model: {name}{parameters}}}",
    )
