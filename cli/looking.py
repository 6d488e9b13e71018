"""`overnight status`, `versions` and `show`: what there is, without changing it."""

from typing import Annotated

import typer

from cli.parameters import AsJson, Model


def status(*, as_json: AsJson = False) -> None:
    """Services, addresses, each model's champion and who acknowledged it, and the last runs.

    Ends with 0 when everything is ready, and 1 when something is not.

    Examples:

        overnight status

        overnight status --json | jq .models.digits.champion.version
    """
    from cli import status_page

    status_page.run(as_json=as_json)


def versions(model: Model, *, as_json: AsJson = False) -> None:
    """Every version of a model: when it was made, on what, how good, and what was decided.

    Examples:

        overnight versions digits

        overnight versions digits --json | jq -r '.[-1].version'
    """
    from cli import versions_page

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
    from cli import version_page

    version_page.run(model, version, as_json=as_json)
