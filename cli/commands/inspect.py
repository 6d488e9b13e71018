"""What there is, where versions come from and how they differ, without changing any of it."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model, Wait


def status(*, as_json: AsJson = False) -> None:
    """Services, addresses, each model's champion and who acknowledged it, and the last runs.

    Ends with 0 when everything is ready, and 1 when something is not.

    Examples:

        overnight status

        overnight status --json | jq .models.digits.champion.version
    """
    from overnight.cli.actions import status as status_page

    status_page.run(as_json=as_json)


def versions(model: Model, *, as_json: AsJson = False) -> None:
    """Every version of a model: when it was made, on what, how good, and what was decided.

    Examples:

        overnight versions digits

        overnight versions digits --json | jq -r '.[-1].version'
    """
    from overnight.cli.actions import versions as versions_page

    versions_page.run(model, as_json=as_json)


def show(
    model: Model,
    version: Annotated[str, typer.Argument(help="A version, or champion.")] = "champion",
    *,
    as_json: AsJson = False,
) -> None:
    """The card of a version: lineage, measurements, gates, decision and when it served.

    Examples:

        overnight show digits

        overnight show digits 20261122T020000-0123456789ab --json | jq .manifest.data
    """
    from overnight.cli.actions import show as version_page

    version_page.run(model, version, as_json=as_json)


def why(
    model: Model,
    *,
    epochs: Annotated[int | None, typer.Option(min=1, help="As if the run asked for it.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="As if the run asked for it.")
    ] = None,
    batch_rows: Annotated[
        int | None, typer.Option(min=1, help="As if the run asked for it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="As if the run asked for it.")] = None,
    as_json: AsJson = False,
) -> None:
    """What changed since the champion was made: data, holdout, settings, code and packages.

    Trains nothing and changes nothing. Ends with 0 when the next run would train or go on with
    something unfinished, and 4 when it would find nothing to do.

    Examples:

        overnight why digits

        overnight why digits --seed 7

        overnight why digits --json | jq '.axes[] | select(.changed)'
    """
    from overnight.cli.actions import why as why_page

    changed = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
    }
    why_page.run(model, changed, as_json=as_json)


def reproduce(
    model: Annotated[str, typer.Argument(help="MODEL for its champion, or MODEL@VERSION.")],
    *,
    wait: Wait = True,
) -> None:
    """Train a version again from its recorded rows, settings, seed and sources, and compare.

    Publishes nothing. Ends with 0 when every weight comes out the same bit for bit, and 1 when
    something differs; the card of the run tells what, and what here is not as it was.

    Examples:

        overnight reproduce digits

        overnight reproduce digits@20261122T020000-0123456789ab
    """
    from overnight.cli.runs import start

    name, _, version = model.partition("@")
    start.run("reproduce", name, {"version": version} if version else {}, wait=wait)


def diff(
    model: Model,
    first: Annotated[str, typer.Argument(help="A version, or champion.")],
    second: Annotated[str, typer.Argument(help="Another one, or champion.")] = "champion",
    *,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write a page with pictures here.")
    ] = None,
) -> None:
    """Tell two versions apart: data, settings, code, packages, metrics, and where they disagree.

    Both answer today's holdout anew, so their metrics can be compared whenever they were made.

    Examples:

        overnight diff digits 20261122T020000-0123456789ab

        overnight diff digits 20261121T020000-0123456789ab champion --html differences.html
    """
    from overnight.cli.actions import diff as diff_page

    diff_page.run(model, first, second, as_json=as_json, html=html)
