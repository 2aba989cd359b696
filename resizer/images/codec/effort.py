"""The settings of encoders for each effort, and the sizes from which a faster one is taken."""

from enum import IntEnum
from typing import Any, Final, NamedTuple

from resizer.images.formats import Format
from resizer.images.plan import Plan
from resizer.recipe import Effort

UNLIMITED: Final = float("inf")
#: alpha without loss: the only way to keep its ends, and with soft edges no larger than WebP's
EXACT_ALPHA: Final = {"a:cq-level": "0"}


class Jpeg(IntEnum):
    """How a JPEG is coded."""

    #: the standard's Huffman tables
    PLAIN = 0
    #: tables of its own for the same coefficients
    OPTIMIZED = 1
    #: coefficients chosen by what they cost
    TRELLIS = 2


#: for PNG, in place of an effort of libvips's quantiser
OCTREE: Final = 0


class Step(NamedTuple):
    """One setting of an encoder."""

    #: the least effort that takes it
    effort: Effort
    setting: int
    #: pixels of all frames up to which it is taken
    most: float


#: from the slowest to the fastest
METHODS: Final[dict[Format, tuple[Step, ...]]] = {
    Format.JPEG: (
        Step(Effort.SMALL, Jpeg.TRELLIS, UNLIMITED),
        Step(Effort.BALANCED, Jpeg.OPTIMIZED, UNLIMITED),
        Step(Effort.FAST, Jpeg.PLAIN, UNLIMITED),
    ),
    Format.PNG: (
        Step(Effort.SMALL, 7, 12_000_000),
        Step(Effort.BALANCED, 1, UNLIMITED),
        Step(Effort.FAST, OCTREE, UNLIMITED),
    ),
    Format.WEBP: (
        Step(Effort.SMALL, 6, 12_000_000),
        Step(Effort.BALANCED, 5, 16_000_000),
        Step(Effort.FAST, 2, UNLIMITED),
    ),
    Format.AVIF: (
        Step(Effort.SMALL, 6, 8_000_000),
        Step(Effort.BALANCED, 8, 25_000_000),
        Step(Effort.FAST, 9, UNLIMITED),
    ),
}
EFFORTS: Final = tuple(Effort)


def setting_for(target: Format, effort: Effort, pixels: int) -> int:
    """Return the setting of an encoder for an image of so many pixels, all its frames counted."""
    asked = EFFORTS.index(effort)
    return next(
        step.setting
        for step in METHODS[target]
        if EFFORTS.index(step.effort) <= asked and pixels <= step.most
    )


def options_for(plan: Plan, *, frames: int = 1) -> dict[str, Any]:
    """Return what Pillow's encoder of WebP or AVIF takes; nothing for another target."""
    if plan.target not in (Format.WEBP, Format.AVIF):
        return {}
    setting = setting_for(plan.target, plan.effort, plan.size[0] * plan.size[1] * frames)
    if plan.target is Format.WEBP:
        return {"quality": plan.quality, "method": setting}
    return {"quality": plan.quality, "speed": setting, "max_threads": 1, "advanced": EXACT_ALPHA}
