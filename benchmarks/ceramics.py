"""Draw photos of ceramics: turned shapes, lit by a window, on a paper sweep."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.pieces import Piece, Shot

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: towards the window and the lamp that fills the shadow; how far off the camera is, in heights of a tall vase
WINDOW = (-0.62, 0.52, 0.58)
FILL = (0.85, 0.25, 0.45)
CAMERA = 4.2
#: a little warmer than the paper
DAYLIGHT = np.asarray((1.03, 1.0, 0.95), np.float32)
#: points on a piece for each pixel of the canvas: fewer leave holes
DENSITY = 1.25
#: the canvas is drawn larger than the photo, so that edges come out smooth
OVERSAMPLING = 1.25
#: rows of points that are worked on at once
ROWS = 24
#: where the ground under a piece lies, from the upper edge of the canvas
GROUND = 0.78
#: rows and columns of a piece's unrolled skin
SKIN = (700, 1400)
GRAIN = 0.012  # of white; a small sensor in daylight


def photograph(shot: Shot) -> bytes:
    """Take the photo; returns an image file. The same shot gives the same photo."""
    random = np.random.default_rng(shot.seed)
    width, height = (round(side * OVERSAMPLING) for side in (shot.width, shot.height))
    # pixels for one height of a tall vase
    scale = (
        min(width, height)
        * 0.6
        / max(shot.piece.outline[-1][1], 0.55 + max(r for r, _ in shot.piece.outline))
    )
    canvas = _paper(shot, width, height, scale)
    _Drawing(canvas, shot, scale).draw(random)
    picture = Image.fromarray((np.clip(canvas, 0, 1) * 255).astype(np.uint8))
    picture = picture.resize((shot.width, shot.height), Image.Resampling.LANCZOS)
    grain = random.normal(0, GRAIN * 255, (shot.height, shot.width, 1)).astype(np.float32)
    noisy = np.asarray(picture, np.float32) + grain * (1 + random.normal(0, 0.25, (1, 1, 3)))
    file = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(file, shot.format, **shot.options)
    return file.getvalue()


def _paper(shot: Shot, width: int, height: int, scale: float) -> Floats:
    """Return the sweep of paper with the shadow of the piece, as rows × columns × RGB from 0 to 1."""
    x = (np.arange(width, dtype=np.float32) - width / 2) / scale
    y = _height_of_rows(height, scale)[:, None]
    light = 0.88 - 0.09 * x[None, :] - 0.05 * y
    # where the floor turns into the wall
    light = light - 0.07 / (1 + np.exp(-(y - 0.55) * 6))
    radius = max(r for r, _ in shot.piece.outline)
    foot = shot.piece.outline[1][0]
    tall = shot.piece.outline[-1][1]
    flat = math.sin(shot.tilt)
    cast = np.hypot(
        (x - 0.42 * tall)[None, :] / (0.75 * tall + radius), (y - 0.10 * tall) / (0.34 * tall + flat * radius)
    )
    near = np.hypot((x - 0.05)[None, :] / (foot * 1.25), y / (foot * flat * 1.5 + 0.02))
    shade = 0.30 * np.exp(-(cast**2) * 1.8) + 0.55 * np.exp(-(near**2) * 1.1)
    shadow = Image.fromarray((shade * 255).clip(0, 255).astype(np.uint8))
    soft = np.asarray(shadow.filter(ImageFilter.GaussianBlur(scale * 0.02)), np.float32) / 255
    lit = np.clip(light * (1 - soft), 0.02, 1)
    colour = np.asarray(shot.paper, np.float32)
    # a shadow is bluer than what the window lights
    cool = 1 + np.asarray((-0.05, 0.0, 0.06), np.float32) * soft[..., None]
    return np.asarray(lit[..., None] * colour / 0.80 * cool, np.float32)


def _height_of_rows(height: int, scale: float) -> Floats:
    return np.asarray((height * GROUND - np.arange(height, dtype=np.float32)) / scale, np.float32)


class _Drawing:
    """A piece on a canvas: points all over it, of which the nearest to the camera are seen."""

    def __init__(self, canvas: Floats, shot: Shot, scale: float) -> None:
        self._canvas = canvas
        self._piece = shot.piece
        #: pixels for one height of a tall vase
        self._scale = scale
        self._depths: Floats = np.full(canvas.shape[:2], -np.inf, np.float32)
        self._to_camera = np.asarray((0, math.sin(shot.tilt), math.cos(shot.tilt)), np.float32)

    def draw(self, random: np.random.Generator) -> None:
        outline = _smooth(_walls(self._piece))
        length = float(np.hypot(*np.diff(outline, axis=0).T).sum())
        along = _evenly(outline, round(length * self._scale * DENSITY))
        around = round(2 * math.pi * float(outline[:, 0].max()) * self._scale * DENSITY)
        angle = np.linspace(-math.pi, math.pi, around, endpoint=False, dtype=np.float32)
        skin = _Skin(self._piece, angle, random)
        tangent = np.gradient(along, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-9
        # fingers leave fine rings
        rings = 0.05 * np.sin(along[:, 1] * 95 + 2 * np.sin(along[:, 1] * 17))
        up = rings * np.abs(tangent[:, 1]) - tangent[:, 0]
        surface = np.stack((along[:, 0], along[:, 1], tangent[:, 1], up))
        rim = int(np.argmax(along[:, 1]))
        # a few rows at a time: what is worked on stays in the processor's cache
        for first in range(0, len(along), ROWS):
            rows = surface[:, first : first + ROWS]
            self._rings(skin, rows, inside=np.arange(first, first + rows.shape[1]) > rim)

    def _rings(self, skin: "_Skin", surface: Floats, *, inside: Mask) -> None:
        """Draw some rings of the piece: radius, height and normal of each, and whether they lie inside it."""
        radius, level, out, up = surface
        sine, cosine, to_camera = skin.sine, skin.cosine, self._to_camera
        towards = out[:, None] * cosine * to_camera[2] + up[:, None] * to_camera[1]
        found = np.nonzero(towards > 0)
        row, column = found[0], found[1]
        size = np.sqrt(out * out + up * up)[row]
        facing = towards[row, column] / size
        r, y = radius[row], level[row]
        z = r * cosine[column]
        depth = y * to_camera[1] + z * to_camera[2]
        scale = CAMERA / (CAMERA - depth) * self._scale
        height, width = self._depths.shape
        across = np.rint(width / 2 + r * sine[column] * scale).astype(np.int32)
        down = np.rint(height * GROUND - (y * to_camera[2] - z * to_camera[1]) * scale).astype(np.int32)
        seen = (across >= 0) & (across < width) & (down >= 0) & (down < height)
        seen[seen] = depth[seen] > self._depths[down[seen], across[seen]]
        # the last of those that fall on one pixel is kept
        order = np.nonzero(seen)[0]
        order = order[np.argsort(depth[order], kind="stable")]
        row, column, y = row[order], column[order], y[order]
        turned = (out[row] * sine[column], up[row], out[row] * cosine[column])
        normal = np.stack(turned, axis=1) / size[order, None]
        light, shine = self._light(normal, facing[order], y, inside[row])
        pixels = down[order], across[order]
        # film's shoulder, then the screen's curve
        lit = skin.colours(y, column) * light[:, None] * DAYLIGHT + shine[:, None]
        self._canvas[pixels] = (1 - np.exp(-lit * 1.75)) ** 0.8
        self._depths[pixels] = depth[order]

    def _light(self, normal: Floats, facing: Floats, y: Floats, inside: Mask) -> tuple[Floats, Floats]:
        """Return how much light of window, lamp and room comes to each point, and how much is mirrored."""
        window, lamp = _unit(WINDOW), _unit(FILL)
        direct = np.clip((normal @ window + 0.22) / 1.22, 0, 1) ** 1.25
        filled = np.clip(normal @ lamp, 0, 1)
        room = 0.5 + 0.5 * normal[:, 1]
        tall = self._piece.outline[-1][1]
        # less light comes to the foot, and into the piece
        reached = np.where(
            inside, np.exp((y - tall) * 2.6) * 0.85, 1 - 0.55 * np.exp(-np.clip(y, 0, None) / 0.07)
        )
        bounced = np.clip(-normal[:, 1], 0, 1) * 0.10
        light = (0.88 * direct + 0.10 * filled + 0.26 * room) * reached + bounced
        mirrored = 2 * facing[:, None] * normal - self._to_camera
        across = np.arctan2(mirrored[:, 0], mirrored[:, 2]) - math.atan2(window[0], window[2])
        above = np.arcsin(mirrored[:, 1].clip(-1, 1)) - math.asin(window[1])
        pane = _edge(0.34 - np.abs(across)) * _edge(0.42 - np.abs(above))
        bars = 1 - 0.75 * np.maximum(_edge(0.022 - np.abs(across)), _edge(0.022 - np.abs(above - 0.03)))
        # Schlick's approximation of Fresnel's law, for glass
        grazing = 0.05 + 0.95 * (1 - facing.clip(0, 1)) ** 5
        shine = self._piece.gloss * (pane * bars * (0.42 + grazing) + 0.10 * grazing * room)
        return np.asarray(light, np.float32), np.asarray(shine * np.where(inside, 0.25, 1), np.float32)


class _Skin:
    """A piece's own colours: glaze that ran a little, clay where it ended, iron that burnt through."""

    def __init__(self, piece: Piece, angle: Floats, random: np.random.Generator) -> None:
        self._piece = piece
        self.sine, self.cosine = np.sin(angle), np.cos(angle)
        self._tall = piece.outline[-1][1]
        runs = np.zeros_like(angle)
        for turns, phase in zip((2, 3, 5, 9, 14), random.uniform(0, 2 * math.pi, 5).tolist(), strict=True):
            runs += np.sin(angle * turns + phase) / turns
        #: height at which the glaze ends, for each angle
        self._border = self._tall * (piece.bare + 0.020 * runs)
        self._turned = ((angle + math.pi) / (2 * math.pi) * (SKIN[1] - 1)).astype(np.int32)
        spots = np.zeros(SKIN, np.uint8)
        count = int(2600 * piece.speckles)
        spots[random.integers(9, SKIN[0] - 9, count), random.integers(0, SKIN[1], count)] = 255
        blurred = Image.fromarray(spots).filter(ImageFilter.GaussianBlur(1.1))
        self._spots = (np.asarray(blurred, np.float32) / 42).clip(0, 1) * 0.55
        few = Image.fromarray(random.integers(0, 255, (24, 48), dtype=np.uint8))
        clouds = few.resize((SKIN[1], SKIN[0]), Image.Resampling.BICUBIC)
        self._clouds = 1 + 0.13 * (np.asarray(clouds, np.float32) / 255 - 0.5)

    def colours(self, y: Floats, column: NDArray[np.intp]) -> Floats:
        """Return the colour of the points at these heights and columns of the angle."""
        glazed = _edge((y - self._border[column]) * 14)
        at = (y * ((SKIN[0] - 1) / self._tall)).clip(0, SKIN[0] - 1).astype(np.int32), self._turned[column]
        cloudy = self._clouds[at]
        # thin at the rim, where the clay shines through
        covered = glazed * (1 - 0.45 * np.exp((y - self._tall).clip(None, 0) / 0.02))
        bare = (1 - covered) * (0.9 + 0.1 * cloudy)
        glaze, clay = np.asarray(self._piece.glaze, np.float32), np.asarray(self._piece.clay, np.float32)
        colour = glaze * (cloudy * covered)[:, None] + clay * bare[:, None]
        return np.asarray(colour * (1 - self._spots[at])[:, None], np.float32)


