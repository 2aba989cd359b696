"""The content of the log in both formats, and the ids that connect its lines."""

import asyncio
import errno
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import photos
from origin import Answer, Origin
from process import Process
from resizer.app import create_app
from resizer.cli.logs import JsonFormatter, ShortageFilter, TextFormatter
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.errors import CompressCrash
from resizer.support.log_context import RequestIdFilter, log_request_id
from service import SECRET, Inbox, catalogue, form, settings_for
from wire import Wire, listening

ONE = "0b6e1f3a-1111-4a4a-8b8b-000000000001"
OTHER = "0b6e1f3a-2222-4a4a-8b8b-000000000002"

HOSTILE = [
    "two\nlines",
    "carriage\rreturn",
    "a\r\n2026-01-31 12:00:00,000 ERROR   root: forged",
    "terminal \x1b[2J\x1b]0;title\x07",
    "line separators \x85 \u2028 \u2029 \x0b \x0c",
    "right to left \u202e gpj.exe",
    "half a character \udc80",
    "nothing \x00 there",
]


class Kept(logging.Handler):
    """Collects the formatted records."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.addFilter(RequestIdFilter())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


def kept(formatter: logging.Formatter) -> Iterator[tuple[logging.Logger, Kept]]:
    logger, handler = logging.getLogger("resizer"), Kept(formatter)
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield logger.getChild("tests"), handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def text() -> Iterator[tuple[logging.Logger, Kept]]:
    yield from kept(TextFormatter())


@pytest.fixture
def lines_of_json() -> Iterator[tuple[logging.Logger, Kept]]:
    yield from kept(JsonFormatter())


def apart(formatter: logging.Formatter) -> tuple[logging.Logger, Kept]:
    """Return a logger without a parent: pytest would capture lone surrogates, which xdist cannot send."""
    logger, handler = logging.Logger("resizer.tests"), Kept(formatter)  # noqa: LOG001
    logger.addHandler(handler)
    return logger, handler


@pytest.mark.parametrize("said", HOSTILE)
def test_text_of_a_user_stays_in_its_line(said: str) -> None:
    logger, handler = apart(TextFormatter())
    logger.warning("name %s ends", said)
    (line,) = handler.lines
    assert line.splitlines() == [line]
    assert line.isprintable()
    assert line.endswith(" ends")


@pytest.mark.parametrize("said", HOSTILE)
def test_json_holds_the_text_as_it_was_in_one_line(said: str) -> None:
    logger, handler = apart(JsonFormatter())
    logger.warning("name %s ends", said, extra={"figures": {"name": said}})
    (line,) = handler.lines
    assert line.splitlines() == [line]
    assert line.isascii()
    found = json.loads(line)
    assert (found["message"], found["name"]) == (f"name {said} ends", said)


def test_readable_text_is_left_alone(text: tuple[logging.Logger, Kept]) -> None:
    logger, handler = text
    logger.info("Käse → 100 €, 写真 „x“ \\n")
    assert handler.lines[0].endswith("Käse → 100 €, 写真 „x“ \\n")


def test_traceback_is_indented_in_text_so_that_nothing_in_it_passes_for_a_line(
    text: tuple[logging.Logger, Kept],
) -> None:
    logger, handler = text
    try:
        raise ValueError("bad\n2026-01-31 12:00:00,000 ERROR root: forged\x1b[2J")  # noqa: TRY301
    except ValueError:
        logger.exception("it failed")
    head, *trace = handler.lines[0].split("\n")
    assert head.endswith("it failed")
    assert trace[0].strip() == "Traceback (most recent call last):"
    assert any("forged" in line for line in trace)
    assert all(line.startswith("    ") and line.isprintable() for line in trace)


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EMFILE, "Too many open files"), MemoryError(), RuntimeError("can't start new thread")],
)
def test_what_the_machine_lacks_is_told_once_without_a_traceback(
    error: Exception, text: tuple[logging.Logger, Kept]
) -> None:
    logger, handler = text
    handler.addFilter(ShortageFilter())
    for number in range(3):
        try:
            raise error
        except type(error):
            logger.exception("image %s failed", number)
    (line,) = handler.lines
    assert "image 0 failed: " in line
    assert "raise its limit" in line
    assert "\n" not in line


def test_a_shortage_in_callbacks_of_the_loop_is_one_line(
    text: tuple[logging.Logger, Kept], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such messages name the callback or the task, so no two are equal."""
    logger, handler = text
    handler.addFilter(ShortageFilter())
    monkeypatch.setattr("asyncio.base_events.logger", logger)
    with closing(asyncio.new_event_loop()) as loop:
        for number in range(3):
            error = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            loop.call_exception_handler({"message": f"in callback {number}", "exception": error})
    (line,) = handler.lines
    assert "in callback 0: too many open files" in line


