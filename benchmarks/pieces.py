"""The pieces of pottery that are drawn, and how each is photographed."""

from dataclasses import dataclass, field

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A piece of pottery: its outline from the centre of the foot to the rim, and its glaze."""

    name: str
    #: radius and height, in heights of a tall vase
    outline: tuple[tuple[float, float], ...]
    glaze: Colour
    clay: Colour = (0.56, 0.42, 0.32)
    #: share of its height that the glaze leaves bare
    bare: float = 0.12
    #: 0 is matt, 1 like glass
    gloss: float = 0.7
    speckles: float = 0.5
    wall: float = 0.045


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """How a piece is photographed."""

    piece: Piece
    #: pixels
    width: int = 900
    height: int = 900
    #: radians above the horizon
    tilt: float = 0.24
    paper: Colour = (0.80, 0.77, 0.72)
    seed: int = 0
    #: of the file; options of Pillow's
    format: str = "JPEG"
    options: dict[str, object] = field(default_factory=lambda: {"quality": 93})


VASE = Piece(
    name="Vase Tall",
    outline=(
        (0, 0),
        (0.20, 0.0),
        (0.27, 0.10),
        (0.36, 0.42),
        (0.27, 0.78),
        (0.13, 0.98),
        (0.14, 1.10),
        (0.20, 1.20),
    ),
    glaze=(0.16, 0.34, 0.42),
)
BOWL = Piece(
    name="Bowl Wide",
    outline=((0, 0), (0.20, 0.0), (0.22, 0.05), (0.44, 0.18), (0.58, 0.36), (0.63, 0.48)),
    glaze=(0.84, 0.80, 0.70),
    speckles=1.0,
    gloss=0.45,
)
BOTTLE = Piece(
    name="Bottle Slim",
    outline=(
        (0, 0),
        (0.21, 0.0),
        (0.25, 0.08),
        (0.26, 0.50),
        (0.22, 0.70),
        (0.09, 0.88),
        (0.075, 1.12),
        (0.11, 1.22),
    ),
    glaze=(0.25, 0.40, 0.26),
    wall=0.03,
    gloss=0.9,
)
CUP = Piece(
    name="Cup Morning",
    outline=((0, 0), (0.22, 0.0), (0.28, 0.05), (0.32, 0.28), (0.33, 0.52), (0.335, 0.60)),
    glaze=(0.72, 0.36, 0.22),
    bare=0.3,
    gloss=0.55,
)
JAR = Piece(
    name="Jar Round",
    outline=((0, 0), (0.26, 0.0), (0.36, 0.10), (0.46, 0.38), (0.38, 0.66), (0.27, 0.76), (0.29, 0.84)),
    glaze=(0.80, 0.58, 0.22),
    bare=0.18,
)
PLANTER = Piece(
    name="Planter Low",
    outline=((0, 0), (0.30, 0.0), (0.34, 0.06), (0.42, 0.30), (0.48, 0.56), (0.50, 0.64)),
    glaze=(0.42, 0.44, 0.47),
    gloss=0.25,
    speckles=0.8,
    bare=0.02,
)

PIECES = (VASE, BOWL, BOTTLE, CUP, JAR, PLANTER)
