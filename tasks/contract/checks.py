"""The checks of a model's contract, in order: each is a line of `overnight test`."""

import importlib.util
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from overnight.models.definition import ModelDefinition
from overnight.models.gates import (
    BetterThan,
    MaximumGap,
    MaximumRegression,
    MinimumImprovement,
)
from overnight.models.gates.comparing import ACCURACY
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.reference import reference_of
from overnight.store.registry.manifest import Finding
from overnight.tasks.contract.failure import CheckFailed
from overnight.tasks.contract.first_steps import FirstSteps
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.data.tensor_checks import tensor_mismatch
from overnight.tasks.data.validate import validate
from overnight.tasks.evaluation.judge import check_attainable, judge
from overnight.tasks.training import lineage

_COMPARISONS = (BetterThan, MaximumRegression, MinimumImprovement)
_SERVED = {"SamePredictions", "WithinBudget"}
_PNG = b"\x89PNG"


@dataclass(frozen=True)
class Check:
    """One check: its name, the step that it makes, and the checks that have to hold before it.

    `run` returns what was seen, for the line that is printed; `remedy` is for errors of the
    model's own code.
    """

    name: str
    run: Callable[[FirstSteps], str]
    remedy: str
    needs: tuple[str, ...] = ()


def definition_is_complete(steps: FirstSteps) -> str:
    """It has gates, and its modules exist."""
    definition = steps.declared
    if not definition.gates:
        raise CheckFailed(
            "it declares no gate, so every candidate would be promoted", "declare one in gates.py"
        )
    for kind in ("network", "pictures"):
        module = getattr(definition, kind)
        if importlib.util.find_spec(module) is None:
            raise CheckFailed(
                f"{kind} names the module {module}, which does not exist", f"correct {kind}=…"
            )
    return f"{len(definition.gates)} gates, {len(definition.tensors.inputs)} inputs"


def sources_are_covered(steps: FirstSteps) -> str:
    """Its files are known, so that a change of one trains again."""
    return f"{len(lineage.code(steps.declared).files)} files determine a version"


def rows_are_read(steps: FirstSteps) -> str:
    """The source delivers arrivals and a holdout that it can read itself."""
    rows = steps.rows
    missing = "digest" not in rows.training.column_names
    if missing or not all(rows.training.column("digest").to_pylist()):
        raise CheckFailed(
            "rows have no digest, so equal ones cannot be noticed",
            "let read() add the column `digest`, as the sources of overnight do",
        )
    if not rows.holdout.num_rows:
        raise CheckFailed(
            "the holdout has no rows, so nothing can be judged",
            "give the source rows that judge, such as holdout.csv",
        )
    return f"{rows.training.num_rows:,} rows, and {rows.holdout.num_rows:,} that judge"


def data_gates_admit_them(steps: FirstSteps) -> str:
    """The data gates and the declared tensors hold for these rows."""
    rows = steps.rows
    # How old rows are is no property of the model.
    gates = replace(steps.definition.data_gates, fresh_days=None)
    findings = validate(
        rows.training,
        Snapshot(**steps.snapshot.model_dump()),
        replace(steps.definition, data_gates=gates),
        holdout=rows.holdout,
        now=datetime.now(UTC),
    )
    refused = [finding for finding in findings if not finding.passed]
    if refused:
        raise CheckFailed(
            f"the rows that exist are refused: {_messages(refused)}",
            "correct the rows or the declaration of columns and tensors, or bring more rows",
        )
    return f"{len(findings)} findings hold"


def holdout_is_as_declared(steps: FirstSteps) -> str:
    """The rows that judge become examples of the declared tensors."""
    examples = steps.whole_holdout
    declared = {spec.name: spec for spec in steps.definition.tensors.inputs}
    further = sorted(examples.inputs.keys() - declared.keys())
    wrong = [
        f"{name}: {mismatch}"
        for name, spec in declared.items()
        if (mismatch := tensor_mismatch(examples.inputs.get(name), spec))
    ]
    if further or wrong:
        raise CheckFailed(
            "; ".join([*(f"{name} is declared by no tensor" for name in further), *wrong]),
            "correct the tensors or examples() in schema.py, or the rows of the holdout",
        )
    return f"{examples.n:,} examples"


def gates_can_hold(steps: FirstSteps) -> str:
    """No gate needs more rows than judge."""
    # A moving holdout has other rows in every run, so too few of them are a refusal.
    if steps.definition.moving_holdout is not None:
        return "the holdout moves"
    check_attainable(steps.definition.gates, steps.whole_holdout)
    return f"{steps.whole_holdout.n:,} rows judge"


def network_trains(steps: FirstSteps) -> str:
    """One epoch trains, and is exported."""
    seconds = steps.candidate.fitted.seconds
    return f"{steps.training.n:,} rows, one epoch in {seconds:.0f} s"


def answers_are_as_declared(steps: FirstSteps) -> str:
    """The network's outputs are the declared ones, and finite."""
    declared = {spec.name: spec for spec in steps.definition.tensors.outputs}
    if steps.predictions.keys() != declared.keys():
        raise CheckFailed(
            f"the network answers {', '.join(sorted(steps.predictions))}, and "
            f"{', '.join(sorted(declared))} are declared",
            "use one name for an output in network.py and schema.py",
        )
    for name, spec in declared.items():
        answers = np.asarray(steps.predictions[name])
        if answers.shape != (steps.holdout.n, *spec.shape):
            raise CheckFailed(
                f"{name}: expected the shape {list(spec.shape)} for a row, found "
                f"{list(answers.shape[1:])}",
                "correct the network's last layer, or the shape in schema.py",
            )
        if not np.isfinite(answers.astype(np.float64)).all():
            raise CheckFailed(
                f"{name}: some answers are not finite after one epoch",
                "lower the learning rate, or scale the inputs in the network",
            )
    return ", ".join(declared)


