"""Read-only commands: status, versions, lineage, differences and reproduction."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model, Wait, Watch

VersionOrChampion = Annotated[
    str, typer.Argument(help="A version, the beginning of one, or champion.")
]


def status(*, watch: Watch = False, as_json: AsJson = False) -> None:
    """Services, addresses, each model's champion and who acknowledged it, and the last runs.

    Exits with 0 when everything is ready, and with 1 when something is not.

    Examples:

        overnight status

        overnight status --json | jq .models.digits.champion.version
    """
    from overnight.cli.actions import status as status_action

    if watch and as_json:
        raise typer.BadParameter("--watch draws tables; leave out --json")
    status_action.run(watching=watch, as_json=as_json)


def landing(model: Model, *, as_json: AsJson = False) -> None:
    """What waits to be ingested, with its files, size, age and state, and what is in quarantine.

    `overnight exclude` takes a waiting arrival away; names that are no arrivals are listed last.

    Examples:

        overnight landing digits

        overnight landing digits --json | jq -r '.quarantined[].reason'
    """
    from overnight.cli.actions import landing as landing_action

    landing_action.run(model, as_json=as_json)


def versions(model: Model, *, as_json: AsJson = False) -> None:
    """Every version of a model: when it was made, its rows, quality and decision.

    Examples:

        overnight versions digits

        overnight versions digits --json | jq -r '.[-1].version'
    """
    from overnight.cli.actions import versions as versions_action

    versions_action.run(model, as_json=as_json)


def show(
    model: Model,
    version: Annotated[
        str, typer.Argument(help="A version, its beginning, or champion.")
    ] = "champion",
    *,
    as_json: AsJson = False,
) -> None:
    """The card of a version: lineage, measurements, gates, decision and when it served.

    Examples:

        overnight show digits

        overnight show digits 20261122T020000-0123456789ab --json | jq .manifest.data
    """
    from overnight.cli.actions import show as show_action

    show_action.run(model, version, as_json=as_json)


def why(
    model: Model,
    *,
    epochs: Annotated[int | None, typer.Option(min=1, help="As if the run set it.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="As if the run set it.")
    ] = None,
    batch_rows: Annotated[int | None, typer.Option(min=1, help="As if the run set it.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="As if the run set it.")] = None,
    as_json: AsJson = False,
) -> None:
    """What changed since the champion was made: data, holdout, settings, code and packages.

    Trains nothing and changes nothing. Exits with 0 when the next run would train or finish an
    earlier one, and with 4 when it would find nothing to do.

    Examples:

        overnight why digits

        overnight why digits --seed 7

        overnight why digits --json | jq '.axes[] | select(.changed)'
    """
    from overnight.cli.actions import why as why_action

    changed = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
    }
    why_action.run(model, changed, as_json=as_json)


def reproduce(
    model: Annotated[
        str, typer.Argument(help="MODEL for its champion, or MODEL@VERSION or its beginning.")
    ],
    *,
    wait: Wait = True,
) -> None:
    """Train a version again from its recorded rows, settings, seed and sources, and compare.

    Publishes nothing. Exits with 0 when every weight comes out the same bit for bit, and with 1
    when something differs; the card of the run lists the differences, also of this environment.

    Examples:

        overnight reproduce digits

        overnight reproduce digits@20261122T020000-0123456789ab
    """
    from overnight.cli.runs import request_checks, start

    name, _, version = model.partition("@")
    version = version and request_checks.version(name, version)
    start.run("reproduce", name, {"version": version} if version else {}, wait=wait)


def diff(
    model: Model,
    first: Annotated[str, typer.Argument(help="A version, its beginning, or champion.")],
    second: Annotated[
        str, typer.Argument(help="Another one, its beginning, or champion.")
    ] = "champion",
    *,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write an HTML report with plots here.")
    ] = None,
) -> None:
    """Compare two versions: data, settings, code, packages, metrics, and where they disagree.

    Both are evaluated on today's holdout, so their metrics are comparable.

    Examples:

        overnight diff digits 20261122T020000-0123456789ab

        overnight diff digits 20261121T020000-0123456789ab champion --html differences.html
    """
    from overnight.cli.actions import diff as diff_action

    diff_action.run(model, first, second, as_json=as_json, html=html)
