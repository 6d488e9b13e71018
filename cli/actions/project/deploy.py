"""`overnight deploy`: a running stack gets the models as they are declared now."""

from overnight.infra import connections
from overnight.infra.settings import load
from overnight.infra.stack import (
    deployments,
    prefect_automations,
    prefect_services,
    store_policies,
)
from overnight.infra.stack.generated_deployments import generate
from overnight.store.errors import ConfigurationError


def run() -> None:
    """Register the deployments of all models, remove those of models that are gone, and print.

    Serving needs nothing: it follows every model that has a champion.

    Raises:
        ConfigurationError: a model's definition cannot be read, or a block of notifications does
            not exist; the others are deployed.
        OrchestratorUnavailable, DeploymentFailed
    """
    settings = load("administration")
    generated = generate(settings=settings)
    # Before any run of theirs: who may promote a model depends on its approval.
    store_policies.apply(settings)
    api = connections.prefect(settings)
    deployed = deployments.deploy(
        generated, settings.home, api, prefect_services.environment(settings)
    )
    print(deployed)
    prefect_automations.register_notifications(api, settings)
    if deployed.errors:
        raise ConfigurationError("; ".join(deployed.errors))