def test_other_faults_keep_their_traceback(text: tuple[logging.Logger, Kept]) -> None:
    logger, handler = text
    handler.addFilter(ShortageFilter())
    for _ in range(2):
        try:
            raise RuntimeError("of another kind")  # noqa: TRY301
        except RuntimeError:
            logger.exception("it failed")
    assert ["Traceback" in line for line in handler.lines] == [True, True]


def test_exception_is_one_field_of_json(lines_of_json: tuple[logging.Logger, Kept]) -> None:
    logger, handler = lines_of_json
    try:
        raise ValueError("bad\nluck")  # noqa: TRY301
    except ValueError:
        logger.exception("it failed")
    (found,) = handler.objects
    assert len(handler.lines[0].splitlines()) == 1
    assert found["message"] == "it failed"
    assert found["exception"].startswith("Traceback (most recent call last):\n")
    assert found["exception"].endswith("ValueError: bad\nluck")


def test_figures_become_fields_but_take_no_name_that_is_taken(
    lines_of_json: tuple[logging.Logger, Kept],
) -> None:
    logger, handler = lines_of_json
    figures = {"images": 3, "seconds": 1.5, "message": "another", "level": "none", "folder": Path("x")}
    with log_request_id(ONE):
        logger.info("done", extra={"figures": figures})
    (found,) = handler.objects
    del found["time"]
    assert found == {
        "level": "info",
        "logger": "resizer.tests",
        "message": "done",
        "request_id": ONE,
        "images": 3,
        "seconds": 1.5,
        "folder": "x",
    }


async def test_lines_of_one_request_carry_its_id_and_no_other(
    lines_of_json: tuple[logging.Logger, Kept],
) -> None:
    logger, handler = lines_of_json

    async def work(request_id: str) -> None:
        with log_request_id(request_id):
            for number in range(3):
                logger.info("%s %s", request_id, number)
                await asyncio.sleep(0)
            await asyncio.to_thread(logger.info, "%s in a thread", request_id)
            await asyncio.create_task(asyncio.sleep(0))
            with log_request_id(None):
                logger.info("none: apart")
            logger.info("%s again", request_id)
        logger.info("none: over")

    await asyncio.gather(work(ONE), work(OTHER))
    assert len(handler.objects) == 14
    for each in handler.objects:
        said = each["message"].split()[0]
        assert each.get("request_id") == (None if said == "none:" else said)


def test_text_shows_the_id_once(text: tuple[logging.Logger, Kept]) -> None:
    logger, handler = text
    with log_request_id(ONE):
        logger.info("something happened")
        logger.info("request %s ended", ONE)
    logger.info("nothing to do")
    first, second, third = handler.lines
    assert first.endswith(f"resizer.tests: [{ONE}] something happened")
    assert second.endswith(f"resizer.tests: request {ONE} ended")
    assert third.endswith("resizer.tests: nothing to do")


async def test_killed_process_is_told_of_the_request_whose_image_it_had(
    lines_of_json: tuple[logging.Logger, Kept],
) -> None:
    """The pool notices it in callbacks, which belong to no request or to another one."""
    _, handler = lines_of_json
    async with CompressPool(CompressSettings(processes=1)) as pool:
        with log_request_id(OTHER):
            await pool.run(os.getpid)
        with log_request_id(ONE), pytest.raises(CompressCrash):
            await pool.run(os._exit, 1)
        with log_request_id(OTHER):
            await pool.run(os.getpid)
    died = [each for each in handler.objects if "died" in each["message"]]
    assert [each["request_id"] for each in died] == [ONE, ONE]  # retried once


