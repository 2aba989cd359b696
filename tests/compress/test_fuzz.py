"""A fuzz corpus through real children with their real limits, and through the whole service."""

import asyncio
import logging
import signal
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from damage import Damaged, corpus
from measuring import look_through, peak

from kin import descendants
from origin import Answer, Origin
from process import get_json, server
from resizer.compress.codec import compress_file
from resizer.compress.memory import memory_limit
from resizer.compress.pool import CompressPool
from resizer.config import CompressSettings
from resizer.containers.formats import Format, sniff
from resizer.errors import ErrorCode, ImageError
from resizer.models import Compressed, OutputFormat
from service import catalogue, form

logger = logging.getLogger(__name__)

STEM = "0" * 32
SETTINGS = CompressSettings(processes=2, timeout=30, max_pixels=1_000_000)
#: bytes of memory that no process may ever have taken; 60 MB of them are Python and the libraries
CHILD_BOUND = 200 * 2**20
SERVER_BOUND = 250 * 2**20
#: codes that blame the image; any other is a fault of ours
ABOUT_THE_IMAGE = {
    ErrorCode.NOT_AN_IMAGE,
    ErrorCode.UNSUPPORTED_FORMAT,
    ErrorCode.CORRUPT_IMAGE,
    ErrorCode.TOO_MANY_PIXELS,
}
IN_FLIGHT = 8
FILES = 150  # in the catalogue


@dataclass
class Tally:
    ends: Counter[str] = field(default_factory=Counter)
    peaks: dict[int, int] = field(default_factory=dict)


async def press(pool: CompressPool, each: Damaged, folder: Path, tally: Tally, number: int) -> None:
    source, target = folder / f"{number}.source", folder / f"{number}.target"
    source.write_bytes(each.data)
    try:
        result = await pool.run(
            compress_file,
            str(source),
            str(target),
            stem=STEM,
            recipe=each.recipe,
            max_pixels=SETTINGS.max_pixels,
        )
    except ImageError as error:
        tally.ends[error.code] += 1
    else:
        await check(pool, each, result, target)
        tally.ends["completed"] += 1
    finally:
        for pid in pool.pids:
            tally.peaks[pid] = max(tally.peaks.get(pid, 0), peak(pid))
        source.unlink()
        target.unlink(missing_ok=True)


async def check(pool: CompressPool, each: Damaged, result: Compressed, target: Path) -> None:
    facts = (each.name, each.recipe, result)
    size, kind, width, height = await pool.run(look_through, str(target))
    assert size == result.output_bytes, facts
    assert kind.lower().replace("mpo", "jpeg") == result.format, facts
    # a source that is kept may lie on its side, as its orientation says
    kept = result.format == sniff(each.data) and result.output_bytes <= result.input_bytes
    assert (width, height) == (result.width, result.height) or (
        kept and (height, width) == (result.width, result.height)
    ), (facts, width, height)
    assert width * height <= SETTINGS.max_pixels, facts
    if each.recipe.max_width:
        assert result.width <= each.recipe.max_width, facts
    elif each.recipe.format is OutputFormat.KEEP and sniff(each.data) is not Format.HEIF:
        assert result.output_bytes <= result.input_bytes, facts


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks the kernel how large a process is")
@pytest.mark.parametrize(
    "count, seed",
    [
        pytest.param(300, 1, id="short"),
        *(pytest.param(1500, seed, id=f"long-{seed}", marks=pytest.mark.soak) for seed in (2, 3)),
    ],
)
async def test_every_damaged_file_ends_typed_and_harms_no_process(
    count: int, seed: int, tmp_path: Path
) -> None:
    tally = Tally()
    async with CompressPool(SETTINGS, memory_limit=memory_limit(SETTINGS)) as pool:
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one(number: int, each: Damaged) -> None:
            async with room:
                await press(pool, each, tmp_path, tally, number)

        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(corpus(seed, count)):
                group.create_task(one(number, each))
        # a child that had died or hung would have been replaced: none was lost to any file
        assert pool.restarts == 0
    most = max(tally.peaks.values())
    logger.info("%d files: %s, at most %d MB in a child", count, dict(tally.ends), most >> 20)
    assert sum(tally.ends.values()) == count
    assert tally.ends.keys() <= ABOUT_THE_IMAGE | {"completed"}
    assert tally.ends["completed"] > count // 20
    assert most < CHILD_BOUND


async def test_the_service_gets_over_a_catalogue_of_damaged_files(tmp_path: Path, origin: Origin) -> None:
    rows = []
    for number, each in enumerate(corpus(seed=4, count=FILES)):
        rows.append((f"P{number}", origin.add(f"/{number}", Answer(body=each.data))))
    variables = {
        "RESIZER_COMPRESS__PROCESSES": "2",
        "RESIZER_COMPRESS__MAX_PIXELS": str(SETTINGS.max_pixels),
        "RESIZER_FETCH__PER_HOST": "16",
    }
    async with server(tmp_path / "data", **variables) as process, aiohttp.ClientSession() as session:
        url = await process.url()
        async with session.post(f"{url}/upload", data=form(catalogue(rows))) as response:
            assert response.status == 202, await response.text()
            request_id = (await response.json())["request_id"]
        status = await get_json(session, f"{url}/status/{request_id}", Prefer="wait=60")
        assert status["status"] == "partial", status
        codes: Counter[str] = Counter()
        strange = []
        query = "limit=100"
        while query:
            page = await get_json(session, f"{url}/requests/{request_id}/images?{query}")
            for image in page["data"]:
                code = image["error"]["code"] if image["error"] else image["status"]
                codes[code] += 1
                if code not in ABOUT_THE_IMAGE | {"completed"}:
                    strange.append((code, image["product_name"]))
            query = f"limit=100&after={page['next']}" if page["has_more"] else ""
        assert sum(codes.values()) == FILES
        assert not strange, "\n".join(process.log)
        assert codes["completed"] > FILES // 20
        assert await get_json(session, f"{url}/ping") == {"status": "pong"}
        family = [process.process.pid, *descendants(process.process.pid)]
        assert len(family) > SETTINGS.processes
        most = max(map(peak, family))
        logger.info("%d files: %s, at most %d MB in a process", FILES, dict(codes), most >> 20)
        assert most < SERVER_BOUND
        process.signal(signal.SIGTERM)
        assert (await process.ended())[0] == 0
    assert not [line for line in process.log if "Traceback" in line or "ERROR" in line]
