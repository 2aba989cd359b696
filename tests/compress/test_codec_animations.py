"""Moving pictures: every frame as it is seen, for as long as it is seen."""

from io import BytesIO

import numpy as np
import pytest
from pictures import Pixels, animated, balls, far, frames_of, opened, photo, pressed, saved, seen
from PIL import Image

from resizer.containers import gif

DURATIONS = [100, 50, 30, 200, 40, 90]


def timeline(data: bytes) -> list[tuple[Pixels, float]]:
    """Frames that follow one another unchanged are one: writers may join them."""
    result: list[tuple[Pixels, float]] = []
    for pixels, duration in frames_of(data):
        if result and np.array_equal(result[-1][0], pixels):
            result[-1] = (pixels, result[-1][1] + duration)
        else:
            result.append((pixels, duration))
    return result


def assert_same(one: bytes, other: bytes, tolerance: float = 0.0) -> None:
    first, second = timeline(one), timeline(other)
    assert [duration for _, duration in first] == pytest.approx([duration for _, duration in second])
    for (pixels, _), (others, _) in zip(first, second, strict=True):
        assert far(pixels, others) <= tolerance


def bloated(frames: list[Image.Image], *, loop: int | None = 0) -> bytes:
    """A GIF that draws every frame in full, so that there is something to gain."""
    stills = [
        gif.Frame(
            still=saved(_palette(frame), "GIF", interlace=True, optimize=False, comment=b"x" * 200),
            left=0,
            top=0,
            duration=duration,
            disposal=gif.CLEAR,
        )
        for frame, duration in zip(frames, DURATIONS, strict=False)
    ]
    return gif.assemble(*frames[0].size, loop=loop, frames=stills)


def _palette(frame: Image.Image) -> Image.Image:
    return frame.convert("RGBA").quantize(64)


@pytest.mark.parametrize("clear", [True, False])
def test_gif_stays_the_same_animation(clear: bool) -> None:
    data = bloated(balls(clear=clear))
    result = pressed(data)
    assert result.format == "gif"
    assert len(result.data) < len(data)
    assert_same(data, result.data)
    assert opened(result.data).info["loop"] == 0
    assert opened(result.data).n_frames == len(balls())


@pytest.mark.parametrize("disposal", [0, 1, 2, 3])
@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("optimize", [True, False])
def test_gif_of_pillow_stays_the_same(disposal: int, clear: bool, optimize: bool) -> None:
    """Written with partial frames, shared and own palettes, and each way to dispose."""
    data = animated(
        balls(clear=clear), "GIF", duration=DURATIONS, disposal=disposal, loop=2, optimize=optimize
    )
    result = pressed(data)
    assert_same(data, result.data)
    assert opened(result.data).info["loop"] == 2
    # again without the way out of giving the source back
    source, again = Image.open(BytesIO(data)), pressed(data, max_width=59)
    assert (again.width, again.height) == (59, 39)
    assert [duration for _, duration in timeline(again.data)] == [duration for _, duration in timeline(data)]
    for at, (pixels, _) in enumerate(frames_of(again.data)):
        source.seek(at)
        assert far(pixels, seen(source.convert("RGBA").resize((59, 39), Image.Resampling.LANCZOS))) < 9


