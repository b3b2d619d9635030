from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import pytest

from runtime.errors import ToolFault
from runtime.guest.children import all_processes
from runtime.guest.hands import Hands, HandsConfig
from runtime.guest.toolbox import time_advice
from runtime.schema.sandbox_tools import CODE_TOOLS, FILE_TOOLS

pytestmark = pytest.mark.anyio


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncGenerator[Hands]:
    variables = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with tempfile.TemporaryDirectory(prefix="h") as runtime_dir:
        config = HandsConfig(tmp_path, Path(runtime_dir), variables, sys.executable)
        async with Hands(config) as hands:
            yield hands


async def execute(hands: Hands, **arguments: Any) -> str:
    async def ignore(piece: str) -> None:
        return None

    return (await hands.tools["code_execution"](arguments, ignore)).text


async def test_every_declared_tool_is_there(hands: Hands) -> None:
    assert set(hands.tools) == {tool.name for tool in [*CODE_TOOLS, *FILE_TOOLS]}


async def test_code_runs_in_its_language(hands: Hands, tmp_path: Path) -> None:
    hands.configure({"COLOUR": "red"})
    assert await execute(hands, code="echo $COLOUR $TERM $MPLBACKEND; pwd", language="bash") == (
        f"red dumb Agg\n{tmp_path}\n"
    )
    code = "import os\nprint(os.environ['COLOUR'], os.environ['MPLBACKEND'], os.getcwd())"
    inline = "module://matplotlib_inline.backend_inline"
    assert await execute(hands, code=code) == f"red {inline} {tmp_path}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"code": "1", "language": "ruby"}, "Code in ruby cannot be run"),
        ({"code": "1", "timeout_seconds": 0}, "must be above 0"),
    ],
)
async def test_what_cannot_be_run(hands: Hands, arguments: Any, message: str) -> None:
    with pytest.raises(ToolFault, match=message):
        await execute(hands, **arguments)


@pytest.mark.parametrize(
    ("language", "code"), [("bash", "sleep 1000"), ("python", "import time; time.sleep(1000)")]
)
async def test_who_runs_out_of_time_is_told_which_limit_that_was(
    hands: Hands, language: str, code: str
) -> None:
    own = time_advice(0.3, 300)
    arguments = {"code": code, "language": language, "timeout_seconds": 0.3, "advice": own}
    text = await execute(hands, **arguments)
    assert text.rstrip().endswith(f" kept. {own}]")
    assert "its timeout_seconds" in own and "up to 300 (limits.tool_timeout)" in own
    agents = time_advice(300, 300)
    assert "no more than 300 s here (limits.tool_timeout of the agent" in agents
    assert "timeout_seconds" not in agents


async def test_closing_ends_everything(hands: Hands) -> None:
    bash = await execute(hands, code="sleep 1000 & echo $! $$", language="bash")
    start = "import os, subprocess\nprint(subprocess.Popen(['sleep', '1000']).pid, os.getpid())"
    pids = {
        int(word) for word in (bash + await execute(hands, code=start)).split() if word.isdigit()
    }
    assert len(pids) == 4
    await hands.close()
    await hands.close()
    with anyio.fail_after(30):
        while pids & {entry.pid for entry in all_processes() if not entry.is_zombie}:  # noqa: ASYNC110
            await anyio.sleep(0.01)
