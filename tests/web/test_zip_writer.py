"""ZIPs as Python and `unzip` read them, and as who reads from a pipe."""

import shutil
import struct
import subprocess
import tracemalloc
import zipfile
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from resizer.web.api.zip_writer import PIECE, ZipWriter

#: seconds since the epoch
NOON = 1_767_268_800.0
GIB = 1 << 30


async def pieces(*contents: bytes) -> AsyncIterator[bytes]:
    for content in contents:
        yield content


def stored(writer: ZipWriter, name: str, content: bytes) -> bytes:
    return writer.stored(name, size=len(content), checksum=zlib.crc32(content)) + content


async def deflated(writer: ZipWriter, name: str, *contents: bytes) -> bytes:
    return b"".join([piece async for piece in writer.deflated(name, pieces(*contents))])


def unzip_takes(path: Path) -> bool:
    """What another program says; true where there is none."""
    if shutil.which("unzip") is None:
        return True
    return subprocess.run(["unzip", "-tqq", path], check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_entries_are_read_back(count: int, tmp_path: Path) -> None:
    writer = ZipWriter(modified=NOON)
    contents = {f"Stühle {number}/椅.jpg": b"x" * number for number in range(count)}
    data = await deflated(writer, "result.csv", b"a,b\r\n" * 100, b"", b"c")
    data += b"".join([stored(writer, name, content) for name, content in contents.items()])
    path = tmp_path / "a.zip"
    path.write_bytes(data + await deflated(writer, "empty.txt") + b"".join(writer.end()))
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["result.csv", *contents, "empty.txt"]
        assert archive.read("result.csv") == b"a,b\r\n" * 100 + b"c"
        assert {name: archive.read(name) for name in contents} == contents
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 1, 1, 12, 0, 0)}
        assert {entry.external_attr >> 16 for entry in archive.infolist()} == {0o100644}
    assert unzip_takes(path)


def test_stored_entry_has_its_size_before_it() -> None:
    """Who reads from a pipe finds the end of an entry by nothing else."""
    header = ZipWriter(modified=NOON).stored("a.jpg", size=5, checksum=7)
    _, flags, method, _, _, checksum, packed, size, _, _ = struct.unpack("<4xHHHHHLLLHH", header[:30])
    assert (method, checksum, packed, size) == (0, 7, 5, 5)
    assert not flags & 8


async def test_entries_behind_four_gibibytes_are_found(tmp_path: Path) -> None:
    """In a file that is a hole but for its end."""
    writer = ZipWriter(modified=NOON, offset=5 * GIB)
    path = tmp_path / "huge.zip"
    with path.open("wb") as file:
        file.seek(5 * GIB)
        file.write(stored(writer, "a/1.jpg", b"first"))
        file.write(writer.stored("hole", size=5 * GIB, checksum=0))
        file.seek(5 * GIB, 1)
        file.write(stored(writer, "a/2.jpg", b"second"))
        file.write(await deflated(writer, "b.txt", b"third"))
        file.writelines(writer.end())
    with zipfile.ZipFile(path) as archive:
        assert [archive.read(name) for name in ("a/1.jpg", "a/2.jpg", "b.txt")] == [
            b"first",
            b"second",
            b"third",
        ]
        assert archive.getinfo("hole").file_size == 5 * GIB
        assert archive.getinfo("a/1.jpg").header_offset == 5 * GIB


def test_entry_takes_little_memory() -> None:
    """The library that was not taken keeps twenty times as much."""
    writer = ZipWriter(modified=NOON)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10_000):
        writer.stored(
            f"Blue Chair No. {number}/1-front.jpg", size=number % 977, checksum=hash((number,)) % 2**32
        )
    kept, _ = tracemalloc.get_traced_memory()
    for _ in writer.end():
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept - before < 25 * 10_000
    assert peak - kept < 5 * PIECE


def test_more_entries_than_sixteen_bits_count_are_found(tmp_path: Path) -> None:
    path = tmp_path / "many.zip"
    writer = ZipWriter(modified=NOON)
    with path.open("wb") as file:
        for number in range(66_000):
            file.write(stored(writer, f"{number}/1.jpg", b"x" * (number % 7)))
        file.writelines(writer.end())
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == 66_000
        for number in (0, 1, 65_534, 65_535, 65_536, 65_999):
            assert archive.read(f"{number}/1.jpg") == b"x" * (number % 7)


@pytest.mark.parametrize("seconds, year", [(0.0, 1980), (5e9, 2107), (-1e9, 1980), (2e10, 2107)])
def test_date_beyond_the_format_is_the_nearest_year(seconds: float, year: int, tmp_path: Path) -> None:
    writer = ZipWriter(modified=seconds)
    path = tmp_path / "a.zip"
    path.write_bytes(stored(writer, "a", b"x") + b"".join(writer.end()))
    with zipfile.ZipFile(path) as archive:
        assert archive.infolist()[0].date_time[0] == year
