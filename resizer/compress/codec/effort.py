"""The encoder settings of each effort, and the image sizes from which a faster setting is taken."""

from enum import IntEnum
from typing import Any, Final, NamedTuple

from resizer.compress.codec.plan import Plan
from resizer.containers.formats import Format
from resizer.recipe import Effort

UNLIMITED: Final = float("inf")
EFFORTS: Final = tuple(Effort)  # from the fastest to the slowest
#: lossless alpha alone keeps 0 and 255 exact; with soft edges it is no larger than WebP's
EXACT_ALPHA: Final = {"a:lossless": "1"}


class Jpeg(IntEnum):
    """Ways to encode a JPEG."""

    #: the standard's Huffman tables
    PLAIN = 0
    #: Huffman tables of its own for the same coefficients
    OPTIMIZED = 1
    #: coefficients chosen by their cost in bytes
    TRELLIS = 2


OCTREE: Final = 0  # for PNG, in place of an effort of libvips's quantiser


class Step(NamedTuple):
    """One setting of an encoder, and the largest images that take it."""

    effort: Effort
    setting: int
    #: pixels of a still image
    still: float
    #: pixels of all frames of an animation; several candidates of each frame are encoded
    animated: float
    #: pixels of a still image with transparency, if that takes longer
    clear: float = UNLIMITED


# A setting is taken up to the size at which noise, the worst image, takes 14 s of CPU, half of the default of
# compress.timeout. CPU seconds at quality 50, of a photo and of noise:
#
#   WebP, method   12 MP        25 MP        50 MP        24 frames, 9.6 MP together
#     2            0.4   1.7    0.9   3.0    2.0   5.1    0.6   1.5
#     5            1.1   2.8    2.4   6.5    5.4  35      1.3   3.2
#     6            1.3   7.6    2.9  17      6.5 112     22     8.5
#     6, with transparency: 1 MP 5.5 10; an animation of 1 MP 13
#   AVIF, speed
#     9            0.7   2.2    1.7   5.1    3.2  10.5    0.5   2.6
#     8            1.5   7.5    3.7  20      5.5  35     0.5   3.1
#     6            5.3  14     10.6  29     24           3.9  35
#
#   JPEG               16 MP                    49 MP
#     trellis          0.9 13                      40 (quality 85)
#     optimized                                   4.8
#   PNG, effort        8 MP         25 MP        49 MP
#     5                3.8  15
#     1                             4.5  19         38
#     octree                                    3.9   4.0
#
# WebP starts again whenever one part of the file exceeds a limit of the format, and method 6 tries every way
# to pack alpha. Frames of an animation get alpha also for pixels that repeat the frame before.
#: from the slowest to the fastest
STEPS: Final[dict[Format, tuple[Step, ...]]] = {
    Format.JPEG: (
        Step(Effort.SMALL, Jpeg.TRELLIS, 16_000_000, UNLIMITED),
        Step(Effort.BALANCED, Jpeg.OPTIMIZED, UNLIMITED, UNLIMITED),
        Step(Effort.FAST, Jpeg.PLAIN, UNLIMITED, UNLIMITED),
    ),
    Format.PNG: (
        Step(Effort.SMALL, 5, 8_000_000, UNLIMITED),
        Step(Effort.BALANCED, 1, 16_000_000, UNLIMITED),
        Step(Effort.FAST, OCTREE, UNLIMITED, UNLIMITED),
    ),
    Format.WEBP: (
        Step(Effort.SMALL, 6, 16_000_000, 1_000_000, clear=250_000),
        Step(Effort.BALANCED, 5, 25_000_000, 25_000_000),
        Step(Effort.FAST, 2, UNLIMITED, UNLIMITED),
    ),
    Format.AVIF: (
        Step(Effort.SMALL, 6, 8_000_000, 4_000_000),
        Step(Effort.BALANCED, 8, 16_000_000, 16_000_000),
        Step(Effort.FAST, 9, UNLIMITED, UNLIMITED),
    ),
}


def setting_for(target: Format, effort: Effort, pixels: int, *, frames: int = 1, clear: bool = False) -> int:
    """Return the encoder's setting for an image; `pixels` is per frame, `clear` with transparency."""
    fast_enough = EFFORTS[: EFFORTS.index(effort) + 1]
    return next(
        step.setting
        for step in STEPS[target]
        if step.effort in fast_enough and pixels * frames <= _most(step, frames=frames, clear=clear)
    )


def options_for(plan: Plan, *, frames: int = 1, clear: bool = False) -> dict[str, Any]:
    """Return the options of Pillow's encoder of WebP or AVIF; none for another target."""
    if plan.target not in (Format.WEBP, Format.AVIF):
        return {}
    pixels = plan.size[0] * plan.size[1]
    setting = setting_for(plan.target, plan.effort, pixels, frames=frames, clear=clear)
    if plan.target is Format.WEBP:
        return {"quality": plan.quality, "method": setting}
    return {"quality": plan.quality, "speed": setting, "max_threads": 1, "advanced": EXACT_ALPHA}


def _most(step: Step, *, frames: int, clear: bool) -> float:
    if frames > 1:
        return step.animated
    return min(step.still, step.clear) if clear else step.still
