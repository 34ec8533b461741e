"""Log lines with fields: `key=value` behind the message for people, and as JSON for machines.

Whoever runs jobs tells once, by `identify`, what every line is to say of the run that it belongs to.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sivera.settings import LogFormat, Settings

Fields = Mapping[str, object]

ROOT = "sivera"
"""The logger above all of ours."""

OF_PREFECT = {"flow_name": "job", "flow_run_id": "run_id", "task_run_name": "task"}
"""What Prefect's own lines know of their run, and our names for it."""

_PLAIN = re.compile(r"[^\s\"=]+")
_whose: Callable[[], Fields] = dict


def log(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log what happened, with fields that tell to what: the message itself stays the same, and can be searched for."""
    if logger.isEnabledFor(level):
        told = {**fields, **_whose()}
        text = " ".join((message, *(f"{name}={_value(value)}" for name, value in told.items())))
        # Not as a format: a name may hold a percent sign.
        logger.log(level, "%s", text, extra={"message_alone": message, "fields": fields}, stacklevel=2)


def identify(whose: Callable[[], Fields]) -> None:
    """Let every line have these fields as well, as they are when it is written."""
    global _whose  # noqa: PLW0603 - one process, one answer
    _whose = whose


def configure(settings: Settings) -> None:
    """Log as the settings say, in this process: our loggers' level, and the form of all lines on the console."""
    logging.getLogger(ROOT).setLevel(settings.log_level)
    if settings.log_format is LogFormat.JSON:
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonFormatter())


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, the fields, and `traceback` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": getattr(record, "message_alone", None) or record.getMessage(),
            **{ours: getattr(record, theirs) for theirs, ours in OF_PREFECT.items() if hasattr(record, theirs)},
            **getattr(record, "fields", {}),
            **_whose(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
