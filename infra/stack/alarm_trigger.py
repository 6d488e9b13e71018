"""The trigger by which an alarm of the monitor starts a retraining."""

from overnight.infra.prefect_api import Document

# The event by which a monitor run requests a retraining; its payload has the reason.
ALARM_EVENT = "overnight.alarm"
# Who requested a retraining that an alarm started.
MONITOR = "monitor"


def model_resource(model: str) -> str:
    """The id of a model as the resource of events."""
    return f"overnight.model.{model}"


def retrain_on_alarm(model: str) -> Document:
    """The trigger of a model's `retrain` deployment: Prefect makes it an automation of its own.

    The monitor decides whether an alarm is to retrain, and sends no event otherwise: so a record
    says what really follows.
    """
    return {
        "type": "event",
        "name": f"overnight: an alarm retrains {model}",
        "description": f"The monitor of {model} requests a retraining, with the alarm as reason.",
        "posture": "Reactive",
        "match": {"prefect.resource.id": model_resource(model)},
        "expect": [ALARM_EVENT],
        "threshold": 1,
        "within": 0,
        "parameters": {
            "model": model,
            "reason": "{{ event.payload.reason }}",
            "requested_by": MONITOR,
        },
    }
