"""AVIF and HEIC whose stream holds far more pixels than their container claims, through the real pool.

Containers say 64 × 64, so `compress.max_pixels` refuses none; the memory limit and `compress.timeout` hold.
"""

import asyncio
from pathlib import Path

import pytest
from measuring import peak
from pictures import opened, photo, saved

from resizer.compress.codec import compress_file
from resizer.compress.memory import memory_limit
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.errors import CompressTimeout, ImageError
from resizer.models import Compressed, OutputFormat, Recipe

HOSTILE = Path(__file__).parent / "hostile"
RECIPE = Recipe(quality=50, format=OutputFormat.KEEP)
STEM = "0" * 32


async def end_of(
    pool: CompressPool, source: Path, folder: Path, settings: CompressSettings
) -> Compressed | BaseException:
    try:
        return await pool.run(
            compress_file,
            str(source),
            str(folder / f"{source.name}.target"),
            stem=STEM,
            recipe=RECIPE,
            max_pixels=settings.max_pixels,
        )
    except ImageError as error:
        return error


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks the kernel how large a process is")
@pytest.mark.parametrize("max_pixels", [50_000_000, 1_000_000])
async def test_no_child_outgrows_its_limit_and_neighbours_are_compressed(
    max_pixels: int, tmp_path: Path
) -> None:
    settings = CompressSettings(processes=1, max_pixels=max_pixels)
    healthy = tmp_path / "healthy"
    healthy.write_bytes(saved(photo(), "JPEG"))
    async with CompressPool(settings, memory_limit=memory_limit(settings)) as pool:
        for name in ("still_16000.avif", "still_8192.heic"):
            end, neighbour = await asyncio.gather(
                end_of(pool, HOSTILE / name, tmp_path, settings), end_of(pool, healthy, tmp_path, settings)
            )
            assert isinstance(end, ImageError) or (end.width, end.height) == (64, 64)  # type: ignore[union-attr]
            assert isinstance(neighbour, Compressed)
            assert max(map(peak, pool.pids)) < memory_limit(settings)


async def test_frames_that_take_too_long_end_at_the_timeout(tmp_path: Path) -> None:
    """150 frames of 4096 × 4096 in 12 kB take five seconds of a core; more of them any time."""
    settings = CompressSettings(processes=2, timeout=1)
    healthy = tmp_path / "healthy"
    healthy.write_bytes(saved(photo(), "JPEG"))
    async with CompressPool(settings, memory_limit=memory_limit(settings)) as pool:
        end, neighbour = await asyncio.gather(
            end_of(pool, HOSTILE / "track_150_of_4096.avif", tmp_path, settings),
            end_of(pool, healthy, tmp_path, settings),
        )
    assert isinstance(end, CompressTimeout)
    assert isinstance(neighbour, Compressed)
    assert opened((tmp_path / "healthy.target").read_bytes()).size == (96, 64)
