"""Draw the photos that `resizer demo` ships: `python -m benchmarks.demo_photos FOLDER`."""

import sys
from pathlib import Path

from benchmarks.ceramics import photograph
from benchmarks.pieces import PIECES, Shot

PAPERS = ((0.80, 0.77, 0.72), (0.66, 0.72, 0.74), (0.82, 0.74, 0.68))
QUALITY = 93  # ten photos in less than 2 MB


def shots() -> dict[str, Shot]:
    """Return the photos by file name: one of each piece, and a second one of four of them."""
    found = {}
    options: dict[str, object] = {"quality": QUALITY, "optimize": True}
    for number, piece in enumerate(PIECES):
        name = piece.name.lower().replace(" ", "-")
        paper = PAPERS[number % len(PAPERS)]
        found[f"{name}.jpg"] = Shot(piece=piece, paper=paper, seed=number, options=options)
        if number % 3 == 0:
            found[f"{name}-above.jpg"] = Shot(
                piece=piece, paper=paper, tilt=0.5, seed=number, options=options
            )
        elif number % 3 == 1:
            found[f"{name}-small.jpg"] = Shot(
                piece=piece, width=600, height=600, paper=paper, tilt=0.4, seed=number, options=options
            )
    return found


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, shot in shots().items():
        (folder / name).write_bytes(photograph(shot))


if __name__ == "__main__":
    main()
