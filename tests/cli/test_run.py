import asyncio
import csv
import functools
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import photos
from origin import Answer, Origin
from process import PATIENCE, Process, environment, ran
from service import catalogue


def result_of(folder: Path) -> list[list[str]]:
    with (folder / "result.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def write(folder: Path, data: bytes) -> Path:
    path = folder / "products.csv"
    path.write_bytes(data)
    return path


def settled_urls(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / ".resizer" / "resizer.db")) as connection:
        return {url for (url,) in connection.execute("SELECT url FROM images WHERE status <> 'pending'")}


run = functools.partial(ran, "run")


async def test_run_leaves_result_and_images(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    origin.add("/b.png", Answer(body=photos.png_with_alpha()))
    rows = [("One", origin.url("/a.jpg"), origin.url("/b.png")), ("Two",), ("Three", origin.url("/a.jpg"))]
    out = tmp_path / "out"
    code, output, log = await run(write(tmp_path, catalogue(rows)), "--output", out)
    assert code == 0, log
    assert output.strip() == str(out / "result.csv")
    result = result_of(out)
    assert result[0][-1] == "Output Image Urls"
    first, second = result[1][3].split(",")
    assert (result[2][3], result[3][3]) == ("", first)
    for slot in (first, second):
        photos.opened((out / slot).read_bytes())
    assert sorted(path.name for path in (out / "compressed").iterdir()) == sorted(
        slot.removeprefix("compressed/") for slot in (first, second)
    )


async def test_run_ends_well_where_leftovers_cannot_be_removed(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    out = tmp_path / "out"
    loop = out / "compressed" / f"{0:032x}.jpg"
    loop.parent.mkdir(parents=True)
    loop.symlink_to(loop)
    code, output, log = await run(
        write(tmp_path, catalogue([("One", origin.url("/a.jpg"))])), "--output", out
    )
    assert (code, output.strip()) == (0, str(out / "result.csv")), log
    assert "Cannot remove files that no request uses" in log


async def test_run_says_what_failed_and_ends_with_1(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    rows = [("One", origin.url("/gone.jpg"), origin.url("/a.jpg"))]
    out = tmp_path / "out"
    code, _, log = await run(write(tmp_path, catalogue(rows)), "--output", out)
    assert code == 1
    assert "line 2, image 1: http_status" in log
    assert result_of(out)[1][3].startswith(",compressed/")


async def test_run_again_tries_failed_images_anew_and_only_those(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    rows = [("One", origin.url("/late.jpg"), origin.url("/a.jpg"))]
    source, out = write(tmp_path, catalogue(rows)), tmp_path / "out"
    assert (await run(source, "--output", out))[0] == 1
    origin.add("/late.jpg", Answer(body=photos.jpeg(seed=5)))
    assert (await run(source, "--output", out))[0] == 0
    assert (origin.hits["/a.jpg"], origin.hits["/late.jpg"]) == (1, 2)
    assert all(result_of(out)[1][3].split(","))
    assert (await run(source, "--output", out))[0] == 0  # nothing is left to do
    assert (origin.hits["/a.jpg"], origin.hits["/late.jpg"]) == (1, 2)


async def test_run_with_other_options_does_the_work_again(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source, out = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))])), tmp_path / "out"
    await run(source, "--output", out)
    first = result_of(out)[1][3]
    code, _, _ = await run(
        source, "--output", out, "--format", "webp", "--max-width", "100", "--quality", "30"
    )
    assert code == 0
    second = result_of(out)[1][3]
    assert second != first
    assert photos.opened((out / second).read_bytes()).size == (100, 75)


async def test_run_crops_and_pads(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer(body=photos.jpeg()))
    source, out = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))])), tmp_path / "out"
    box = ("--output", out, "--max-width", "100", "--max-height", "100")
    for fit, padded in (("pad", True), ("cover", False)):
        code, _, log = await run(source, *box, "--fit", fit, "--background", "#20c060", "--effort", "small")
        assert code == 0, log
        picture = photos.opened((out / result_of(out)[1][3]).read_bytes())
        assert picture.size == (100, 100)
        assert (np.abs(np.asarray(picture)[0, 0].astype(int) - (32, 192, 96)).max() < 20) == padded


