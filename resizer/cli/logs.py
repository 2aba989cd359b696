"""Set up logging for a command: lines for people, or JSON."""

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

#: logger of one line an HTTP request, at debug
ACCESS = "resizer.access"
#: before each line of a traceback: none can pass for a line of its own
INDENT = "    "
# Python loads this codec at its first use, which is too late where the lack of descriptors is what is logged
codecs.lookup("unicode_escape")


class TextFormatter(logging.Formatter):
    """One line a record, whatever stands in it; a traceback follows it, indented."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        request_id = getattr(record, "request_id", None)
        tie = f"[{request_id}] " if request_id and request_id not in message else ""
        head = f"{self.formatTime(record)} {record.levelname:<7} {record.name}: {tie}{message}"
        further = [INDENT + line for part in _traces(self, record).values() for line in part.split("\n")]
        return "\n".join(printable(line) for line in [head, *further])


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    What a caller gives as `extra={"figures": {…}}` becomes fields of the object.
    """

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
        # in ASCII: whole in any terminal, and what some readers take for the end of a line is escaped
        return json.dumps({**line, **{key: figures[key] for key in figures if key not in line}}, default=str)


class ShortageFilter(logging.Filter):
    """Logs a lack of descriptors, threads or memory in one line, at most once a minute from each place.

    Everything that needs one fails then, again and again, and the tracebacks would fill the disk.
    """

    def __init__(self) -> None:
        super().__init__()
        #: by the line of code that logs: the messages of asyncio name a task or a callback, each another
        self._seldom: defaultdict[tuple[str, int], LogThrottle] = defaultdict(LogThrottle)

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        lacking = shortage(error) if error else None
        if lacking is None:
            return True
        if not self._seldom[record.pathname, record.lineno]():
            return False
        # asyncio puts a description of the callback on further lines
        record.msg, record.args = "%s: %s", (record.getMessage().partition("\n")[0], lacking)
        record.exc_info = record.exc_text = None
        return True


def set_up_logging(settings: LogSettings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    # of the handler: a logger's own would see nothing of what comes from the loggers below it
    handler.addFilter(RequestIdFilter())
    handler.addFilter(ShortageFilter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # what a client sends in a form would be quoted there
    for category in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.simplefilter("ignore", category)
    # one line a statement and one a connection: not even of use at debug
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
    """Escape what would end a line or steer a terminal."""
    return line if line.isprintable() else "".join(_escaped(line))


def _escaped(line: str) -> Iterator[str]:
    for character in line:
        yield character if character.isprintable() else character.encode("unicode_escape").decode()
