"""Logs as JSON, one object a line on standard error: time, level, logger, message and fields."""

import json
import logging
import logging.config
from datetime import UTC, datetime
from typing import Any

# What every LogRecord carries; anything else was given by the caller as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One record as one line that a machine can read."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure(level: str) -> None:
    """Send every logger of this process to standard error as JSON lines. For entry points only."""
    logging.config.dictConfig(for_server() | {"root": {"level": level, "handlers": ["stderr"]}})


def for_server() -> dict[str, Any]:
    """The same for a server that configures its own loggers from a dictionary."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {
            name: {"level": "INFO", "handlers": ["stderr"], "propagate": False}
            for name in ("_granian", "granian.access")
        }
        # It logs every request at INFO, and the supervisor polls its services all day.
        | {"httpx": {"level": "WARNING"}},
    }