async def test_run_refuses_a_fit_without_its_box(tmp_path: Path) -> None:
    source = write(tmp_path, catalogue([("One", "http://a.example/a.jpg")]))
    code, _, log = await run(source, "--output", tmp_path / "out", "--fit", "pad", "--max-width", "100")
    assert code == 2
    assert "needs both max_width and max_height" in log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_interrupted_run_resumes_where_it_left_off(
    number: signal.Signals, tmp_path: Path, origin: Origin
) -> None:
    """200 images, interrupted midway: none that was finished is fetched again."""
    count, gate = 200, asyncio.Event()
    body = [photos.jpeg(seed=seed, width=96, height=64) for seed in range(10)]
    for index in range(count):
        gated = gate if index >= count // 2 else None
        origin.add(f"/{index}.jpg", Answer(body=body[index % 10], gate=gated))
    rows = [(f"P{index}", origin.url(f"/{index}.jpg")) for index in range(count)]
    source, out = write(tmp_path, catalogue(rows)), tmp_path / "out"
    grace = {"RESIZER_QUEUE__SHUTDOWN_GRACE": "0"}
    async with Process("run", source, "--output", out, variables=grace) as process:
        for index in range(count // 2, count // 2 + 8):
            await origin.arrived(f"/{index}.jpg")
        async with asyncio.timeout(PATIENCE):
            while True:
                if len(settled_urls(out)) >= count // 4:
                    break
                await asyncio.sleep(0.05)
        process.signal(number)
        code, _ = await process.ended()
    assert code == (130 if number is signal.SIGINT else -signal.SIGKILL)
    assert not (out / "result.csv").exists()
    recorded = settled_urls(out)
    before = dict(origin.hits)
    gate.set()
    code, _, log = await run(source, "--output", out)
    assert code == 0, log
    assert "resuming: " in log
    assert all(row[3] for row in result_of(out)[1:])
    # images that were in flight are fetched again; those that were finished are not
    for path, hits in origin.hits.items():
        assert hits == before.get(path, 0) + (origin.url(path) not in recorded), path


@pytest.mark.parametrize(
    "data, told",
    [
        (b"S. No.,Product Name,Input Image Urls\n1,,http://h/a.jpg\n", "products.csv:2:2:"),
        (b"nothing", "Product Name"),
        (b"", "empty"),
    ],
)
async def test_bad_csv_ends_with_2_and_its_problems(data: bytes, told: str, tmp_path: Path) -> None:
    code, _, log = await run(write(tmp_path, data), "--output", tmp_path / "out")
    assert code == 2
    assert told in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "arguments", [["nowhere.csv"], ["--quality", "0"], ["--format", "gif"], ["--quality", "x"], []]
)
async def test_bad_usage_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    source = [] if not arguments or "csv" in arguments[0] else [write(tmp_path, b"x")]
    code, _, log = await run(*arguments, *source)
    assert code == 2
    assert "Traceback" not in log


def test_run_shows_a_bar_on_a_terminal(tmp_path: Path) -> None:
    """`script` gives it a terminal; nothing is fetched, so that it is quick."""
    source = write(tmp_path, catalogue([("One", "nonsense://x/1.jpg", "nonsense://x/2.jpg")]))
    command = f"{sys.executable} -m resizer run {source} --output {tmp_path / 'out'}"
    finished = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        check=False,
        capture_output=True,
        text=True,
        env=environment(TERM="xterm", COLUMNS="120"),
    )
    assert finished.returncode == 1, finished.stdout
    assert "compressing" in finished.stdout
    assert "2/2" in finished.stdout
    assert "images/s" in finished.stdout


def test_run_without_output_names_the_folder_after_the_csv(tmp_path: Path) -> None:
    write(tmp_path, catalogue([("One", "nonsense://x/1.jpg")]))
    finished = subprocess.run(
        [sys.executable, "-m", "resizer", "run", "products.csv"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert finished.returncode == 1, finished.stderr
    assert (tmp_path / "products-compressed" / "result.csv").is_file()


async def test_second_interruption_is_no_success(tmp_path: Path, origin: Origin) -> None:
    origin.add("/a.jpg", Answer.hang())
    source = write(tmp_path, catalogue([("One", origin.url("/a.jpg"))]))
    async with Process("run", source, "--output", tmp_path / "out") as process:
        await origin.arrived("/a.jpg")
        process.signal(signal.SIGINT)
        await process.said("interrupted")
        process.signal(signal.SIGINT)
        code, _ = await process.ended()
    assert code == 130


async def test_run_again_makes_lost_files_anew(tmp_path: Path, origin: Origin) -> None:
    for name in ("a", "b"):
        origin.add(f"/{name}.jpg", Answer(body=photos.jpeg(seed=ord(name))))
    rows = [("One", origin.url("/a.jpg"), origin.url("/b.jpg"))]
    source, out = write(tmp_path, catalogue(rows)), tmp_path / "out"
    assert (await run(source, "--output", out))[0] == 0
    lost = out / result_of(out)[1][3].split(",")[0]
    lost.unlink()
    assert (await run(source, "--output", out))[0] == 0
    assert lost.is_file()
    assert (origin.hits["/a.jpg"], origin.hits["/b.jpg"]) == (2, 1)


async def test_result_that_cannot_be_written_is_said_before_the_work(tmp_path: Path) -> None:
    source = write(tmp_path, catalogue([("One", "nonsense://x/1.jpg")]))
    (tmp_path / "out" / "result.csv").mkdir(parents=True)
    code, _, log = await run(source, "--output", tmp_path / "out")
    assert code == 2
    assert "result.csv is a folder" in log


async def test_result_never_replaces_the_csv(tmp_path: Path) -> None:
    source = tmp_path / "result.csv"
    source.write_bytes(catalogue([("One", "nonsense://x/1.jpg")]))
    before = source.read_bytes()
    code, _, log = await run(source, "--output", tmp_path)
    assert code == 2
    assert "would replace" in log
    assert source.read_bytes() == before
