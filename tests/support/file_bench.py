"""The file tools over a folder, as the loop calls them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ToolFault
from runtime.guest.files import FileTools
from runtime.guest.paths import Paths
from runtime.schema.steps import ToolResult

MAX_CHARS = 400


async def ignore(piece: str) -> None:
    raise AssertionError(f"file tools have nothing to tell live, not {piece!r}")


class FileBench:
    """The file tools over a folder."""

    def __init__(self, workspace: Path) -> None:
        paths = Paths(workspace, workspace / "home")
        self.tools = FileTools(paths, {"PATH": os.environ["PATH"]}, MAX_CHARS).by_name()

    async def call(self, name: str, **arguments: Any) -> ToolResult:
        return await self.tools[name](arguments, ignore)

    async def text(self, name: str, **arguments: Any) -> str:
        result = await self.call(name, **arguments)
        assert not result.is_error
        return result.text

    async def fault(self, name: str, **arguments: Any) -> str:
        with pytest.raises(ToolFault) as caught:
            await self.call(name, **arguments)
        return caught.value.message
