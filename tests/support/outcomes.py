"""How a run of a flow ended, for tests that call the flow."""

from prefect.client.schemas.objects import State

from overnight.tasks import outcomes


def ended(state: State) -> tuple[str, str]:
    """The outcome and the message of the state in which a flow ended."""
    end = outcomes.read(state.name, state.message)
    return end.outcome, end.message


def outcome(state: State) -> str:
    """The outcome alone."""
    return ended(state)[0]
