"""Training progress is text that people read."""

import logging

from overnight.flows.run.progress import progress_line
from overnight.flows.steps import step as steps
from overnight.models.definition import Progress


def test_an_epoch_is_text_and_no_dictionary():
    progress = Progress(
        epoch=3, epochs=12, step=5, steps=5, metrics={"loss": 0.041234, "accuracy": 0.98712}
    )

    assert progress_line(progress) == "epoch 3 of 12, loss 0.04123, accuracy 0.9871"


def test_the_line_about_the_end_of_a_task_names_it_and_others_stay():
    fields = {"name": "prefect.task_runs", "levelno": logging.INFO, "task_name": "evaluate"}
    ended = logging.makeLogRecord(
        fields | {"msg": "Finished in state %s", "args": ("Completed()",)}
    )
    other = logging.makeLogRecord(fields | {"msg": "1,000 rows"})

    assert steps._name_task(ended)
    assert steps._name_task(other)

    assert ended.getMessage() == "evaluate: Finished in state Completed()"
    assert other.getMessage() == "1,000 rows"
