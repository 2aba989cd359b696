import asyncio

import pytest

from process import Process
from resizer.cli import COMMANDS


async def completed(words: str) -> list[str]:
    """What bash would be offered for the last of these words."""
    variables = {
        "_RESIZER_COMPLETE": "bash_complete",
        "COMP_WORDS": f"resizer {words}",
        "COMP_CWORD": str(len(words.split())),
    }
    async with Process(variables=variables) as process:
        code, output = await process.ended()
    assert code == 0, process.log
    return [line.partition(",")[2] for line in output.splitlines()]


async def test_every_command_is_completed() -> None:
    for name in COMMANDS:
        assert name in await completed(name[:2])


@pytest.mark.parametrize("name", [*COMMANDS])
async def test_every_command_has_help_and_the_common_options(name: str) -> None:
    async with Process(name, "--help") as process:
        code, output = await process.ended()
    assert code == 0, process.log
    for option in ("--config", "--data-dir", "--help"):
        assert option in output
    assert {"--config", "--data-dir"} <= {*await completed(f"{name} --")}


async def test_formats_are_completed() -> None:
    assert await completed("run --format we") == ["webp"]


async def test_what_bash_is_given_is_a_script_of_bash() -> None:
    async with Process("completion", "bash") as process:
        code, script = await process.ended()
    assert code == 0, process.log
    # complete -p tells what was set; a syntax error would end it with another code
    bash = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{script}\ncomplete -p resizer", stdout=asyncio.subprocess.PIPE
    )
    told, _ = await bash.communicate()
    assert bash.returncode == 0
    assert b"_resizer_completion" in told


@pytest.mark.parametrize("shell, told", [("zsh", "#compdef resizer"), ("fish", "complete ")])
async def test_other_shells_get_theirs(shell: str, told: str) -> None:
    async with Process("completion", shell) as process:
        code, script = await process.ended()
    assert code == 0, process.log
    assert told in script
