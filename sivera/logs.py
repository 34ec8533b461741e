"""Log lines with fields: `key=value` after the message for people, JSON for machines."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sivera.settings import Settings

Fields = Mapping[str, object]

ROOT = "sivera"
"""The parent of all our loggers."""

OF_PREFECT = {"flow_name": "job", "flow_run_id": "run_id", "task_run_name": "task"}
"""The attributes that name the run in Prefect's own lines, and our names for them."""

_PLAIN = re.compile(r"[^\s\"=]+")
_run_fields: Callable[[], Fields] = dict


def log(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log an event. The message is constant, so that it can be searched for; the fields vary."""
    if logger.isEnabledFor(level):
        every = {**fields, **_run_fields()}
        text = " ".join((message, *(f"{name}={_value(value)}" for name, value in every.items())))
        # Not as a format string: a name may hold a percent sign.
        logger.log(level, "%s", text, extra={"message_alone": message, "fields": fields}, stacklevel=2)


def identify(fields: Callable[[], Fields]) -> None:
    """Set the function that returns the fields of the current run, which every line gets."""
    global _run_fields  # noqa: PLW0603 - one process, one answer
    _run_fields = fields


def configure(settings: Settings) -> None:
    """Set the level of our loggers, and the format of all lines on the console."""
    logging.getLogger(ROOT).setLevel(settings.log_level)
    if settings.log_format == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time`, `level`, `logger`, `message`, the fields, and any `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": getattr(record, "message_alone", None) or record.getMessage(),
            **{ours: getattr(record, theirs) for theirs, ours in OF_PREFECT.items() if hasattr(record, theirs)},
            **getattr(record, "fields", {}),
            **_run_fields(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
