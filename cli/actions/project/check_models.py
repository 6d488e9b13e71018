"""`overnight test`: the contract of every model, one line a check."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from overnight import models
from overnight.infra.settings import load
from overnight.models.definition import Places
from overnight.store.errors import ConfigurationError
from overnight.store.printable import printable
from overnight.tasks.contract import suite


def run(chosen: Sequence[str]) -> bool:
    """Check the models that are named, or all; prints each outcome, returns whether all hold.

    Raises:
        UnknownModel
        ConfigurationError: no model is declared.
    """
    settings = load()
    names = chosen or models.names()
    if not names:
        raise ConfigurationError("no model is declared; `overnight new NAME` adds one")
    declared = [models.declaration(name) for name in names]
    held = True
    for model in declared:
        print(f"{model.name}  {model.module}")
        try:
            definition = models.load(model)
        except ConfigurationError as error:
            print(f"  FAILED  definition  {printable(' '.join(str(error).split()))}")
            held = False
            continue
        places = Places(
            settings.source_folders.get(model.name), settings.home / "sources" / model.name
        )
        with TemporaryDirectory(prefix="overnight-test-") as folder:
            for outcome in suite.run(
                definition, places, Path(folder), seconds=settings.fit_seconds
            ):
                print(f"  {printable(str(outcome))}", flush=True)
                held = held and outcome.passed
    return held
