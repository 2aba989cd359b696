"""How hard encoders try."""

from itertools import pairwise
from typing import Any

import pytest
from pictures import animated, opened, photo, pressed, saved
from PIL import Image

from resizer.compress.codec import effort as efforts
from resizer.compress.codec.effort import OCTREE, STEPS, Jpeg, setting_for
from resizer.containers.formats import Format
from resizer.recipe import Effort

#: the setting of each effort, as it is promised
SETTINGS: dict[Format, dict[str, int]] = {
    Format.JPEG: {"fast": Jpeg.PLAIN, "balanced": Jpeg.OPTIMIZED, "small": Jpeg.TRELLIS},
    Format.PNG: {"fast": OCTREE, "balanced": 1, "small": 5},
    Format.WEBP: {"fast": 2, "balanced": 5, "small": 6},
    Format.AVIF: {"fast": 9, "balanced": 8, "small": 6},
}
NAMES = {Format.WEBP: "method", Format.AVIF: "speed"}


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("target", list(NAMES))
def test_effort_is_the_setting_of_the_encoder(target: Format, effort: Effort) -> None:
    options: dict[str, Any] = {NAMES[target]: SETTINGS[target][effort]}
    if target is Format.AVIF:
        options |= {"max_threads": 1, "advanced": {"a:lossless": "1"}}
    expected = saved(photo(), target.upper(), quality=50, **options)
    assert pressed(saved(photo(), "PNG"), target, effort=effort).data == expected


@pytest.mark.parametrize("frames", [1, 4])
@pytest.mark.parametrize("target", list(STEPS))
def test_very_large_image_takes_the_next_faster_setting(target: Format, frames: int) -> None:
    steps = STEPS[target]
    assert steps[-1].still == steps[-1].animated == float("inf")
    for slower, faster in pairwise(steps):
        limit = slower.animated if frames > 1 else slower.still
        if limit == float("inf"):
            continue
        most = int(limit)
        assert setting_for(target, slower.effort, most // frames, frames=frames) == slower.setting
        assert setting_for(target, slower.effort, most // frames + 1, frames=frames) == faster.setting
    for effort in Effort:
        if target in NAMES:
            assert setting_for(target, effort, 10**9, frames=frames) == steps[-1].setting
        assert setting_for(target, effort, 1, frames=frames) == SETTINGS[target][effort]


def test_frames_of_an_animation_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []

    def noting(target: Format, effort: Effort, pixels: int, *, frames: int, clear: bool) -> int:
        asked.append((pixels, frames))
        return setting_for(target, effort, pixels, frames=frames, clear=clear)

    monkeypatch.setattr(efforts, "setting_for", noting)
    data = animated([photo(40, 30, seed=seed) for seed in range(5)], "WEBP", duration=50)
    assert opened(pressed(data, max_width=20).data).n_frames == 5
    assert asked == [(20 * 15, 5)]


@pytest.mark.parametrize("clear", [False, True], ids=["opaque", "with-transparency"])
def test_transparency_takes_the_faster_setting_of_webp_from_a_smaller_size_on(*, clear: bool) -> None:
    picture = photo(1200, 900)
    if clear:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    method = SETTINGS[Format.WEBP][Effort.BALANCED if clear else Effort.SMALL]
    expected = saved(picture, "WEBP", quality=50, method=method)
    assert pressed(saved(picture, "PNG"), Format.WEBP, effort=Effort.SMALL).data == expected
