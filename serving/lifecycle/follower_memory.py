"""Follower memory: the state of following one alias, kept by the leader and saved on its disk."""

from overnight.serving.host.alias_state import AliasState, FollowerState


class FollowerMemory:
    """The state of one alias as the leader last saved it; only the leader has one."""

    def __init__(self, alias_state: AliasState) -> None:
        self._alias_state = alias_state
        self.state = alias_state.follower_state()

    def save(self, state: FollowerState) -> None:
        self.state = state
        self._alias_state.save_follower_state(state)

    def update(self, **changes: object) -> None:
        """Save the state with some fields changed."""
        self.save(self.state.model_copy(update=changes))