def test_warnings_of_python_are_lines_of_the_log(tmp_path: Path) -> None:
    """Run in a separate process, since it configures the logging of the whole process."""
    program = tmp_path / "warns.py"
    program.write_text(
        "import warnings\n"
        "from resizer.cli.logs import set_up_logging\n"
        "from resizer.config import LogSettings\n"
        "set_up_logging(LogSettings(format='json'))\n"
        "warnings.warn('odd\\nthing')\n"
    )
    finished = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True)
    (line,) = finished.stderr.splitlines()
    assert "odd\nthing" in json.loads(line)["message"]


async def test_lines_of_the_service_are_json_tied_by_request_and_free_of_queries(
    tmp_path: Path, origin: Origin
) -> None:
    """Run the real process at level debug, with two requests, their images and webhooks."""
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    origin.add("/gone.jpg", Answer(status=404))
    data = catalogue([("One", origin.url("/a.jpg"), origin.url("/gone.jpg"))])
    variables = {
        "RESIZER_WEBHOOK__SECRET": SECRET,
        "RESIZER_LOG__LEVEL": "debug",
        "RESIZER_LOG__FORMAT": "json",
        "RESIZER_COMPRESS__PROCESSES": "1",
    }
    ids = []
    async with Inbox() as inbox, aiohttp.ClientSession() as session:
        async with Process("serve", "--port", "0", "--data-dir", tmp_path, variables=variables) as process:
            url = (await process.url()).rstrip('"}')  # the end of a JSON line
            for name in ("first", "second"):
                body = form(data, webhook_url=inbox.url)
                async with session.post(f"{url}/upload?secret={name}", data=body) as response:
                    assert response.status == 202, await response.text()
                    ids.append((await response.json())["request_id"])
            for request_id in ids:
                headers = {"Prefer": "wait=60", "Authorization": "Bearer secretive"}
                async with session.get(f"{url}/status/{request_id}?secret=x", headers=headers) as response:
                    assert (await response.json())["done"]
            async with session.get(f"{url}/status/made-up%0Aid?secret=x") as response:
                assert response.status == 404
            await inbox.events(2)
            process.signal(signal.SIGTERM)
            assert (await process.ended())[0] == 0
        log = [json.loads(line) for line in process.log if line != "(end)"]
    assert "secret" not in "".join(process.log)
    for request_id in ids:
        mine = [each for each in log if each.get("request_id") == request_id]
        (settled,) = [each for each in mine if "completed" in each]
        assert settled["logger"] == "resizer.pipeline.reporting"
        assert (settled["status"], settled["images"], settled["completed"], settled["failed"]) == (
            "partial", 2, 1, 1,
        )  # fmt: skip
        assert settled["output_bytes"] < settled["input_bytes"]
        assert any("was delivered to" in each["message"] for each in mine)
        asked = {each["path"]: each for each in mine if each["logger"] == "resizer.access"}
        assert set(asked) == {"/upload", f"/status/{request_id}"}
        assert (asked["/upload"]["method"], asked["/upload"]["status"]) == ("POST", 202)
        assert asked[f"/status/{request_id}"]["bytes"] > 0
        assert {each["level"] for each in asked.values()} == {"debug"}
        other = next(each for each in ids if each != request_id)
        assert not any(other in json.dumps(each) for each in mine)
    (made_up,) = [each for each in log if "made-up" in each["message"]]
    assert "request_id" not in made_up


async def test_access_log_is_silent_above_debug(
    tmp_path: Path, lines_of_json: tuple[logging.Logger, Kept]
) -> None:
    _, handler = lines_of_json
    async with listening(create_app(settings_for(tmp_path / "data"))) as port:
        for level in (logging.INFO, logging.DEBUG):
            logging.getLogger("resizer").setLevel(level)
            async with await Wire.to(port) as wire:
                await wire.send(
                    f"GET /ping?level={level} HTTP/1.1\r\nHost: localhost\r\n".encode()
                    + b"Connection: close\r\n\r\n"
                )
                assert b"pong" in await wire.closed()
    told = [each for each in handler.objects if each["logger"] == "resizer.access"]
    assert [(each["path"], each["level"]) for each in told] == [("/ping", "debug")]
