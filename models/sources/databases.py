"""Connections to databases by ADBC, each by the driver that the scheme of its address names."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pyarrow as pa

from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess, setting, without_credentials
from overnight.store.errors import ConfigurationError

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection, Cursor

_CONNECT_SECONDS = 10
_LONGEST_REASON = 400
# SQLSTATE 28: credentials; 3D: no such database; 42: no such table or column, or no permission.
_UNUSABLE_STATES = ("28", "3D", "42", "0A", "22")
# libpq gives no SQLSTATE while it connects.
_UNUSABLE_REASONS = (
    "authentication failed",
    "no password supplied",
    "does not exist",
    "pg_hba.conf",
    "connection option",
    "invalid sslmode",
    "invalid uri",
    "invalid integer",
    "invalid connection",
    "incorrect username or password",
    "could not find default credentials",
    "permission",
)


@dataclass(frozen=True)
class Database:
    """A kind of database: its driver, and how one connects and reads a consistent state.

    Attributes:
        extra: what installs the driver.
        driver: the module of the driver.
        arguments: from address and access to the arguments of the driver's `connect`.
        consistent: statements that begin a transaction which only reads, in one state.
    """

    extra: str
    driver: str
    arguments: Callable[[str, SourceAccess], Mapping[str, Any]]
    consistent: tuple[str, ...] = ()


def _postgresql(url: str, access: SourceAccess) -> Mapping[str, Any]:
    parts = urlsplit(_with_credentials(url, access))
    options = [parts.query] if parts.query else []
    if "connect_timeout" not in parts.query:
        options.append(f"connect_timeout={_CONNECT_SECONDS}")
    if "application_name" not in parts.query:
        options.append("application_name=overnight")
    return {"uri": parts._replace(query="&".join(options)).geturl()}


def _snowflake(url: str, access: SourceAccess) -> Mapping[str, Any]:
    # The driver's own form has no scheme.
    return {"uri": _with_credentials(url, access).partition("://")[2]}


def _bigquery(url: str, access: SourceAccess) -> Mapping[str, Any]:
    parts = urlsplit(url)
    options = {"adbc.bigquery.sql.project_id": parts.netloc}
    if dataset := parts.path.strip("/"):
        options["adbc.bigquery.sql.dataset_id"] = dataset
    if access.token:
        kind = "adbc.bigquery.sql.auth_type.json_credential_string"
        options |= {
            "adbc.bigquery.sql.auth_type": kind,
            "adbc.bigquery.sql.auth_credentials": access.token,
        }
    return {"db_kwargs": options}


_POSTGRESQL = Database(
    extra="postgresql",
    driver="adbc_driver_postgresql",
    arguments=_postgresql,
    consistent=(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        "SET LOCAL TIME ZONE 'UTC'",
    ),
)
DATABASES = {
    "postgresql": _POSTGRESQL,
    "postgres": _POSTGRESQL,
    "snowflake": Database("snowflake", "adbc_driver_snowflake", _snowflake),
    "bigquery": Database("bigquery", "adbc_driver_bigquery", _bigquery),
}


@contextmanager
def reading(url: str, access: SourceAccess, *, model: str) -> Iterator["Cursor"]:
    """A cursor in a transaction that only reads.

    Raises:
        ConfigurationError: no driver is known for the address, or it is not installed.
        SourceUnavailable: the database does not answer, or the connection breaks.
        UnusableSource: it refuses the credentials or a statement.
    """
    database = _database(url, model)
    with errors(url, access, model=model):
        connection: Connection
        with _driver(database, model).connect(**database.arguments(url, access)) as connection:
            with connection.cursor() as cursor:
                for statement in database.consistent:
                    cursor.execute(statement)
                yield cursor
            connection.rollback()


@contextmanager
def errors(url: str, access: SourceAccess, *, model: str) -> Iterator[None]:
    """Raise what a driver raises as the source's errors, without credentials."""
    from adbc_driver_manager import Error

    what = f"{model}'s rows at {without_credentials(url)}"
    try:
        yield
    except (Error, OSError, pa.ArrowException) as error:
        # Of several lines, such as those that quote the statement, and never with a credential.
        reason = access.hide(" ".join(str(error).split()))[:_LONGEST_REASON]
        state = getattr(error, "sqlstate", None) or ""
        lower = reason.lower()
        if state.startswith(_UNUSABLE_STATES) or (
            not state and any(each in lower for each in _UNUSABLE_REASONS)
        ):
            raise UnusableSource(
                what,
                expected="rows of the declared query",
                found=reason,
                remedy=f"check {setting(model, 'user')}, …__PASSWORD and …__URL, and the query",
            ) from None
        remedy = f"check that the database runs and can be reached, and {setting(model, 'url')}"
        raise SourceUnavailable(what, [reason], remedy) from None


def _database(url: str, model: str) -> Database:
    scheme = urlsplit(url).scheme
    if scheme not in DATABASES:
        raise ConfigurationError(
            f"{model}'s rows: expected an address such as postgresql://host/database, which begins "
            f"with one of {', '.join(DATABASES)}; found {scheme or 'none'!r}; set "
            f"{setting(model, 'url')}"
        )
    return DATABASES[scheme]


def _driver(database: Database, model: str) -> Any:
    try:
        return importlib.import_module(f"{database.driver}.dbapi")
    except ImportError:
        raise ConfigurationError(
            f"{model}'s rows: the driver {database.driver} is not installed; install the extra: "
            f"pip install 'overnight[{database.extra}]'"
        ) from None


def _with_credentials(url: str, access: SourceAccess) -> str:
    """An address with the user and password of the settings, where it has none of its own."""
    parts = urlsplit(url)
    if "@" in parts.netloc or not access.user:
        return url
    password = f":{quote(access.password, safe='')}" if access.password else ""
    return parts._replace(netloc=f"{quote(access.user, safe='')}{password}@{parts.netloc}").geturl()
