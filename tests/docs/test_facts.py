"""Everything that the documents name exists."""

import asyncio
import re
from collections.abc import Iterator

import pytest
from documents import ROOT, Document, documents, read

from resizer.cli import COMMANDS
from resizer.config import Settings
from resizer.errors import ErrorCode
from resizer.metrics import Metrics, QueueStats
from resizer.models import BatchStatus
from resizer.web.problems import PROBLEMS

DOCUMENTS = documents()
SERIES = re.compile(r"\bresizer_[a-z_]+")
#: a setting in prose
KEY = re.compile(
    r"`(server|queue|fetch|compress|storage|database|webhook|engine|retention|log)\.(\w+)(?: = [^`]*)?`"
)
VARIABLE = re.compile(r"RESIZER_([A-Z]+)__([A-Z_]+)")
#: response fields, which look the same
OTHERS = {("webhook", "status"), ("webhook", "attempts")}

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: each.name)


def doc(name: str) -> str:
    return read(ROOT / "docs" / name).text


@every_document
def test_metrics_exist(document: Document) -> None:
    standing = QueueStats(requests={}, waiting=0, in_flight=0)
    # histograms are named without the suffixes of their series
    exposed = {*SERIES.findall(Metrics().expose(standing)[0].decode())}
    named = {*SERIES.findall(document.text)}
    assert {name for name in named if not any(each.startswith(name) for each in exposed)} == set()


@every_document
def test_keys_of_the_configuration_exist(document: Document) -> None:
    keys = {*KEY.findall(document.text)}
    keys |= {(section.lower(), key.lower()) for section, key in VARIABLE.findall(document.text)}
    assert {f"{section}.{key}" for section, key in keys if not _known(section, key)} == set()


def _known(section: str, key: str) -> bool:
    field = Settings.model_fields.get(section)
    known = getattr(field.annotation, "model_fields", {}) if field else {}
    return key in known or (section, key) in OTHERS


def test_every_command_is_documented() -> None:
    text = doc("command-line.md")
    for name in COMMANDS:
        assert re.search(rf"^\| .*`{name}\b", text, re.MULTILINE), name


def test_every_error_code_is_documented() -> None:
    text = doc("formats.md")
    for code in ErrorCode:
        assert f"| `{code}` |" in text, code


def test_every_type_of_event_is_documented() -> None:
    text = doc("webhooks.md")
    for status in BatchStatus:
        assert (f"| `request.{status}` |" in text) == (status not in ("pending", "processing"))


async def _sources() -> str:
    def texts() -> Iterator[str]:
        for path in (ROOT / "resizer").rglob("*.py"):
            yield path.read_text(encoding="utf-8")

    return await asyncio.to_thread(lambda: "\n".join(texts()))


async def test_messages_are_quoted_exactly() -> None:
    source = await _sources()
    quoted = re.findall(r"it does not start: `([^`]+)`", doc("operating.md"))
    assert quoted
    for message in quoted:
        for part in message.split("…"):
            words = part.strip(" :")
            assert words in source, message


def test_problems_are_named_exactly() -> None:
    text = "\n".join(document.text for document in DOCUMENTS)
    known = {name for _, name, _ in PROBLEMS.values()} | {"too-many-connections", "not-ready"}
    assert {*re.findall(r"urn:resizer:problem:([\w-]+)", text)} <= known
