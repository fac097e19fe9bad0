"""Log lines of the gateway and of functions: for a person, or as JSON, one object a line.

A record may carry `fields`, a mapping of further facts: `logger.info("…", extra={"fields": {"route": "$connect"}})`.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec

_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m"}


class HumanFormatter(logging.Formatter):
    """`15:04:05 connected  route=$connect connection=…`"""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        stamp = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = " ".join(f"{name}={_visible(str(value))}" for name, value in _fields(record).items())
        line = f"{stamp} {_visible(record.getMessage())}" + (f"  {fields}" if fields else "")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        colour = _COLOURS.get(record.levelno) if self._colour else None
        return f"{colour}{line}\x1b[0m" if colour else line


class JsonFormatter(logging.Formatter):
    """`{"time": …, "level": …, "logger": …, "message": …, …fields}`"""

    def format(self, record: logging.LogRecord) -> str:
        """One JSON object on one line."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: str(value) for name, value in _fields(record).items()}
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry).decode()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields = getattr(record, "fields", None)
    return dict(fields) if fields else {}


def _visible(text: str) -> str:
    """Nothing that a client sent may end a log line or drive the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def set_up(*, json: bool, level: int = logging.INFO) -> None:
    """Send Roost's log lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if json else HumanFormatter(colour=sys.stderr.isatty()))
    logger = logging.getLogger("roost")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
