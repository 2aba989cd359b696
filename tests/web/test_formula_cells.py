"""Cells that a spreadsheet would run: the client's own pass unchanged, ours are none."""

from collections.abc import Awaitable, Callable

import pytest

import photos
from origin import Answer, Origin
from resizer.config import load_settings
from resizer.errors import ConfigError
from service import HEADER, Client, result_rows, settled, upload

Serve = Callable[..., Awaitable[Client]]

FORMULA = ("=", "+", "-", "@", "\t", "\r")
OWN = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "=cmd|' /C calc'!A0"]


@pytest.mark.parametrize("files", ["", "https://images.example.com/-=@", "HTTP://images.example.com/+"])
async def test_added_cells_never_begin_like_a_formula(files: str, serve: Serve, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    client = await serve(storage={"public_base_url": files})
    good, bad = origin.url("/a.jpg"), "nonsense://h/=1"
    cells = [good, f"{good} {bad}", f"{bad} {good}", bad, f"{bad} {bad}", ""]
    rows = [f'"{own}","{own}",{cell},"{own}"' for own, cell in zip(OWN, cells, strict=True)]
    data = "\n".join([f"{HEADER},=Note", *rows, ""]).encode()
    accepted = await upload(client, data, filename="=1+1.csv")
    await settled(client, accepted["request_id"])
    header, *result = await result_rows(client, accepted["request_id"], "?detail=1")
    assert header[:4] == [*HEADER.split(","), "=Note"]
    for row, own, cell in zip(result, OWN, cells, strict=True):
        assert row[:4] == [own, own, cell, own]
        assert len(row) == 8
        assert not [added for added in row[4:] if added.startswith(FORMULA)]
    assert result[0][4].startswith(files or str(client.make_url("/compressed")))


@pytest.mark.parametrize(
    "value", ["\thttp://h", "\rhttp://h", "\nhttp://h", "http://h/\r\n=1", "http://h /", "=http://h"]
)
@pytest.mark.parametrize("key", ["storage.public_base_url", "server.public_url"])
def test_address_that_would_make_a_formula_of_a_cell_is_refused(key: str, value: str) -> None:
    section, name = key.split(".")
    with pytest.raises(ConfigError, match=key):
        load_settings(overrides={section: {name: value}})
