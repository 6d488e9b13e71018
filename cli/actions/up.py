"""`overnight up`: start or reuse the services, wait for them, and train missing models."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Never

from rich.console import Console
from rich.table import Table

from overnight import models
from overnight.cli.actions import first_version, status_notices
from overnight.cli.actions.await_services import await_services
from overnight.cli.runs import exit_codes
from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections, keyring
from overnight.infra.prefect_api import Document
from overnight.infra.settings import Settings, load
from overnight.infra.stack import local_secrets, seaweedfs_service, state_file, store_policies
from overnight.infra.stack.services import check_ports, check_settings, plan
from overnight.infra.stack.state_file import StackRecord
from overnight.infra.stack.supervisor import Supervisor
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.objects.conformance import probe
from overnight.tasks.errors import StepFailed


def run(*, train: bool, foreground: bool) -> None:
    """Start the stack, and wait until every service is ready.

    Raises:
        ConfigurationError, StoreError, OrchestratorUnavailable, StepFailed
    """
    settings = _prepare()
    if foreground:
        _run_in_foreground(settings, train=train)
    else:
        services = plan(settings)
        if state_file.read(settings.home).supervised:
            check_settings(settings.home, services)
        else:
            check_ports(settings.home, services)
            _detach(settings.home)
        if code := _finish(settings, train=train):
            raise SystemExit(code)


def _prepare() -> Settings:
    """The settings, after creating missing credentials and probing external services."""
    settings = load("administration")
    local_secrets.make_private(settings.home)
    if settings.s3_endpoint is None:
        local_secrets.write_credentials(
            settings.home, endpoint=settings.store_endpoint, bucket=settings.s3_bucket
        )
    else:
        _probe_external_store(settings)
    local_secrets.ensure_admin_token(settings)
    if not state_file.read(settings.home).supervised:
        # A running service of an earlier release could not read the file of trusted keys then.
        keyring.ensure(settings)
    local_secrets.ensure_prefect_auth(settings)
    # Loaded again, because the settings read the credentials that were just created.
    settings = load("administration")
    store_policies.apply(settings)
    if settings.prefect_api_url is not None:
        # Not its health, which it reports without a password, too.
        connections.prefect(settings).request("GET", "/version")
    return settings


def _probe_external_store(settings: Settings) -> None:
    """Ask a store by both of its clients, which trust certificates by settings of their own."""
    from overnight.store.datasets.delta_table import Dataset

    bucket = connections.bucket(settings)
    bucket.ensure()
    # The registry is only safe on a store that refuses to create a key twice.
    probe(bucket, where=settings.store_endpoint)
    Dataset.on_s3(connections.address(settings), "probe", "rows").version()


def _run_in_foreground(settings: Settings, *, train: bool) -> None:
    """Be the supervisor, until a signal stops it."""

    def stop(_signal: int, _frame: FrameType | None) -> Never:
        raise SystemExit(0)

    services = plan(settings)
    check_ports(settings.home, services)
    # A background job of a shell ignores SIGINT, and children would inherit that: set a handler.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    flushed = settings.home / seaweedfs_service.NAME if settings.s3_endpoint is None else None
    supervisor = Supervisor(settings.home, services, flushed=flushed)
    supervisor.start()
    try:
        if sys.stdout.isatty() or train:
            # The exit code is ignored: serving continues, whatever the outcome of a training run.
            _finish(settings, train=train)
        while True:
            signal.pause()
    finally:
        # A second Ctrl-C must not interrupt the shutdown.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        supervisor.stop()


def _detach(home: Path) -> None:
    """Start the supervisor as a daemon, and wait until it has locked the home."""
    log = home / "logs" / "supervisor.log"
    log.parent.mkdir(exist_ok=True)
    log.touch(mode=0o600)
    # Without training: this process trains, where people see its progress.
    command = [sys.executable, "-m", "overnight.cli.main", "up", "--foreground", "--no-train"]
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C in this terminal must not reach the daemon.
            start_new_session=True,
        )
    while not state_file.read(home).supervised:
        if child.poll() is not None:
            # The daemon has no terminal: its error is the last line of its log.
            last = (log.read_text().strip().splitlines() or ["nothing"])[-1]
            raise StepFailed(f"the supervisor ended: {last.removeprefix('overnight: ')}; see {log}")
        time.sleep(0.05)


def _finish(settings: Settings, *, train: bool) -> int:
    """Wait for the services, print addresses, train missing models; the exit code of training."""
    console = open_console()
    await_services(settings.home, console, seconds=settings.up_seconds)
    console.print(_addresses(state_file.read(settings.home), settings))
    console.print(f"Token for administration: {local_secrets.admin_token_location(settings)}")
    status_notices.print_sign_in(settings, console)
    if warning := shared_credential_warning(settings):
        console.print(warning, style="yellow")
    trust = connections.trust(settings)
    for unsigned in status_notices.unloadable_champions(connections.bucket(settings), trust):
        console.print(unsigned, style="yellow")
    code = 0
    if train:
        code = train_each(
            models.names(),
            lambda model: first_version.ensure(settings, model, console),
            console,
        )
    for model in models.names():
        # The error of a model that cannot be read was printed above.
        with suppress(ConfigurationError):
            console.print(f"Try it:  {_example(model, settings)}")
    return code


def train_each(
    names: Iterable[str], ensure: Callable[[str], Document | None], console: Console
) -> int:
    """Train every model without a champion, also after failures; returns the worst exit code.

    A failure (1) is worse than a refusal (3); both are printed.
    """
    codes = set()
    for model in names:
        try:
            outcome = ensure(model)
        except OvernightError as error:
            console.print(f"{model}: {error}", style="yellow", markup=False)
            codes.add(exit_codes.FAILED)
            continue
        if outcome is not None:
            codes.add(exit_codes.exit_code(outcome, "retrain"))
    worst_first = (exit_codes.FAILED, exit_codes.REFUSED)
    return next((code for code in worst_first if code in codes), exit_codes.DONE)


def _example(model: str, settings: Settings) -> str:
    """A command that tries a model: with an image where it takes one, else its metadata."""
    # Two dimensions per row are an image in grey.
    shapes = [len(spec.shape) for spec in models.find(model).tensors.inputs]
    if shapes == [2]:
        return f"overnight predict {model} FILE.png"
    return f"curl -s {settings.answers_url}/v2/models/{model}"


def shared_credential_warning(settings: Settings) -> str:
    """A warning when services share one credential of an external store; else empty."""
    serving, training = load("serving"), load("training")
    keys = {identity.s3_access_key for identity in (settings, serving, training)}
    if settings.s3_endpoint is None or len(keys) == 3:
        return ""
    return (
        "Serving, training and administration do not each have a credential of their own at "
        f"{settings.s3_endpoint}, so each has the rights of all. To separate them: start "
        "each with its own OVERNIGHT_S3_ACCESS_KEY and OVERNIGHT_S3_SECRET_KEY, or leave both out "
        f"of the environment and write them to {settings.home}/identities/serving.env, "
        "training.env and administration.env; infra/policies/NAME.json says what each needs"
    )


def _addresses(stack: StackRecord, settings: Settings) -> Table:
    table = new_table("", "address", "log")
    if settings.s3_endpoint is not None:
        table.add_row("Object store (S3)", settings.store_endpoint, "external")
    if settings.prefect_api_url is not None:
        table.add_row("Prefect", settings.api_url, "external")
    for service in stack.services:
        if service.address:
            table.add_row(service.title, service.address, service.log)
        if service.grpc_address:
            table.add_row(f"{service.title}, gRPC", service.grpc_address, service.log)
    return table
