"""Searches for better settings: parallel trials, each a fit in a process of its own.

Trials are compared by validation loss; the holdout is not used. Optuna proposes settings
(Tree-structured Parzen Estimator, Bergstra et al. 2011) and prunes trials whose epochs are worse
than the median of the others (Golovin et al. 2017).
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
from overnight.tasks import child_process
from overnight.tasks.errors import StepFailed
from overnight.tasks.training.examples_file import save
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
    """Run `trials` fits, `parallel` at once, and return all their results.

    The first trial has the current settings. A failed trial does not end the search. With the same
    seed and one trial at a time, the proposals are the same.

    Args:
        seconds: how long one trial may take.
        report: called after each trial with the number of ended trials and the results so far.

    Raises:
        ConfigurationError: the model declares no ranges, or the settings lie outside them.
        StepFailed: no trial is complete.
    """
    _check(definition.tunable, settings)
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "rows.npz"
    save(rows, training.encoded(definition.tensors))
    search = _Study(definition, settings, rows=rows, seconds=seconds)
    pool = ThreadPoolExecutor(parallel)
    try:
        fits = [pool.submit(search.run_trial, folder) for _ in range(trials)]
        # Reported on the caller's thread: Prefect finds its run by the context of the thread.
        for number_done, fit in enumerate(as_completed(fits), 1):
            fit.result()
            report(number_done, search.so_far())
    finally:
        pool.shutdown(cancel_futures=True)
        rows.unlink(missing_ok=True)
    result = search.so_far()
    # Raises if no trial is complete.
    _ = result.best
    return result


def _check(ranges: Ranges, settings: TrainingSettings) -> None:
    """Compare the declared ranges with the current settings."""
    if not ranges:
        raise ConfigurationError("this model declares nothing to tune; give it `tunable` ranges")
    current = settings.model_dump()
    for name, declared in ranges.items():
        if name not in current:
            raise ConfigurationError(
                f"{name} is no setting of this model; expected one of {sorted(current)}"
            )
        if isinstance(declared, Range) and not declared.low <= current[name] <= declared.high:
            raise ConfigurationError(
                f"{name} is {current[name]}, expected a value in its range {declared.low} to "
                f"{declared.high}; widen the range or change the setting"
            )


class _Study:
    """The state that concurrent trials share: Optuna's study and the results, under a lock."""

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
        # For study and results together, so that a report never sees half a trial.
        self._lock = threading.Lock()
        self._trials: dict[int, Trial] = {}
        self._study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=settings.seed),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
        )
        current = settings.model_dump()
        # The baseline that the other trials must beat.
        self._study.enqueue_trial({name: current[name] for name in definition.tunable})

    def so_far(self) -> Search:
        with self._lock:
            return Search(tuple(self._trials[number] for number in sorted(self._trials)))

    def run_trial(self, folder: Path) -> None:
        """Run one trial: propose settings, fit, record the result."""
        with self._lock:
            trial = self._study.ask()
            proposed = _proposed(trial, self._definition.tunable, self._settings)
        trial_folder = folder / f"trial-{trial.number:04d}"
        trial_folder.mkdir(exist_ok=True)
        settings = type(self._settings).model_validate(self._settings.model_dump() | proposed)
        request = {
            "network": self._definition.network,
            "rows": str(self._rows.absolute()),
            "settings": settings.model_dump(),
            "validation": self._definition.validation,
        }
        (trial_folder / "request.json").write_text(json.dumps(request))
        self._record(trial, proposed, *self._fit(trial, trial_folder))

    def _fit(self, trial: optuna.Trial, trial_folder: Path) -> tuple[float | None, str]:
        """The lowest validation loss, or None and the reason, which is empty if it was pruned."""
        losses: list[float] = []

        def on_line(line: str) -> None:
            if (loss := _epoch_loss(line)) is None:
                return
            losses.append(loss)
            with self._lock:
                trial.report(loss, len(losses))
                # The current settings are never pruned: all others are compared with them.
                if trial.number and trial.should_prune():
                    raise _PrunedError

        arguments, log = [str(trial_folder.absolute())], trial_folder / "fit.log"
        try:
            child_process.run(
                "overnight.tasks.training.trial_worker",
                arguments,
                log=log,
                seconds=self._seconds,
                on_line=on_line,
            )
        except _PrunedError:
            return None, ""
        except StepFailed as failure:
            return None, str(failure)
        if not losses or not np.isfinite(losses).any():
            return None, f"no epoch had a finite validation loss; its log: {log}"
        return float(np.nanmin(losses)), ""

    def _record(
        self, trial: optuna.Trial, proposed: Mapping[str, float], loss: float | None, why: str
    ) -> None:
        states = optuna.trial.TrialState
        with self._lock:
            if loss is not None:
                self._study.tell(trial, loss)
                outcome = Trial(trial.number, proposed, "complete", loss)
            elif why:
                self._study.tell(trial, state=states.FAIL)
                outcome = Trial(trial.number, proposed, "failed", why=why)
            else:
                self._study.tell(trial, state=states.PRUNED)
                outcome = Trial(trial.number, proposed, "pruned")
            self._trials[trial.number] = outcome


class _PrunedError(Exception):
    """Leaves `child_process.run`, which kills the process of the pruned trial."""


def _proposed(
    trial: optuna.Trial, ranges: Ranges, settings: TrainingSettings
) -> dict[str, float | int]:
    """Optuna's proposal for every range, with integers where the setting is one."""
    current = settings.model_dump()
    proposed: dict[str, float | int] = {}
    for name, declared in ranges.items():
        whole = isinstance(current[name], int)
        if isinstance(declared, Choice):
            options = sorted({*declared.options, current[name]})
            value = trial.suggest_categorical(name, options)
        elif whole:
            value = trial.suggest_int(name, int(declared.low), int(declared.high), log=declared.log)
        else:
            value = trial.suggest_float(name, declared.low, declared.high, log=declared.log)
        proposed[name] = int(value) if whole else float(value)
    return proposed


def _epoch_loss(line: str) -> float | None:
    """The validation loss in a progress line at the end of an epoch; None in other lines."""
    if not line.startswith("{"):
        return None
    try:
        return Progress.model_validate_json(line).metrics.get(LOSS)
    except ValidationError:
        return None