def served_alike(steps: FirstSteps) -> str:
    """The exported network is served over HTTP, and answers as in training."""
    rehearsal = steps.rehearsal.rehearsal
    for kind, compared in (("export", steps.evaluation.exported), ("serving", rehearsal)):
        changed = [] if compared is None else [o for o in compared.further if o.rows]
        if changed:
            raise CheckFailed(
                f"{changed[0].output} has other answers after {kind} in {changed[0].rows:,} rows",
                "declare the tolerance of the model, or keep its weights as float in the export",
            )
    return f"p99 {rehearsal.p99_ms:.1f} ms, {rehearsal.size_mb:.1f} MB"


def metrics_are_measured(steps: FirstSteps) -> str:
    """Whatever a gate names is measured, on the slice where it is asked for."""
    definition = steps.definition
    evaluation = replace(steps.evaluation, rehearsal=steps.rehearsal.rehearsal)
    if missing := unmeasured(definition, evaluation):
        raise CheckFailed(
            f"no metric of this name is measured: {'; '.join(missing)}",
            "measure it in measure(), or per row in per_row() for comparisons; or correct the gate",
        )
    # The rows are some of the holdout's, so that too few of them are no finding here.
    verdict = judge(evaluation, definition.gates)
    for finding in verdict.findings:
        if finding.gate in _SERVED and not math.isfinite(finding.value or 0.0):
            raise CheckFailed(f"{finding.name}: {finding.message}", "correct what is measured")
    return f"{len(verdict.findings)} findings"


def plots_are_drawn(steps: FirstSteps) -> str:
    """The pictures of its report are PNG files."""
    plots = steps.plots
    wrong = [name for name, path in plots.items() if not path.read_bytes().startswith(_PNG)]
    if wrong or not plots:
        what = f"{wrong[0]} is no PNG" if wrong else "no plot is drawn"
        raise CheckFailed(what, "let pictures() return figures, as overnight.models.plots does")
    return ", ".join(plots)


def reference_is_made(steps: FirstSteps) -> str:
    """What the monitor compares traffic and labels with can be made of rows and answers."""
    made = reference_of(
        steps.definition,
        "candidate",
        training=steps.training,
        holdout=steps.holdout,
        outputs=steps.predictions,
    )
    return f"{len(made.features)} features are watched"


def unmeasured(definition: ModelDefinition, evaluation: Evaluation) -> list[str]:
    """Metrics and baselines that gates name and nobody measures, each with its slice."""
    measured = {(value.metric, value.slice) for value in evaluation.measurements}
    # Right answers are compared by their counts, every other metric row by row, on any slice.
    detail = {ACCURACY, *(row.metric for row in evaluation.rows)}
    compared = {(metric, part) for metric in detail for part in ("", *evaluation.slices)}
    missing = []
    for gate in (*definition.gates, definition.reinstatement):
        if isinstance(gate, MaximumGap):
            groups = [part for metric, part in measured if metric == gate.metric]
            if sum(part.startswith(f"{gate.between}=") for part in groups) < 2:
                missing.append(f"{gate}: {gate.metric} of two groups of {gate.between}")
        reported = compared if isinstance(gate, _COMPARISONS) else measured
        metrics = [getattr(gate, name) for name in ("metric", "baseline") if hasattr(gate, name)]
        where = (*getattr(gate, "slices", ()), *getattr(gate, "perturbations", ()))
        missing += [
            f"{gate}: {metric} of {part or 'all rows'}"
            for metric in metrics
            for part in where
            if (metric, part) not in reported
        ]
    return missing


def _messages(findings: Iterable[Finding]) -> str:
    return "; ".join(finding.message for finding in findings)


CHECKS: Mapping[str, Check] = {
    check.name: check
    for check in (
        Check("definition", definition_is_complete, "correct the definition"),
        Check("sources", sources_are_covered, "correct the imports of the model's modules"),
        Check("rows", rows_are_read, "correct source.py, or the files in the folder of its rows"),
        Check(
            "data gates",
            data_gates_admit_them,
            "correct the data gates in gates.py, or examples() in schema.py",
            needs=("rows",),
        ),
        Check(
            "holdout",
            holdout_is_as_declared,
            "correct examples() in schema.py, or the rows of the holdout",
            needs=("rows",),
        ),
        Check("gates", gates_can_hold, "correct gates.py", needs=("holdout",)),
        Check(
            "network",
            network_trains,
            "correct network.py; the log has the traceback",
            needs=("definition", "data gates", "holdout"),
        ),
        Check("answers", answers_are_as_declared, "correct predict()", needs=("network",)),
        Check(
            "serving",
            served_alike,
            "see the log; LiteRT may lack an operation of the network",
            needs=("answers",),
        ),
        Check("metrics", metrics_are_measured, "correct measure()", needs=("serving",)),
        Check(
            "reference",
            reference_is_made,
            "correct examples() or correct(); without it versions are published and not watched",
            needs=("answers",),
        ),
        Check("plots", plots_are_drawn, "correct pictures()", needs=("answers",)),
    )
}
