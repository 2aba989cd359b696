"""What a browser shows of a source and of every result of it: Chromium is asked, not the tags."""

import base64
from dataclasses import dataclass

import numpy as np
import pytest
from coloured import PATCHES, WIDTH, Pixels, by_its_profile, centres, sources
from pictures import pressed

from chromium import Windows
from resizer.compress.codec import Encoded
from resizer.models import OutputFormat

#: of 255; chroma at half size, which wide gamuts stretch, as steep curves do the darks
CLOSE = 6
SHOW = """async files => {
    const shown = [];
    for (const file of files) {
        const image = new Image();
        image.src = file;
        await image.decode();
        const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        const {data, width, height} = context.getImageData(0, 0, canvas.width, canvas.height);
        let text = "";
        for (let at = 0; at < data.length; at += 8192)
            text += String.fromCharCode(...data.subarray(at, at + 8192));
        shown.push([width, height, btoa(text)]);
    }
    return shown;
}"""


@dataclass(frozen=True)
class Result:
    source: str
    wanted: str
    encoded: Encoded


def url(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def results() -> list[Result]:
    # as near as each codec gets; the test compares colours
    return [
        Result(name, wanted, pressed(data, wanted, quality=100))
        for name, data in sources().items()
        for wanted in OutputFormat
    ]


@pytest.mark.asyncio(loop_scope="session")
async def test_colours_look_the_same_before_and_after(windows: Windows) -> None:
    made = results()
    files = [url(data, name.split()[0].lower()) for name, data in sources().items()]
    files += [url(result.encoded.data, result.encoded.format) for result in made]
    page = await windows.open()
    shown = []
    for width, height, text in await page.evaluate(SHOW, files):
        pixels = np.frombuffer(base64.b64decode(text), "u1").reshape(height, width, 4)
        shown.append(centres(pixels))
    before: dict[str, Pixels] = dict(zip(sources(), shown, strict=False))
    # an untagged one is shown as it is, or nothing here could be trusted
    assert np.array_equal(before["PNG"], np.array(PATCHES))
    assert np.abs(before["PNG P3"] - before["PNG"]).max() > CLOSE
    far = {}
    for result, after in zip(made, shown[len(sources()) :], strict=True):
        differs = np.abs(after - before[result.source]).max()
        if differs > CLOSE:
            far[f"{result.source} → {result.wanted}"] = round(float(differs), 1)
    assert not far


@pytest.mark.parametrize("name", sources())
def test_every_target_has_the_colours_of_the_others(name: str) -> None:
    """By LittleCMS, from profiles alone; shrunk, so that no source is kept."""
    seen = {
        wanted: by_its_profile(pressed(sources()[name], wanted, quality=100, max_width=WIDTH * 3 // 4).data)
        for wanted in OutputFormat
    }
    first = seen.pop(OutputFormat.PNG)
    far = {wanted: np.abs(other - first).max() for wanted, other in seen.items()}
    assert max(far.values()) <= CLOSE, far
