"""Set up logging for a command, as text or JSON."""

import codecs
import json
import logging
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam

from resizer.config import LogSettings
from resizer.errors import shortage
from resizer.support.log_context import RequestIdFilter
from resizer.support.log_throttle import LogThrottle

#: logger of HTTP requests, one line each at debug
ACCESS = "resizer.access"
#: before each line of a traceback, so that none looks like a log line
INDENT = "    "
# Python loads this codec at its first use, which fails when descriptors have run out
codecs.lookup("unicode_escape")


class TextFormatter(logging.Formatter):
    """Formats a record as one line, followed by an indented traceback."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        request_id = getattr(record, "request_id", None)
        tie = f"[{request_id}] " if request_id and request_id not in message else ""
        head = f"{self.formatTime(record)} {record.levelname:<7} {record.name}: {tie}{message}"
        traces = [INDENT + line for part in _traces(self, record).values() for line in part.split("\n")]
        return "\n".join(printable(line) for line in [head, *traces])


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON; `extra={"figures": {…}}` adds fields to it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", None):
            line["request_id"] = request_id
        line.update(_traces(self, record))
        figures = getattr(record, "figures", {})
        # ASCII: prints in any terminal, and escapes characters that some readers take for the end of a line
        return json.dumps({**line, **{key: figures[key] for key in figures if key not in line}}, default=str)


class ShortageFilter(logging.Filter):
    """Shortens errors for lack of descriptors, threads or memory to one line a minute per line of code.

    All code that needs the resource fails repeatedly, and tracebacks would fill the disk.
    """

    def __init__(self) -> None:
        super().__init__()
        #: by line of code, as messages of asyncio name a different task each time
        self._throttles: defaultdict[tuple[str, int], LogThrottle] = defaultdict(LogThrottle)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        lacking = shortage(error) if error else None
        if lacking is None:
            return True
        if not self._throttles[record.pathname, record.lineno]():
            return False
        # asyncio describes the callback on further lines
        record.msg, record.args = "%s: %s", (record.getMessage().partition("\n")[0], lacking)
        record.exc_info = record.exc_text = None
        return True


def set_up_logging(settings: LogSettings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    # on the handler: filters of a logger do not apply to its children
    handler.addFilter(RequestIdFilter())
    handler.addFilter(ShortageFilter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # these warnings quote what a client sends in a form
    for category in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.simplefilter("ignore", category)
    # one line per statement and connection, of no use even at debug
    for noisy in ("aiosqlite", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _traces(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, str]:
    traces = {}
    if record.exc_info:
        traces["exception"] = formatter.formatException(record.exc_info)
    if record.stack_info:
        traces["stack"] = formatter.formatStack(record.stack_info)
    return traces


def printable(line: str) -> str:
    """Escape characters that end a line or control a terminal."""
    return line if line.isprintable() else "".join(_escaped(line))


def _escaped(line: str) -> Iterator[str]:
    for character in line:
        yield character if character.isprintable() else character.encode("unicode_escape").decode()
