import itertools
from io import BytesIO

import pytest
from PIL import Image

from resizer.images import av1, avif


def saved(*frames: Image.Image, **options: str | int) -> bytes:
    buffer = BytesIO()
    frames[0].save(buffer, "AVIF", save_all=len(frames) > 1, append_images=frames[1:], speed=10, **options)
    return buffer.getvalue()


def found(data: bytes) -> set[tuple[int, int]]:
    return set(itertools.chain.from_iterable(map(av1.extents, avif.streams(data))))


@pytest.mark.parametrize("size", [(1, 1), (16, 9), (640, 480), (3001, 17), (300, 2049)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_stream_says_its_size(size: tuple[int, int], mode: str) -> None:
    assert found(saved(Image.new(mode, size, "red"))) == {size}


def test_tracks_say_their_size() -> None:
    data = saved(*(Image.new("RGBA", (64, 48), (40 * number, 1, 1, 100)) for number in range(3)))
    assert b"moov" in data
    # without its still image the tracks alone are left
    assert found(data.replace(b"meta", b"skip", 1)) == {(64, 48)}


def test_item_in_the_head_is_found() -> None:
    """One whose bytes stand in the box idat, in two pieces, of which the second ends with the box."""
    stream = next(iter(avif.streams(saved(Image.new("RGB", (320, 200))))))
    places = b"\x01\0\0\0\x44\x00" + b"\0\x01" + b"\0\x01" + b"\0\x01" + b"\0\0" + b"\0\x02"
    places += (0).to_bytes(4) + (5).to_bytes(4) + (5).to_bytes(4) + (len(stream) - 5).to_bytes(4)
    inner = box(b"iloc", places) + box(b"idat", stream)
    assert found(box(b"ftyp", b"avif") + box(b"meta", bytes(4) + inner)) == {(320, 200)}


def test_long_sequence_header_is_read() -> None:
    """With timing, a decoder model, a tier and delays, bit by bit as the specification lists them."""
    bits = "00000"  # profile, still, short
    bits += "1" + f"{1:032b}{30:032b}" + "1" + "00101" + "1" + f"{9:05b}{1:032b}{0:05b}{0:05b}"
    bits += "1" + f"{1:05b}"
    bits += f"{0:012b}{9:05b}" + "1" + "1" + f"{7:010b}{7:010b}" + "0" + "1" + "0011"
    bits += f"{0:012b}{5:05b}" + "0" + "0"
    bits += f"{11:04b}{10:04b}{4095:012b}{1999:011b}" + "0" * 7
    body = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    unit = bytes([0x12, 0]) + bytes([1 << 3 | 2, len(body)]) + body
    assert list(av1.extents(unit)) == [(4096, 2000)]


@pytest.mark.parametrize(
    "stream", [b"", b"\x0a", b"\x0a\xff", b"\x0a" + b"\xff" * 9, b"\x0a\x7f\0", b"\0" * 50]
)
def test_what_is_no_stream_says_nothing(stream: bytes) -> None:
    assert not list(av1.extents(stream))


def box(name: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4) + name + body
