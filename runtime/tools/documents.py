"""Text out of documents, read by a process of their own with limits; see `runtime.tools.reader`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio

import runtime
from runtime.interpreter import module_command

READ_SECONDS = 60.0
AT_ONCE = 2


class UnreadableError(Exception):
    """A document was not turned into text; the message says why."""


class DocumentReader:
    """Reads documents, a few at a time."""

    def __init__(self) -> None:
        self._turns = anyio.CapacityLimiter(AT_ONCE)

    async def read(self, kind: str, document: bytes | Path, url: str = "") -> tuple[str, str]:
        """The title and the text of a document; `kind` is one of `formats.READERS`.

        Raises `UnreadableError`, and `OSError` when the file cannot be opened.
        """
        command = module_command("runtime.tools.reader", kind, url)
        async with self._turns:
            with anyio.move_on_after(READ_SECONDS):
                return _parsed(*await _run(command, document))
        raise UnreadableError(f"The document was not read within {READ_SECONDS:g} s.")


async def _run(command: list[str], document: bytes | Path) -> tuple[int, bytes]:
    if isinstance(document, bytes):
        done = await anyio.run_process(
            command, input=document, stderr=DEVNULL, check=False, env=_environment()
        )
        return done.returncode, done.stdout
    # A file goes to the process as it is, without a copy in this one.
    with document.open("rb") as file:
        done = await anyio.run_process(
            command, stdin=file, stdout=PIPE, stderr=DEVNULL, check=False, env=_environment()
        )
    return done.returncode, done.stdout


def _parsed(exit_status: int, output: bytes) -> tuple[str, str]:
    if exit_status != 0:
        raise UnreadableError("The document is too large or too broken to be read.")
    found = json.loads(output)
    if "problem" in found:
        raise UnreadableError(found["problem"])
    return found["title"], found["text"]


def _environment() -> dict[str, str]:
    # None of the controller's own variables: keys are among them.
    package = str(Path(runtime.__file__).parent.parent)
    return {"PATH": os.defpath, "PYTHONPATH": package, "LANG": "C.UTF-8"}
