"""Changes since a version was made are listed by axis and name."""

from dataclasses import replace

from overnight.models.definition import TrainingSettings
from overnight.store.registry.manifest import CodeLineage
from overnight.tasks.evaluation.explain import Axis, Present, explain
from tests.support.examples import manifest

SETTINGS = TrainingSettings(
    epochs=1, batch_rows=8, learning_rate=0.1, seed=1, validation_share=0.1, patience_epochs=1
)
FILES = {"models/digits/network.py": "1" * 64, "tasks/training/worker.py": "2" * 64}
MADE = manifest().model_copy(
    update={
        "code": CodeLineage(commit="a" * 40, clean=True, digest="c" * 64, files=FILES),
        "training": manifest().training.model_copy(update={"settings": SETTINGS.model_dump()}),
    }
)
NOW = Present(MADE.data, MADE.code, MADE.environment, SETTINGS.model_dump())


def changed(now: Present) -> list[Axis]:
    return [axis for axis in explain(MADE, now) if axis.changed]


def test_nothing_changed_if_all_inputs_are_equal():
    axes = explain(MADE, NOW)

    assert [axis.name for axis in axes] == ["data", "holdout", "settings", "code", "packages"]
    assert not any(axis.changed for axis in axes)


def test_new_rows_are_listed_with_their_arrivals():
    data = MADE.data.model_copy(update={"digest": "f" * 64, "rows": 51_000})

    (axis,) = changed(replace(NOW, data=data, arrivals=("night-0001",)))

    assert axis.name == "data"
    assert axis.detail == "50,000 rows then, 51,000 now; arrived since: night-0001"


def test_many_arrivals_are_counted_instead_of_listed():
    data = MADE.data.model_copy(update={"digest": "f" * 64})
    names = [f"night-{arrival:04d}" for arrival in range(9)]

    (axis,) = changed(replace(NOW, data=data, arrivals=names))

    assert axis.detail.endswith("night-0003, night-0004 and 4 more")


def test_an_older_dataset_is_called_another_table():
    data = MADE.data.model_copy(update={"digest": "f" * 64, "dataset_version": 0})

    (axis,) = changed(replace(NOW, data=data))

    assert "another table" in axis.detail


def test_another_holdout_is_reported_even_if_it_has_as_many_rows():
    data = MADE.data.model_copy(update={"holdout_digest": "f" * 64})

    (axis,) = changed(replace(NOW, data=data))

    assert (axis.name, axis.detail) == (
        "holdout",
        "10,000 rows then, 10,000 now, with other contents",
    )


def test_settings_are_listed_by_name_with_both_values():
    settings = SETTINGS.model_dump() | {"seed": 7, "epochs": 3}

    (axis,) = changed(replace(NOW, settings=settings))

    assert axis.detail == "epochs 1 then, 3 now; seed 1 then, 7 now"


def test_sources_are_listed_by_path():
    files = {"models/digits/network.py": "9" * 64, "tasks/evaluation/judge.py": "3" * 64}
    code = MADE.code.model_copy(update={"digest": "9" * 64, "files": files})

    (axis,) = changed(replace(NOW, code=code))

    assert axis.detail == (
        "changed models/digits/network.py; added tasks/evaluation/judge.py; "
        "removed tasks/training/worker.py"
    )


def test_a_version_without_paths_shows_its_commit():
    made = MADE.model_copy(update={"code": MADE.code.model_copy(update={"files": {}})})
    code = MADE.code.model_copy(update={"digest": "9" * 64})

    (axis,) = [axis for axis in explain(made, replace(NOW, code=code)) if axis.changed]

    assert axis.detail == "commit aaaaaaaaaaaa then, other sources now"


def test_packages_that_train_are_listed_by_name():
    environment = MADE.environment.model_copy(
        update={"lock_digest": "9" * 64, "packages": {"keras": "3.16"}}
    )

    (axis,) = changed(replace(NOW, environment=environment))

    assert axis.detail == "keras absent then, 3.16 now"


def test_a_lock_file_with_other_changes_is_reported_as_such():
    environment = MADE.environment.model_copy(update={"lock_digest": "9" * 64})

    (axis,) = changed(replace(NOW, environment=environment))

    assert axis.detail == "another lock file; the packages that train are the same"


def test_another_release_of_overnight_is_named_even_where_no_source_differs():
    made = manifest()
    then = made.code.model_copy(update={"overnight": "0.1.0"})
    now = then.model_copy(update={"overnight": "0.2.0"})
    axes = explain(
        made.model_copy(update={"code": then}),
        Present(made.data, now, made.environment, made.training.settings),
    )

    (code,) = (axis for axis in axes if axis.name == "code")
    assert code.changed
    assert code.detail == "overnight 0.1.0 then, 0.2.0 now; the same sources otherwise"
