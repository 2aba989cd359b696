"""JPEG to JPEG without Pillow between: as good as the way through Pillow, and only where that is certain."""

from typing import Any

import numpy as np
import pytest
from pictures import opened, photo, pressed, saved, smooth
from PIL import Image

from resizer.images.codec import compressing
from resizer.images.codec.turbo import recompress

SOURCES: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    "4:2:0": (photo(), {"subsampling": 2}),
    "4:2:2": (photo(), {"subsampling": 1}),
    "4:4:4": (photo(), {"subsampling": 0}),
    "grey": (photo().convert("L"), {}),
    "progressive": (photo(), {"progressive": True}),
    "restarts": (photo(), {"restart_marker_rows": 1}),
    "odd": (photo(97, 61), {}),
    "one pixel": (photo(1, 1), {}),
    "narrow": (photo(3, 200), {}),
}


def again(data: bytes, *, quality: int = 50, profile: bytes | None = None) -> bytes | None:
    source = opened(data)
    return recompress(data, mode=source.mode, size=source.size, quality=quality, profile=profile)


def through_pillow(data: bytes, *, quality: int = 50) -> bytes:
    return saved(opened(data), "JPEG", quality=quality)


def error(data: bytes, source: bytes) -> float:
    """Return the mean square of what it differs by, over luma and chroma."""
    one, other = (np.asarray(opened(each).convert("YCbCr"), dtype=float) for each in (data, source))
    return float(((one - other) ** 2).mean())


@pytest.mark.parametrize("quality", [1, 50, 90, 100])
@pytest.mark.parametrize("name", SOURCES)
def test_it_is_like_pillow_or_nearer_to_the_source(name: str, quality: int) -> None:
    picture, options = SOURCES[name]
    data = saved(picture, "JPEG", quality=92, **options)
    ours, theirs = again(data, quality=quality), through_pillow(data, quality=quality)
    assert ours is not None
    one, other = opened(ours), opened(theirs)
    assert (one.size, one.mode) == (other.size, other.mode)
    assert one.quantization == other.quantization
    assert [layer[1:3] for layer in one.layer] == [layer[1:3] for layer in other.layer]
    assert error(ours, data) <= error(theirs, data) * 1.02 + 1
    assert len(ours) <= len(theirs) * 1.02 + 16


def test_chroma_at_half_size_is_not_smoothed() -> None:
    hard = Image.fromarray(np.kron(np.eye(32, dtype="u1"), np.ones((2, 2), "u1")) * 255).convert("RGB")
    hard.paste((255, 0, 0), mask=hard.convert("L"))
    data = saved(hard, "JPEG", quality=95, subsampling=2)
    ours = again(data, quality=95)
    assert ours is not None
    assert error(ours, data) < error(through_pillow(data, quality=95), data)


@pytest.mark.parametrize("size", [1, 65519, 65520, 300_000])
def test_profile_of_any_length_is_written(size: int) -> None:
    profile = bytes(number % 251 for number in range(size))
    result = again(saved(photo(), "JPEG"), profile=profile)
    assert result is not None
    assert opened(result).info["icc_profile"] == profile


@pytest.mark.parametrize(
    "data",
    [
        saved(photo().convert("CMYK"), "JPEG"),
        saved(photo(), "JPEG", keep_rgb=True),
        saved(photo(), "JPEG")[:-300],
        saved(photo(), "JPEG").replace(b"\xff\xd9", b"\xff\xd8\xff\xd9"),
        b"",
    ],
    ids=["CMYK", "RGB", "cut off", "damaged", "empty"],
)
def test_what_is_seldom_or_damaged_is_left_to_pillow(data: bytes) -> None:
    assert recompress(data, mode="RGB", size=(96, 64), quality=50, profile=None) is None


def test_nothing_is_made_of_what_pillow_has_read_otherwise() -> None:
    data = saved(photo(), "JPEG")
    assert recompress(data, mode="L", size=(96, 64), quality=50, profile=None) is None
    assert recompress(data, mode="RGB", size=(64, 96), quality=50, profile=None) is None


@pytest.mark.parametrize(
    "recipe, taken",
    [({}, True), ({"wanted": "jpeg"}, True), ({"max_width": 50}, False), ({"wanted": "webp"}, False)],
)
def test_it_is_taken_where_only_the_quality_changes(
    recipe: dict[str, Any], taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def noted(data: bytes, **options: Any) -> bytes | None:
        asked.append(data)
        return recompress(data, **options)

    monkeypatch.setattr(compressing, "recompress", noted)
    pressed(saved(smooth(), "JPEG", quality=95), **recipe)
    assert bool(asked) is taken


def test_damaged_file_that_pillow_gets_over_is_compressed() -> None:
    data = saved(photo(600, 400), "JPEG", quality=95)
    middle = len(data) // 2
    damaged = data[:middle] + b"\xff\xd0" + data[middle:]
    assert recompress(damaged, mode="RGB", size=(600, 400), quality=50, profile=None) is None
    result = pressed(damaged)
    assert (result.width, result.height) == (600, 400)
