"""Set up logging for a command."""

import json
import logging
import sys
import warnings
from datetime import UTC, datetime

from aiohttp import BadContentDispositionHeader, BadContentDispositionParam

from resizer.config import LogSettings

#: logger of one line a request, which is shown at debug alone
ACCESS = "resizer.access"
TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(settings: LogSettings) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else logging.Formatter(TEXT))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    if settings.level != "debug":
        logging.getLogger(ACCESS).setLevel(logging.WARNING)
    # what a client sends in a form would come as raw lines, whatever the log's format
    for category in (BadContentDispositionHeader, BadContentDispositionParam):
        warnings.simplefilter("ignore", category)
    # one line a statement and one a connection: not even of use at debug
    for noisy in ("aiosqlite", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
