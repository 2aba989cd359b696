"""Write animations, and GIFs of any kind."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from PIL import Image, ImageChops, ImageFile

from resizer.compress.codec.colours import profile_of, tone_mapped
from resizer.compress.codec.decoding import damage_told
from resizer.compress.codec.effort import options_for
from resizer.compress.codec.encoding import NOTHING
from resizer.compress.codec.ground import grounded
from resizer.compress.codec.palettes import indexed, palette_of
from resizer.compress.codec.pixels import OPAQUE, PALETTE, SHORT, has_alpha, placed, without_alpha_if_opaque
from resizer.compress.codec.plan import Plan
from resizer.compress.codec.saving import saved
from resizer.compress.codec.spaces import Space
from resizer.containers import gif
from resizer.containers.formats import Format
from resizer.containers.metadata import webp_with_alpha

HALF = 128


class _Inexact(Exception):
    """A GIF cannot be written again without losing colours."""


def animate(image: ImageFile.ImageFile, plan: Plan, space: Space) -> bytes:
    """Write all frames; nothing where that cannot be done without loss and must be."""
    profile, loop = profile_of("RGB", space.profile("RGB")), image.info.get("loop")
    # the picture that an APNG has for readers without animation is none of its frames
    first = 1 if getattr(image, "default_image", False) else 0
    count = getattr(image, "n_frames", 1) - first
    canvas = image.size

    def make(frame: int) -> tuple[Image.Image, float]:
        # here too, since a writer that asks for frames takes every failure for a lack of memory
        with damage_told():
            image.seek(frame + first)
            image.load()
            alpha = image.mode in ("RGBA", "LA") or image.info.get("transparency") is not None
            picture = image.convert("RGBA" if alpha else "RGB")
        duration = image.info.get("duration", 0)
        picture.info = {}
        if picture.size != canvas:
            # a later frame of a GIF may stick out
            picture = picture.crop((0, 0, *canvas))
        picture, _ = grounded(placed(tone_mapped(picture, space), plan), profile, plan)
        return picture, round(duration) if plan.target is Format.AVIF else duration

    if plan.target is Format.GIF:
        # where nothing is transparent it is enough to write what changes
        clear = any(has_alpha(without_alpha_if_opaque(make(frame)[0])) for frame in range(count))
        return write_gif(map(make, range(count)), plan, loop=loop, clear=clear)
    if plan.kind is Format.GIF:
        # a GIF counts what comes after the first time, the others count all
        loop = 1 if loop is None else loop and loop + 1
    options = options_for(plan, frames=count)
    if plan.target is not Format.AVIF:
        options["loop"] = min(loop or 0, SHORT)
    frames = _Frames(count, make)
    data = saved(frames, plan.target, profile, save_all=True, duration=frames.durations, **options)
    return webp_with_alpha(data) if plan.target is Format.WEBP and frames.clear else data


class _Frames(Image.Image):
    """Frames made one at a time: Pillow's writers seek, so that only one of them is held."""

    def __init__(self, count: int, make: Callable[[int], tuple[Image.Image, float]]) -> None:
        super().__init__()
        self.n_frames = count
        self.is_animated = True
        #: milliseconds; filled on the way, before the writers look
        self.durations: list[float] = []
        #: something can be seen through one of those that were made
        self.clear = False
        self._make = make
        self._at = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        if frame >= self.n_frames:
            raise EOFError("no more frames")
        if frame != self._at:
            image, duration = self._make(frame)
            self.clear = self.clear or has_alpha(without_alpha_if_opaque(image))
            self.im, self._mode, self._size = image.im, image.mode, image.size
            self._at = frame
            if frame == len(self.durations):
                self.durations.append(duration)

    def tell(self) -> int:
        return self._at


def write_gif(
    pictures: Iterable[tuple[Image.Image, float]], plan: Plan, *, loop: int | None, clear: bool
) -> bytes:
    """Write a GIF; `clear` where something can be seen through it."""
    frames = _cut_down(pictures, clear=clear, exact=plan.may_keep)
    try:
        return gif.assemble(*plan.size, loop=loop, frames=frames)
    except _Inexact:
        return NOTHING


def _cut_down(
    pictures: Iterable[tuple[Image.Image, float]], *, clear: bool, exact: bool
) -> Iterator[gif.Frame]:
    """Cut each frame down to what must be drawn: what can be seen of it, or what it changes."""
    shown = drawn = None
    for picture, duration in pictures:
        if clear:
            alpha = picture.convert("RGBA").getchannel("A")
            drawn = alpha.point(lambda value: OPAQUE if value >= HALF else 0)
        elif shown:
            red, green, blue = ImageChops.difference(picture.convert("RGB"), shown).split()
            most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
            drawn = most.point(lambda value: OPAQUE if value else 0)
        patch = shown = picture.convert("RGB")
        box = (0, 0, *picture.size)
        if drawn:
            box = drawn.getbbox() or (0, 0, 1, 1)
            patch = _with_holes(patch.crop(box), drawn.crop(box), exact=exact)
        else:
            patch = _gif_palette(patch, PALETTE, exact=exact)
        still = saved(patch, Format.GIF, optimize=False, interlace=False)
        disposal = gif.CLEAR if clear else gif.KEEP
        yield gif.Frame(still=still, left=box[0], top=box[1], duration=duration, disposal=disposal)


def _with_holes(patch: Image.Image, drawn: Image.Image, *, exact: bool) -> Image.Image:
    """Give it a palette whose last entry is transparent and stands wherever nothing is drawn."""
    holes = ImageChops.invert(drawn)
    if edge := drawn.getbbox():
        # what hides in the holes must take no entry: any colour that is seen will do
        row = drawn.crop((0, edge[1], drawn.width, edge[1] + 1)).getbbox() or edge
        seen: Any = patch.getpixel((row[0], edge[1]))
        patch.paste(seen, mask=holes)
    result = _gif_palette(patch, PALETTE - 1, exact=exact)
    transparent = len(palette_of(result)) // 3
    result.putpalette(palette_of(result) + b"\0\0\0")
    result.paste(transparent, mask=holes)
    result.info = {"transparency": transparent}
    return result


def _gif_palette(patch: Image.Image, room: int, *, exact: bool) -> Image.Image:
    few = patch.getcolors(room) is not None
    if exact and not few:
        raise _Inexact
    return indexed(patch, room, exact=few)