@pytest.mark.parametrize("clear", [True, False])
def test_shrunk_gif_moves_alike(clear: bool) -> None:
    data = animated(balls(clear=clear), "GIF", duration=DURATIONS, disposal=2)
    result = pressed(data, max_width=30)
    got = frames_of(result.data)
    assert [duration for _, duration in got] == DURATIONS
    for frame, (pixels, _) in zip(balls(clear=clear), got, strict=True):
        assert pixels.shape == (20, 30, 4)
        assert far(pixels, seen(frame.resize((30, 20), Image.Resampling.LANCZOS))) < 9


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("width", [0, 30])
@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG"])
@pytest.mark.parametrize("wanted", ["webp", "avif"])
def test_animation_is_carried_over(source: str, wanted: str, width: int, clear: bool) -> None:
    options = {"disposal": 2} if source == "GIF" else {}
    data = animated(balls(clear=clear), source, duration=DURATIONS, **options)
    result = pressed(data, wanted, max_width=width, quality=90)
    got = frames_of(result.data)
    assert [duration for _, duration in got] == DURATIONS
    for frame, (pixels, _) in zip(balls(clear=clear), got, strict=True):
        expected = frame.resize((30, 20), Image.Resampling.LANCZOS) if width else frame
        assert far(pixels, seen(expected)) < 9


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "AVIF"])
def test_animation_is_kept_in_its_format(kind: str) -> None:
    data = animated(balls(), kind, duration=DURATIONS, lossless=True)
    for width in (0, 30):
        result = pressed(data, max_width=width)
        assert result.format == kind.lower()
        assert [duration for _, duration in frames_of(result.data)] == DURATIONS


@pytest.mark.parametrize("loop, plays", [(None, 1), (0, 0), (1, 2), (7, 8)])
def test_gif_and_webp_play_as_often(loop: int | None, plays: int) -> None:
    data = bloated(balls(), loop=loop)
    assert opened(pressed(data).data).info.get("loop") == loop
    assert opened(pressed(data, "webp").data).info["loop"] == plays


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_loop_count_is_kept(kind: str) -> None:
    data = animated(balls(), kind, duration=50, loop=3)
    assert opened(pressed(data, max_width=30).data).info["loop"] == 3
    assert opened(pressed(data, "webp", max_width=30).data).info["loop"] == 3


@pytest.mark.parametrize("source", ["GIF", "WEBP", "PNG", "AVIF"])
def test_jpeg_shows_the_first_frame(source: str) -> None:
    options = {"quality": 95} if source in ("WEBP", "AVIF") else {}
    result = pressed(animated(balls(clear=False), source, duration=50, **options), "jpeg", quality=90)
    assert far(seen(opened(result.data)), seen(balls(clear=False)[0])) < 12


def test_png_of_another_animation_is_its_first_frame() -> None:
    result = opened(pressed(animated(balls(), "GIF", duration=50, disposal=2), "png").data)
    assert getattr(result, "n_frames", 1) == 1
    assert far(seen(result), seen(balls()[0])) == 0


def test_the_stand_in_of_an_apng_is_no_frame() -> None:
    stand_in = Image.new("RGBA", (60, 40), "blue")
    data = saved(stand_in, "PNG", save_all=True, append_images=balls(), default_image=True, duration=50)
    result = frames_of(pressed(data, "webp", quality=90).data)
    assert len(result) == len(balls())
    assert far(result[0][0], seen(balls()[0])) < 9


def test_frames_that_stand_still_keep_their_time() -> None:
    frames = [frame for frame in balls(3, clear=False) for _ in range(2)]
    data = bloated(frames)
    result = pressed(data)
    assert [duration for _, duration in frames_of(result.data)] == DURATIONS
    assert_same(data, result.data)


def test_gif_of_many_colours_is_given_back_rather_than_spoilt() -> None:
    """Frames with palettes of their own make up more than one palette can hold."""
    frames = [photo(60, 40, seed) for seed in range(3)]
    data = animated(frames, "GIF", duration=50)
    assert_same(data, pressed(data).data)


def test_still_gif_stays_exact() -> None:
    for picture in (photo().quantize(256), photo().convert("L"), balls()[0], photo().convert("1")):
        data = saved(picture, "GIF", interlace=True)
        result = pressed(data)
        assert len(result.data) <= len(data)
        assert far(seen(opened(result.data)), seen(opened(data))) == 0


def test_animation_with_metadata_loses_it() -> None:
    data = animated(
        balls(), "WEBP", duration=50, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0secret", xmp=b"secret xmp"
    )
    for width in (0, 30):
        assert b"secret" not in pressed(data, max_width=width).data
