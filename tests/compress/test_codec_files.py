"""Files in and out, their names, and the way through a pool."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from pictures import every_format, photo, pressed, saved

from outcomes import stem
from resizer.compress import codec
from resizer.compress.codec import compressing
from resizer.errors import CorruptImage, NotAnImage, StorageFailure
from resizer.models import Compressed, OutputFormat, Recipe
from resizer.storage.base import NAME

RECIPE = Recipe(quality=50, format=OutputFormat.KEEP)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "source").write_bytes(saved(photo(), "JPEG", quality=95))
    return tmp_path


def run(place: Path, recipe: Recipe = RECIPE) -> Compressed:
    source, target = str(place / "source"), str(place / "target")
    name = stem(Path(source).read_bytes(), recipe)
    return codec.compress_file(source, target, stem=name, recipe=recipe, max_pixels=10**6)


def test_file_is_what_compress_returns(place: Path) -> None:
    result = run(place)
    data = (place / "source").read_bytes()
    written = (place / "target").read_bytes()
    assert written == codec.compress(data, recipe=RECIPE, max_pixels=10**6).data
    assert (result.input_bytes, result.output_bytes) == (len(data), len(written))
    assert (result.format, result.width, result.height) == ("jpeg", 96, 64)


def test_name_is_made_of_bytes_and_recipe(place: Path) -> None:
    first = run(place).filename
    assert NAME.fullmatch(first)
    assert run(place).filename == first
    recipes = [
        replace(RECIPE, quality=51),
        replace(RECIPE, format=OutputFormat.JPEG),
        replace(RECIPE, format=OutputFormat.WEBP),
        replace(RECIPE, max_width=50),
        replace(RECIPE, max_height=50),
    ]
    names = {run(place, recipe).filename[:32] for recipe in recipes}
    assert len(names | {first[:32]}) == len(recipes) + 1
    with (place / "source").open("ab") as file:
        file.write(b"x")
    assert run(place).filename != first


@pytest.mark.parametrize(
    "kind, extension",
    [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("GIF", "gif"), ("AVIF", "avif"), ("TIFF", "jpg")],
)
def test_extension_is_that_of_the_result(place: Path, kind: str, extension: str) -> None:
    (place / "source").write_bytes(saved(photo(), kind))
    assert run(place).filename.endswith(f".{extension}")


def test_kept_bmp_and_tiff_have_their_extensions(place: Path) -> None:
    for kind, extension in (("BMP", ".bmp"), ("TIFF", ".tiff")):
        (place / "source").write_bytes(saved(photo(4, 4).convert("1"), kind))
        assert run(place).filename.endswith(extension)


@pytest.mark.parametrize("wanted", ["keep", "jpeg", "png", "webp", "avif"])
def test_same_image_and_recipe_give_the_same_bytes(wanted: str) -> None:
    for data in every_format().values():
        assert pressed(data, wanted, max_width=20).data == pressed(data, wanted, max_width=20).data


def test_it_runs_in_a_pool_and_its_errors_come_back(place: Path) -> None:
    (place / "text").write_bytes(b"hello")
    (place / "broken").write_bytes(b"\xff\xd8\xff\xe0")
    work = partial(codec.compress_file, stem=run(place).filename[:32], recipe=RECIPE, max_pixels=10**6)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(work, str(place / "source"), str(place / "target")).result() == run(place)
        for name, kind in (("text", NotAnImage), ("broken", CorruptImage)):
            with pytest.raises(kind):
                pool.submit(work, str(place / name), str(place / "target")).result()


def test_results_survive_pickling(place: Path) -> None:
    result = run(place)
    assert pickle.loads(pickle.dumps(result)) == result
    encoded = pressed((place / "source").read_bytes())
    assert pickle.loads(pickle.dumps(encoded)) == encoded


def test_a_disk_that_fails_is_no_corrupt_image(place: Path) -> None:
    work = partial(codec.compress_file, stem="0" * 32, recipe=RECIPE, max_pixels=10**6)
    with pytest.raises(StorageFailure, match="No such file"):
        work(str(place / "none"), str(place / "target"))
    with pytest.raises(StorageFailure, match="No such file"):
        work(str(place / "source"), str(place / "a/b"))


def test_lack_of_memory_is_not_reported_as_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is intact, so the error must not blame it."""

    def exhausted(*_: object) -> None:
        raise OSError("out of memory")

    monkeypatch.setattr(compressing, "open_image", exhausted)
    with pytest.raises(MemoryError):
        pressed(saved(photo(), "JPEG"))
