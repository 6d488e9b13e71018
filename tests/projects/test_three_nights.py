"""Models of a user's own repository walk three nights, in an environment with the wheel alone.

`make test` takes the three that are least alike: a given network, rows of several lengths, and
photographs with two outputs. `make faults` takes all six.
Night 2 brings rows and a category that nobody has seen, night 3 a column that older rows lack.
After each night a host that is installed from the same wheel answers clients that know nothing of
the project, over the protocols that others speak.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.manifest import Manifest
from tests.support.faults.tally import is_thorough
from tests.support.postgres_server import postgres
from tests.support.projects import edits, rows
from tests.support.projects.clients import (
    CLIENTS,
    Answer,
    ask_binary,
    ask_png,
    ask_v1,
    ask_v2,
)
from tests.support.projects.town import Outcome, Town, deliver, town
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import registry
from tests.support.waiting import until
from tests.support.wheel_environment import WheelEnvironment

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(900)]

FEW = ("heating", "machines", "garments")
MODELS = tuple(
    pytest.param(model, marks=() if model in FEW else pytest.mark.thorough) for model in rows.ROWS
)
PROTOCOLS = {"v1": ask_v1, "v2": ask_v2, "binary": ask_binary}
# The input that has a new category in arrival 2, and that category.
NEW_CATEGORY = {
    "churn": ("tariff", "green"),
    "tickets": ("channel", "chat"),
    "heating": ("kind", "school"),
    "machines": ("site", "north"),
    "flats": ("district", "harbour"),
}
# The input that comes with arrival 3, its default as declared, and another value.
NEW_COLUMN = {
    "churn": ("app", 0, 1),
    "tickets": ("stars", 3, 1),
    "heating": ("people", 2, 6),
    "machines": ("load", 0.5, 1.0),
    "garments": ("zoom", 1.0, 2.0),
    "flats": ("balcony", 0, 1),
}
by_model = pytest.mark.parametrize("model", MODELS)
by_night = pytest.mark.parametrize("night", [1, 2, 3])


@dataclass(frozen=True)
class Night:
    """How the runs of a night ended, and what the host answered afterwards."""

    outcomes: Mapping[str, Outcome]
    manifests: Mapping[str, Manifest]
    # By model, and protocol or "later": the client that sends the new column as well.
    answers: Mapping[tuple[str, str], Answer]
    photo: Answer


@pytest.fixture(scope="module")
def nights(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    wheel_environment: WheelEnvironment,
    s3_endpoint: str,
    prefect_server: str,
) -> Iterator[Mapping[int, Night]]:
    """The three nights, by number."""
    place, python = tmp_path_factory.mktemp("town"), wheel_environment.python
    models = tuple(rows.ROWS) if is_thorough(pytestconfig) else FEW
    address = S3Address(s3_endpoint, "town", ACCESS, SECRET)
    S3Bucket(address).ensure()
    with (
        postgres() as database,
        town(place, python, address, prefect_server, database) as running,
        run_serving(
            place=place / "host",
            folder=place,
            python=python,
            # Models are looked for throughout ten minutes.
            **follow_settings(address, serving_workers="1", poll_seconds="1"),
        ) as serving,
    ):
        deliver(running, rows.HOLDOUT)
        ended = {}
        for number, changes in ((1, {}), (2, edits.FIRST_FIT), (3, edits.NEW_COLUMNS)):
            running.edit(changes)
            deliver(running, number)
            ended[number] = night(running, serving, models, sends_new_column=number == 3)
        yield ended


def night(
    running: Town, serving: Serving, models: Sequence[str], *, sends_new_column: bool
) -> Night:
    """Run every model, wait until the host has switched, and ask it everything."""
    outcomes = running.retrain(*models)
    manifests = {}
    for model in models:
        versions = registry(running.bucket, model)
        champion = versions.champion_version()
        assert champion, f"{model}: {outcomes[model]}"
        manifests[model] = versions.manifest(champion)
        until(partial(serves, serving, model, champion), what=f"{model} {champion} answers")
    answers = {
        (model, name): ask(serving, CLIENTS[model], asked_rows(model))
        for model in models
        for name, ask in PROTOCOLS.items()
    }
    if sends_new_column:
        for model in models:
            column, default, other = NEW_COLUMN[model]
            for name, value in (("default", default), ("other", other)):
                answers[model, name] = ask_v1(
                    serving,
                    CLIENTS[model].later(column, "FP32"),
                    asked_rows(model, **{column: value}),
                )
    photo = rows.png(asked_rows("garments")["photo"][0].as_py())
    return Night(outcomes, manifests, answers, ask_png(serving, "garments", photo))


def serves(serving: Serving, model: str, version: str) -> bool:
    status, headers, _ = serving.request("GET", f"/v2/models/{model}")
    return status == 200 and headers.get("x-model-version") == version


def asked_rows(model: str, **changed: float) -> pa.Table:
    """Rows to ask for: one of a known category and one of the new; of machines one alone.

    The protocols have no tensor of rows of several lengths, and machines have as many readings as
    there happen to be.
    """
    table = rows.ROWS[model](3)
    chosen = [0, 1]
    if model in NEW_CATEGORY:
        column, category = NEW_CATEGORY[model]
        is_new = np.array(table[column].to_pylist()) == category
        chosen = [int(is_new.argmax()), int((~is_new).argmax())]
    table = table.take(chosen[:1] if model == "machines" else chosen)
    for column, value in changed.items():
        place = table.schema.get_field_index(column)
        table = table.set_column(place, column, pa.array([value] * table.num_rows))
    return table


@by_night
@by_model
def test_every_night_promotes_a_version_that_serves(
    nights: Mapping[int, Night], model: str, night: int
) -> None:
    outcome = nights[night].outcomes[model]

    assert outcome.name == "Promoted", outcome.message


@by_model
def test_each_night_has_a_version_of_its_own_compared_with_the_one_before(
    nights: Mapping[int, Night], model: str
) -> None:
    first, second, third = (nights[number].manifests[model] for number in (1, 2, 3))

    assert len({first.version, second.version, third.version}) == 3
    assert [m.compared_with for m in (first, second, third)] == [
        None,
        first.version,
        second.version,
    ]
    assert first.data.rows < second.data.rows < third.data.rows


@by_night
@by_model
def test_the_same_rows_have_the_same_answer_over_every_protocol(
    nights: Mapping[int, Night], model: str, night: int
) -> None:
    answers = {name: nights[night].answers[model, name] for name in PROTOCOLS}
    client = CLIENTS[model]

    for name, answer in answers.items():
        assert answer.status == 200, f"{name}: {answer.body}"
        assert answer.version == nights[night].manifests[model].version
        for output in client.outputs[:1] if name == "v1" else client.outputs:
            expected = answers["v2"].outputs[output]
            assert np.allclose(answer.outputs[output], expected, rtol=1e-5, atol=1e-5), name


@pytest.mark.parametrize("model", [model for model in MODELS if model.values[0] in NEW_CATEGORY])
def test_a_new_category_is_named_until_a_version_has_learned_it(
    nights: Mapping[int, Night], model: str
) -> None:
    named = {
        number: [night.answers[model, name].unknown for name in PROTOCOLS]
        for number, night in nights.items()
    }

    new = [NEW_CATEGORY[model]]
    assert named[1] == [new] * 3
    # The codes of the given network are its own: it cannot learn another.
    assert named[3] == ([new] * 3 if model == "heating" else [[]] * 3)


@by_model
def test_a_client_of_before_the_new_column_is_answered_with_its_default(
    nights: Mapping[int, Night], model: str
) -> None:
    third, output = nights[3], CLIENTS[model].outputs[0]
    before, default, other = (third.answers[model, n] for n in ("v1", "default", "other"))

    assert before.status == default.status == other.status == 200, (default.body, other.body)
    assert np.allclose(before.outputs[output], default.outputs[output], atol=1e-6)
    # However little the column matters to the answer, it is not left out of it.
    assert not np.array_equal(before.outputs[output], other.outputs[output])


@by_night
def test_a_photograph_is_answered_as_its_pixels_are(
    nights: Mapping[int, Night], night: int
) -> None:
    """On the third night too, when another input has a default."""
    photo, pixels = nights[night].photo, nights[night].answers["garments", "v2"]

    assert photo.status == 200, photo.body
    assert photo.version == pixels.version
    assert np.allclose(photo.outputs["kind"], pixels.outputs["kind"][:1], atol=1e-5)


def test_gaps_and_lengths_are_in_what_was_asked() -> None:
    """Else the answers above would show less than they say."""
    assert None in asked_rows("churn")["age"].to_pylist()
    assert 16 < len(asked_rows("machines")["readings"][0]) < 48
