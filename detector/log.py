"""The log: one line an event on standard error, logfmt or JSON, constant message and fields.

The exporter has the same shape; tests hold both programs to it.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, object]:
    instant = datetime.fromtimestamp(record.created, UTC)
    fields: dict[str, object] = {
        "ts": instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant.microsecond // 1000:03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": record.getMessage(),
    }
    fields |= {key: value for key, value in vars(record).items() if key not in _PLAIN}
    if record.exc_info:
        fields["error"] = logging.Formatter().formatException(record.exc_info)
    return fields


class JsonFormatter(logging.Formatter):
    """Each record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_fields(record), default=str, ensure_ascii=False)


class LogfmtFormatter(logging.Formatter):
    """Each record as key=value pairs; the message and values with spaces are quoted."""

    def format(self, record: logging.LogRecord) -> str:
        return " ".join(
            f"{key}={_logfmt(value, quoted=key == 'msg')}" for key, value in _fields(record).items()
        )


def _logfmt(value: object, *, quoted: bool) -> str:
    text = str(value)
    if quoted or not text or not text.isprintable() or set(text) & set(' "=\\'):
        return json.dumps(text, ensure_ascii=False)
    return text


def set_up(level: str, log_format: str) -> None:
    """Send all logs at or above this level to standard error in this format, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else LogfmtFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # It tells of its own workings at INFO, some when it is imported; no operator acts on that.
    logging.getLogger("alembic").setLevel(max(root.level, logging.WARNING))
    # It tells whole addresses, of requests at DEBUG and of bad answers at WARNING: some of them
    # are secrets. What matters of either reaches us as an exception.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    logging.captureWarnings(True)
