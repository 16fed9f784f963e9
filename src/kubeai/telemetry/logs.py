"""Logs for people (console) and for machines (one JSON object a line), both to standard error.

Context goes into the message; what a machine should filter by is passed as `extra={...}` and becomes a field of the
JSON object. Bodies of requests never belong into either.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

LogFormat = Literal["json", "console"]

#: What every record carries; all other attributes came in by `extra`.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def setup_logging(level: int | str = "INFO", format: LogFormat = "console", stream: TextIO | None = None) -> None:
    """Send all logs of this process from `level` up to `stream` (standard error if none is given).

    Raises `ValueError` for a level that does not exist. Calling it again replaces what was set before.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JSONFormatter() if format == "json" else ConsoleFormatter())
    root = logging.getLogger()
    root.setLevel(level.upper() if isinstance(level, str) else level)
    root.handlers[:] = [handler]


class JSONFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, then the extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= _extra(record)
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


class ConsoleFormatter(logging.Formatter):
    """`12:34:56 WARNING routing.feed: message key=value`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        time = _time(record).astimezone().strftime("%H:%M:%S")
        fields = "".join(f" {key}={value}" for key, value in _extra(record).items())
        name = record.name.removeprefix("kubeai.")
        line = f"{time} {record.levelname:<7} {name}: {record.getMessage()}{fields}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