def _walls(piece: Piece) -> Floats:
    """Return the outline with its inner side, down to the middle of the inner ground."""
    outer = np.asarray(piece.outline, np.float32)
    rim = outer[-1]
    inner = outer[2:-1][::-1] - (piece.wall, 0)
    lip = np.asarray(((rim[0] - piece.wall * 0.5, rim[1] + piece.wall * 0.35), (rim[0] - piece.wall, rim[1])))
    ground = np.asarray(((0.0, outer[1][1] + piece.wall),))
    return np.asarray(np.concatenate((outer, lip, inner[inner[:, 0] > piece.wall / 2], ground)), np.float32)


def _smooth(points: Floats) -> Floats:
    """Return a Catmull-Rom curve through the points."""
    padded = np.concatenate((points[:1], points, points[-1:]))
    t = np.linspace(0, 1, 60, endpoint=False, dtype=np.float32)[:, None]
    pieces = []
    for before, start, end, after in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(
            0.5
            * (
                2 * start
                + (end - before) * t
                + (2 * before - 5 * start + 4 * end - after) * t**2
                + (3 * start - before - 3 * end + after) * t**3
            )
        )
    curve = np.concatenate((*pieces, points[-1:]))
    curve[:, 0] = np.abs(curve[:, 0])
    return np.asarray(curve, np.float32)


def _evenly(curve: Floats, count: int) -> Floats:
    """Return so many points of the curve at equal distances."""
    way = np.concatenate(((0.0,), np.cumsum(np.hypot(*np.diff(curve, axis=0).T))))
    at = np.linspace(0, way[-1], count)
    return np.stack([np.interp(at, way, curve[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def _edge(distance: Floats) -> Floats:
    """Return 0 outside and 1 inside, with a soft border between."""
    t = np.clip(distance / 0.05 + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _unit(vector: tuple[float, float, float]) -> Floats:
    found = np.asarray(vector, np.float32)
    return np.asarray(found / np.linalg.norm(found), np.float32)
