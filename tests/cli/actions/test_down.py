"""`overnight down` gives every service the time that it may take."""

from pathlib import Path

from overnight.cli.actions.down import longest_stop_seconds
from overnight.infra.settings import Settings
from overnight.infra.stack.services import plan


def test_a_supervisor_may_stop_for_as_long_as_all_of_its_services_together(tmp_path: Path) -> None:
    """Serving alone may drain for longer than two minutes."""
    services = plan(Settings(home=tmp_path, drain_seconds=300))

    seconds = longest_stop_seconds(services)

    assert seconds > sum(service.stop_seconds for service in services) > 300
