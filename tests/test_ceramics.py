import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks.ceramics import photograph
from benchmarks.demo_photos import shots
from benchmarks.pieces import PIECES, Piece, Shot
from resizer.cli.demonstration import FOLDER


def pixels(shot: Shot) -> np.ndarray:
    with Image.open(io.BytesIO(photograph(shot))) as image:
        return np.asarray(image.convert("RGB"), np.float32)


@pytest.mark.parametrize("piece", PIECES, ids=lambda piece: piece.name)
def test_photo_shows_the_piece_whole_on_its_paper(piece: Piece) -> None:
    shot = Shot(piece=piece, width=160, height=160)
    picture = pixels(shot)
    assert picture.shape == (160, 160, 3)
    # the piece has more shades than the paper, and touches no edge
    middle, edge = picture[40:130, 50:110], np.concatenate((picture[:, :6], picture[:, -6:]), axis=1)
    assert middle.std(axis=(0, 1)).sum() > 1.5 * edge.std(axis=0).mean(axis=0).sum()
    glaze = np.asarray(piece.glaze)
    found = picture.reshape(-1, 3) / (picture.reshape(-1, 3).sum(axis=1, keepdims=True) + 1)
    near = np.abs(found - glaze / glaze.sum()).sum(axis=1) < 0.12
    assert near.any(), "nothing has the colour of the glaze"


def test_photo_has_grain_and_no_holes() -> None:
    """Without grain the photo would compress like a drawing; holes would show the paper."""
    picture = pixels(Shot(piece=PIECES[0], width=300, height=300))
    body = picture[150:210, 130:170].mean(axis=2)
    steps = np.abs(np.diff(body, axis=1))
    assert 0.5 < np.median(steps) < 8
    assert steps.max() < 90


def test_same_shot_gives_the_same_photo() -> None:
    shot = Shot(piece=PIECES[1], width=80, height=80)
    assert photograph(shot) == photograph(shot)
    assert photograph(shot) != photograph(replace(shot, seed=1))


def test_photo_is_a_file_of_the_format_asked_for() -> None:
    shot = Shot(piece=PIECES[2], width=64, height=48, format="PNG", options={})
    with Image.open(io.BytesIO(photograph(shot))) as image:
        assert (image.format, image.size) == ("PNG", (64, 48))


def test_demo_photos_are_those_that_the_drawing_gives() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {*shots()}
    for name, shot in shots().items():
        with Image.open(FOLDER / name) as image:
            assert (image.format, image.size) == ("JPEG", (shot.width, shot.height)), name
