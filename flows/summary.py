"""The summary of all models, once a day: as a card, and by the channels of notifications."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State

from overnight.flows.notify import report
from overnight.flows.run.channels import channels
from overnight.flows.run.ending import end, run_name
from overnight.flows.run.summary_facts import gather
from overnight.infra.settings import load
from overnight.infra.stack.prefect_services import ui_url
from overnight.tasks.notify.delivery import deliver
from overnight.tasks.notify.message import Link, Message
from overnight.tasks.reporting import summary as reporting


@flow(name="summary", flow_run_name=run_name, persist_result=False, timeout_seconds=900)
def summary() -> State:
    """Summarize the last outcome of every model, what waits for a person, and what runs next."""
    settings = load()
    made = gather(settings)
    create_markdown_artifact(
        markdown=reporting.as_markdown(made), key="summary", description=made.title
    )
    if not settings.notifies or "summary" not in settings.notify_kinds:
        return end("Summarized", made.title)
    message = Message(
        kind="summary",
        title=made.title,
        body=reporting.as_text(made, heading=False),
        body_html=reporting.as_html(made),
        links=(Link("Runs", f"{ui_url(settings)}/runs"), Link("Serving", settings.answers_url)),
    )
    return report(deliver(message, channels(settings)), message)
