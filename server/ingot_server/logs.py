"""Logs to stderr: JSON for machines, text for people. Neither payloads nor keys are ever logged: see `redacting`."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from ingot_server import audit
from ingot_server.redacting import told_trace, without_secrets, without_texts

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _Formatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 logging's name
        return told_trace(ei[1]) if ei[1] is not None else ""

    def message(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        error = record.exc_info[1] if record.exc_info else None
        return message if error is None else without_texts(message, error)


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self.message(record),
            **_facts(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: _plain(value) for name, value in entry.items()})


class _TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        facts = "".join(f" {name}={_on_one_line(value)}" for name, value in _facts(record).items())
        text = f"{time} {record.levelname.lower():7} {self.message(record)}{facts}"
        return without_secrets(f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, (bool, int, float)) else without_secrets(str(value))


def _on_one_line(value: object) -> str:
    """A fact that cannot pass for a line of the log, or move the cursor of whoever reads it."""
    text = str(value)
    return text if text.isprintable() else ascii(text)


def set_up_logs(format: str, level: str) -> None:
    """Sends all logs to stderr as `json` or `text`; `auto` is text on a terminal. The audit log knows no level."""
    handler = logging.StreamHandler(sys.stderr)
    text = format == "text" or (format == "auto" and sys.stderr.isatty())
    handler.setFormatter(_TextFormatter() if text else _JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    audit.log.setLevel(logging.INFO)
