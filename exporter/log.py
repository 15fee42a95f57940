"""Log lines of one shape, in logfmt or JSON: a constant message and its fields.

The detector has the same module with the same line shape; a test compares the two programs.
"""

import json
import logging
import sys
import time
from typing import Final

# Every attribute a bare LogRecord has; whatever else stands on a record came from `extra`.
STANDARD_ATTRIBUTES: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def fields_from_record(record: logging.LogRecord) -> dict[str, object]:
    """Timestamp (UTC, milliseconds), level, logger, message, then the record's extra fields."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    fields: dict[str, object] = {
        "ts": f"{stamp}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": record.name,
        "msg": record.getMessage(),
    }
    extra = {key: value for key, value in vars(record).items() if key not in STANDARD_ATTRIBUTES}
    fields.update(extra)
    if record.exc_info:
        fields["error"] = logging.Formatter().formatException(record.exc_info)
    return fields


def logfmt_value(value: object) -> str:
    """One logfmt value: bare where it is a plain word, else a JSON string on one line."""
    text = str(value)
    is_bare = text != "" and text.isprintable() and not set(text) & {" ", "=", '"', "\\"}
    return text if is_bare else json.dumps(text, ensure_ascii=False)


class LogfmtFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = fields_from_record(record)
        message = json.dumps(str(fields.pop("msg")), ensure_ascii=False)
        head = [f"{key}={fields.pop(key)}" for key in ("ts", "level", "logger")]
        tail = [f"{key}={logfmt_value(value)}" for key, value in fields.items()]
        return " ".join([*head, f"msg={message}", *tail])


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(fields_from_record(record), default=str, ensure_ascii=False)


def set_up(level: str, log_format: str) -> None:
    """Send all logs at or above this level to standard error in this format, once."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
