"""Search for better settings: trials side by side, each a fit in a process of its own.

Trials are judged by their validation loss; the holdout is not looked at. Optuna proposes
(Tree-structured Parzen Estimator, Bergstra et al. 2011) and gives up trials whose epochs are
worse than the median of the others' (Golovin et al. 2017).
"""

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import numpy as np
import optuna
from pydantic import ValidationError

from overnight.models.definition import ModelDefinition, Progress, TrainingSettings
from overnight.models.examples import Examples
from overnight.models.search_space import Choice, Range, Ranges
from overnight.store.errors import ConfigurationError
from overnight.tasks.errors import StepFailed
from overnight.tasks.training import child_process
from overnight.tasks.training.train import save
from overnight.tasks.training.trials import Search, Trial

LOSS = "validation_loss"


def tune(
    definition: ModelDefinition,
    settings: TrainingSettings,
    training: Examples,
    *,
    trials: int,
    parallel: int,
    folder: Path,
    seconds: float,
    report: Callable[[int, Search], None],
) -> Search:
    """Fit `trials` times, `parallel` at once, and say what each came to.

    The first trial has the settings as they are. A trial that fails is told and costs the search
    nothing more. The same seed and one trial at a time propose the same again.

    Args:
        seconds: how long one trial may take.
        report: hears how many trials are over, and the search so far, whenever one ends.

    Raises:
        ConfigurationError: the model declares no ranges, or the settings lie outside them.
        StepFailed: no trial came to an end.
    """
    _check(definition.tunable, settings)
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "rows.npz"
    save(rows, training)
    search = _Searching(definition, settings, rows=rows, seconds=seconds)
    pool = ThreadPoolExecutor(parallel)
    try:
        fits = [pool.submit(search.one, folder) for _ in range(trials)]
        # Reported is from here, where the caller's context is, and not from the threads of trials.
        for over, fit in enumerate(as_completed(fits), 1):
            fit.result()
            report(over, search.so_far())
    finally:
        pool.shutdown(cancel_futures=True)
        rows.unlink(missing_ok=True)
    found = search.so_far()
    _ = found.best
    return found


def _check(ranges: Ranges, settings: TrainingSettings) -> None:
    """Hold declared ranges against the settings that they are about, and that hold now."""
    if not ranges:
        raise ConfigurationError("this model declares nothing to tune; give it `tunable` ranges")
    known = settings.model_dump()
    for name, declared in ranges.items():
        if name not in known:
            raise ConfigurationError(f"{name} is no setting to tune; there are {sorted(known)}")
        if isinstance(declared, Range) and not declared.low <= known[name] <= declared.high:
            raise ConfigurationError(
                f"{name} is {known[name]}, outside of the range {declared.low} to {declared.high} "
                "that is to be searched; widen the range or change the setting"
            )


class _Searching:
    """What the trials of a search share."""

    def __init__(
        self,
        definition: ModelDefinition,
        settings: TrainingSettings,
        *,
        rows: Path,
        seconds: float,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._definition, self._settings = definition, settings
        self._rows, self._seconds = rows, seconds
        self._lock = threading.Lock()
        self._trials: dict[int, Trial] = {}
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=settings.seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
        known = settings.model_dump()
        self._study.enqueue_trial({name: known[name] for name in definition.tunable})

    def so_far(self) -> Search:
        with self._lock:
            return Search(tuple(self._trials[number] for number in sorted(self._trials)))

    def one(self, folder: Path) -> None:
        """One trial, from its proposal to what it came to."""
        with self._lock:
            trial = self._study.ask()
            asked = _proposed(trial, self._definition.tunable, self._settings)
        place = folder / f"trial-{trial.number:04d}"
        place.mkdir(exist_ok=True)
        settings = type(self._settings).model_validate(self._settings.model_dump() | asked)
        request = {
            "network": self._definition.network,
            "rows": str(self._rows.absolute()),
            "settings": settings.model_dump(),
        }
        (place / "request.json").write_text(json.dumps(request))
        self._tell(trial, asked, *self._fit(trial, place))

    def _fit(self, trial: optuna.Trial, place: Path) -> tuple[float | None, str]:
        """The lowest validation loss, or None and why there is none; empty when given up."""
        losses: list[float] = []

        def hear(line: str) -> None:
            if (loss := _epoch_loss(line)) is None:
                return
            losses.append(loss)
            with self._lock:
                trial.report(loss, len(losses))
                # What all others are held against is seen through to its end.
                if trial.number and trial.should_prune():
                    raise _GivenUpError

        arguments, log = [str(place.absolute())], place / "fit.log"
        try:
            child_process.run(
                "overnight.tasks.training.trial_worker",
                arguments,
                log=log,
                seconds=self._seconds,
                line=hear,
            )
        except _GivenUpError:
            return None, ""
        except StepFailed as failure:
            return None, str(failure)
        if not losses or not np.isfinite(losses).any():
            return None, f"no epoch validated with a number; its log: {log}"
        return float(np.nanmin(losses)), ""

    def _tell(
        self, trial: optuna.Trial, asked: Mapping[str, float], loss: float | None, why: str
    ) -> None:
        states = optuna.trial.TrialState
        with self._lock:
            if loss is not None:
                self._study.tell(trial, loss)
                ended = Trial(trial.number, asked, "complete", loss)
            elif why:
                self._study.tell(trial, state=states.FAIL)
                ended = Trial(trial.number, asked, "failed", why=why)
            else:
                self._study.tell(trial, state=states.PRUNED)
                ended = Trial(trial.number, asked, "given up")
            self._trials[trial.number] = ended


class _GivenUpError(Exception):
    """A trial is worse than most: its process is stopped."""


def _proposed(
    trial: optuna.Trial, ranges: Ranges, settings: TrainingSettings
) -> dict[str, float | int]:
    """Ask for a value of every range; whole numbers where the setting is one."""
    known = settings.model_dump()
    asked: dict[str, float | int] = {}
    for name, declared in ranges.items():
        whole = isinstance(known[name], int)
        if isinstance(declared, Choice):
            options = sorted({*declared.options, known[name]})
            value = trial.suggest_categorical(name, options)
        elif whole:
            value = trial.suggest_int(name, int(declared.low), int(declared.high), log=declared.log)
        else:
            value = trial.suggest_float(name, declared.low, declared.high, log=declared.log)
        asked[name] = int(value) if whole else float(value)
    return asked


def _epoch_loss(line: str) -> float | None:
    """The validation loss in a line of progress that ends an epoch."""
    if not line.startswith("{"):
        return None
    try:
        return Progress.model_validate_json(line).metrics.get(LOSS)
    except ValidationError:
        return None
