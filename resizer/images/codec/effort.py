"""The settings of encoders for each effort, and the sizes from which a faster one is taken."""

from typing import Any, Final, NamedTuple

from resizer.images.formats import Format
from resizer.images.plan import Plan
from resizer.recipe import Effort

UNLIMITED: Final = float("inf")


class Step(NamedTuple):
    """One setting of an encoder."""

    #: the least effort that takes it
    effort: Effort
    setting: int
    #: pixels of all frames up to which it is taken
    most: float


#: from the slowest to the fastest
METHODS: Final[dict[Format, tuple[Step, ...]]] = {
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
    """Return what Pillow's encoder of the target takes."""
    if plan.target not in METHODS:
        return {}
    setting = setting_for(plan.target, plan.effort, plan.size[0] * plan.size[1] * frames)
    if plan.target is Format.WEBP:
        return {"quality": plan.quality, "method": setting}
    return {"quality": plan.quality, "speed": setting, "max_threads": 1}
