"""Errors of the services of the stack.

overnight.store.errors.OvernightError
├── OrchestratorUnavailable Prefect did not answer: start it
├── OrchestratorRefused     Prefect answered with an error: says which request and why
├── DeploymentFailed        `prefect deploy` did not register the deployments; its output says why
├── ServingUnavailable      serving did not answer: start it
└── ServingRefused          serving answered with an error: says to which request and why
"""

from overnight.store.errors import OvernightError


class OrchestratorUnavailable(OvernightError):
    """Prefect's API did not answer."""

    def __init__(self, api_url: str, why: str) -> None:
        super().__init__(
            f"Prefect at {api_url} does not answer ({why}); start it by `overnight up`, or point "
            "OVERNIGHT_PREFECT_API_URL at a server that runs"
        )


class OrchestratorRefused(OvernightError):
    """Prefect's API answered with an HTTP error."""

    def __init__(self, request: str, *, status: int, why: str) -> None:
        self.status = status
        remedy = "; set OVERNIGHT_PREFECT_AUTH to the server's user:password" * (status == 401)
        super().__init__(f"Prefect refused {request} ({status}): {why}{remedy}")


class DeploymentFailed(OvernightError):
    """The deployments could not be registered."""


class ServingUnavailable(OvernightError):
    """Serving did not answer."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"serving does not answer at {url} ({why}); start it by `overnight up`, or point "
            "OVERNIGHT_SERVING_URL at one that runs"
        )


class ServingRefused(OvernightError):
    """Serving answered with an HTTP error."""
