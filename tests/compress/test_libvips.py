"""A machine on which libvips cannot be loaded."""

from pathlib import Path

from process import server


async def test_service_says_what_it_lacks_and_serves(tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pyvips.py").write_text('raise OSError("libvips.so.42: no such file")\n')
    async with server(tmp_path / "data", PYTHONPATH=str(broken)) as process:
        said = await process.said("WARNING.*cannot load libvips.*")
        assert "libvips.so.42: no such file" in said[0]
        assert "PNG has effort fast" in said[0]
        assert await process.url()
