"""Write animations, and GIFs of any kind."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageChops, ImageFile

from resizer.compress.codec import background, colours
from resizer.compress.codec.effort import options_for
from resizer.compress.codec.palettes import palette_of, with_palette
from resizer.compress.codec.pillow import decoder_errors, save
from resizer.compress.codec.pixels import OPAQUE, PALETTE, SHORT, arrange, has_alpha, without_opaque_alpha
from resizer.compress.codec.plan import KEEP_SOURCE, Plan
from resizer.compress.codec.spaces import Space
from resizer.containers import gif
from resizer.containers.formats import Format
from resizer.containers.metadata import webp_with_alpha

HALF = 128

#: a picture, and its milliseconds
Frame = tuple[Image.Image, float]


class _Inexact(Exception):
    """A GIF cannot be written again without losing colours."""


def animate(image: ImageFile.ImageFile, plan: Plan, space: Space) -> bytes:
    """Write all frames; returns `KEEP_SOURCE` if colours must be kept and cannot."""
    source = _Source(image, plan, space, colours.profile_for("RGB", space.profile("RGB")), image.size)
    loop = image.info.get("loop")
    if plan.target is Format.GIF:
        # Without transparency it is enough to write what changes.
        clear = any(has_alpha(without_opaque_alpha(picture)) for picture, _ in source)
        return write_gif(source, plan, loop=loop, clear=clear)
    if plan.kind is Format.GIF:
        # A GIF counts the repetitions after the first time, the other formats count all.
        loop = 1 if loop is None else loop and loop + 1
    options = options_for(plan, frames=source.count)
    if plan.target is not Format.AVIF:
        options["loop"] = min(loop or 0, SHORT)
    frames = _Frames(source)
    data = save(frames, plan.target, source.profile, save_all=True, duration=frames.durations, **options)
    return webp_with_alpha(data) if plan.target is Format.WEBP and frames.clear else data


@dataclass(frozen=True, slots=True)
class _Source:
    """The frames of an animation as they are to be written, made one at a time."""

    image: ImageFile.ImageFile
    plan: Plan
    space: Space
    profile: bytes | None
    #: width and height of the first frame
    canvas: tuple[int, int]

    @property
    def first(self) -> int:
        # The picture that an APNG has for readers without animation is not one of its frames.
        return 1 if getattr(self.image, "default_image", False) else 0

    @property
    def count(self) -> int:
        return getattr(self.image, "n_frames", 1) - self.first

    def __iter__(self) -> Iterator[Frame]:
        return map(self.make, range(self.count))

    def make(self, index: int) -> Frame:
        image = self.image
        # Here too, since the encoder that asks for frames takes every error for a lack of memory.
        with decoder_errors():
            image.seek(index + self.first)
            image.load()
            alpha = image.mode in ("RGBA", "LA") or image.info.get("transparency") is not None
            picture = image.convert("RGBA" if alpha else "RGB")
        duration = image.info.get("duration", 0)
        picture.info = {}
        if picture.size != self.canvas:
            # A later frame of a GIF may extend beyond the canvas.
            picture = picture.crop((0, 0, *self.canvas))
        picture = arrange(colours.tone_map(picture, self.space), self.plan)
        picture, _ = background.apply(picture, self.profile, self.plan)
        return picture, round(duration) if self.plan.target is Format.AVIF else duration


class _Frames(Image.Image):
    """An image whose current frame alone is in memory: Pillow's writers seek."""

    def __init__(self, source: _Source) -> None:
        super().__init__()
        self.n_frames = source.count
        self.is_animated = True
        #: milliseconds; complete when a writer reads it
        self.durations: list[float] = []
        #: one of the frames made so far is transparent somewhere
        self.clear = False
        self._source = source
        self._index = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        if frame >= self.n_frames:
            raise EOFError("no more frames")
        if frame != self._index:
            image, duration = self._source.make(frame)
            self.clear = self.clear or has_alpha(without_opaque_alpha(image))
            self.im, self._mode, self._size = image.im, image.mode, image.size
            self._index = frame
            if frame == len(self.durations):
                self.durations.append(duration)

    def tell(self) -> int:
        return self._index


def write_gif(frames: Iterable[Frame], plan: Plan, *, loop: int | None, clear: bool) -> bytes:
    """Write a GIF; `clear` if it is transparent somewhere."""
    try:
        return gif.assemble(*plan.size, loop=loop, frames=_patches(frames, clear=clear, exact=plan.may_keep))
    except _Inexact:
        return KEEP_SOURCE


def _patches(frames: Iterable[Frame], *, clear: bool, exact: bool) -> Iterator[gif.Frame]:
    """Crop each frame to what must be drawn: to its visible pixels, or to those that change."""
    shown = drawn = None
    for picture, duration in frames:
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
        still = save(patch, Format.GIF, optimize=False, interlace=False)
        disposal = gif.CLEAR if clear else gif.KEEP
        yield gif.Frame(still=still, left=box[0], top=box[1], duration=duration, disposal=disposal)


def _with_holes(patch: Image.Image, drawn: Image.Image, *, exact: bool) -> Image.Image:
    """Give a patch a palette whose last entry is transparent and fills all that is not drawn."""
    holes = ImageChops.invert(drawn)
    if edge := drawn.getbbox():
        # Hidden colours must take no entry, so any visible colour replaces them.
        row = drawn.crop((0, edge[1], drawn.width, edge[1] + 1)).getbbox() or edge
        visible: Any = patch.getpixel((row[0], edge[1]))
        patch.paste(visible, mask=holes)
    result = _gif_palette(patch, PALETTE - 1, exact=exact)
    transparent = len(palette_of(result)) // 3
    result.putpalette(palette_of(result) + b"\0\0\0")
    result.paste(transparent, mask=holes)
    result.info = {"transparency": transparent}
    return result


def _gif_palette(patch: Image.Image, size: int, *, exact: bool) -> Image.Image:
    few = patch.getcolors(size) is not None
    if exact and not few:
        raise _Inexact
    return with_palette(patch, size, exact=few)
