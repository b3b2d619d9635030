"""The model that needs no key and no network: it plays a script file, or the prompt itself."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import anyio.to_thread
from anyio.lowlevel import checkpoint

from runtime.errors import ModelNotConfigured, ModelRefused
from runtime.models.port import ModelInfo
from runtime.models.script_blocks import turns_of
from runtime.models.script_file import ScriptFile
from runtime.models.script_play import ScriptedTurn, is_task, play
from runtime.schema.content import text_of
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.steps import UserInputStep

INLINE = "inline"
LARGEST_FILE = 4 * 1024 * 1024

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Scripts:
    """The script files of some folders; a name in an earlier folder hides it in a later one."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def names(self) -> list[str]:
        """The names of all scripts, sorted."""
        return sorted(
            {path.stem for folder in self._folders for path in folder.glob("*.yaml")} - {INLINE}
        )

    def find(self, name: str) -> Path:
        """The file of a script. Raises `ModelNotConfigured` when there is none."""
        if _NAME.fullmatch(name):
            for folder in self._folders:
                path = folder / f"{name}.yaml"
                if path.is_file():
                    return path
        known = ", ".join(f"script/{found}" for found in [INLINE, *self.names()])
        raise ModelNotConfigured(f"There is no script {name!r}. There are: {known}.")


def read_script(path: Path) -> list[ScriptedTurn]:
    """The turns of a script file. Raises `ModelRefused`."""
    name = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ModelRefused(f"{name}: a script is at most {LARGEST_FILE} bytes long.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelRefused(f"{name}: the script cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ModelRefused(f"{name}: the script is not UTF-8 text.") from None
    return ScriptFile(name, text).turns()


class ScriptModel:
    """Plays the file at `path`, or without one the fenced blocks of the latest user text."""

    def __init__(self, info: ModelInfo, path: Path | None) -> None:
        self._info = info
        self._path = path

    @property
    def info(self) -> ModelInfo:
        """What is known of it."""
        return self._info

    async def aclose(self) -> None:
        """Nothing to do: it holds nothing."""

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        """The parts of the turn that is next by the history.

        Raises `ModelRefused` for a script that cannot be read, `ScriptMismatch` for a result that
        is not what the script expects.
        """
        if self._path is None:
            turns = turns_of(latest_text(request))
        else:
            turns = await anyio.to_thread.run_sync(read_script, self._path)
        for part in play(turns, request):
            yield part
            await checkpoint()


def latest_text(request: ModelRequest) -> str:
    """The text of the latest input of the caller that is a task; empty when there is none."""
    inputs = [step for step in request.history if isinstance(step, UserInputStep) and is_task(step)]
    return text_of(inputs[-1].content) if inputs else ""
