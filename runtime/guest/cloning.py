"""Clones repositories with git, as the agent's user, into an environment that begins."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from runtime.errors import InvalidRequest, SourceFailed
from runtime.guest.children import Child, describe_end

MEASURE_SECONDS = 0.5
_TAIL_BYTES = 16 * 1024
_SAID_LINES = 4
_SAID_CHARACTERS = 800
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "credential.helper": "",
    "submodule.recurse": "false",
    "fetch.fsckObjects": "false",
    "advice.detachedHead": "false",
}
_OWN_VARIABLES = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ALLOW_PROTOCOL": "https:http",
    # Where a proxy refuses, git itself repeats its status and not its sentence.
    "GIT_TRACE_CURL": "1",
    "GIT_TRACE_CURL_NO_DATA": "1",
    "LC_ALL": "C.UTF-8",
}
_KEPT_VARIABLES = frozenset({"GIT_SSL_CAINFO"})
_TRACE = re.compile(r"\d\d:\d\d:\d\d\.\d+ \S+ +(?:==|<=|=>) ?(.*)")
_REFUSAL = re.compile(r"Recv header: HTTP/\S+ ([45]\d\d .+)")


class Cloner:
    """Runs `git clone`: bounded in time and size, asks nothing, runs no hooks."""

    def __init__(self, workspace: Path, variables: Mapping[str, str]) -> None:
        """`variables` is the whole environment of git; its own settings in there do not count."""
        self._workspace = workspace
        self._variables = dict(variables)

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Add environment variables: those by which the network is found."""
        self._variables.update(variables)

    async def clone(self, arguments: dict[str, Any]) -> dict[str, int]:
        """`{url, target, seconds, max_bytes}`: clone into a new folder; gives `{size_bytes}`.

        Cancelling kills git with its kin. Raises `SourceFailed` with what git said, and
        `InvalidRequest` for a target outside of the workspace.
        """
        url, target = str(arguments["url"]), Path(str(arguments["target"]))
        seconds, most = float(arguments["seconds"]), int(arguments["max_bytes"])
        if ".." in target.parts or self._workspace not in target.parents:
            raise InvalidRequest(f"{target} does not lie below {self._workspace}.")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            return {"size_bytes": await self._bounded(url, target, seconds, most)}
        except OSError as error:
            raise SourceFailed(f"{error.strerror or error}.") from error

    async def _bounded(self, url: str, target: Path, seconds: float, most: int) -> int:
        size = _Size(target, most)
        try:
            with anyio.fail_after(seconds):
                status, tail = await self._run(url, target, size)
        except TimeoutError as error:
            raise SourceFailed(f"it was not done within {seconds:g} s.") from error
        if status == 0:
            await size.measure()
        if size.is_exceeded:
            raise SourceFailed(f"it has more than {most / 1024**2:g} MiB, its history included.")
        if status != 0:
            raise SourceFailed(_said(tail) or f"git {describe_end(status)}.")
        return size.found

    async def _run(self, url: str, target: Path, size: _Size) -> tuple[int, str]:
        settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        argv = ["git", *settings, "clone", "--quiet", "--template=", "--", url, str(target)]
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(ours, False)
        tail, status = bytearray(), 0
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, ours)
            try:
                child = Child.start(argv, cwd=target.parent, env=self._environment(), stderr=theirs)
            finally:
                os.close(theirs)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(child.watch)
                tasks.start_soon(_listen, ours, tail)
                tasks.start_soon(size.watch, child)
                status = await child.wait()
                tasks.cancel_scope.cancel()
            _drain(ours, tail)
        return status, tail.decode("utf-8", "replace")

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in self._variables.items()
            if name in _KEPT_VARIABLES or not name.startswith("GIT_")
        }
        return {**kept, **_OWN_VARIABLES}


class _Size:
    """How large a folder becomes, and what is done when that is too large."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder = folder
        self._most = most
        self.found = 0
        self.is_exceeded = False

    async def watch(self, child: Child) -> None:
        """Kill what fills the folder once there is too much; for a task of its own."""
        while not self.is_exceeded:
            await anyio.sleep(MEASURE_SECONDS)
            await self.measure()
        child.kill_with_kin()

    async def measure(self) -> None:
        """Look how much there is."""
        self.found = await anyio.to_thread.run_sync(_bytes_below, self._folder)
        self.is_exceeded = self.found > self._most


def _bytes_below(folder: Path) -> int:
    """The bytes of all files; what comes and goes meanwhile may count or not."""
    total, folders = 0, [str(folder)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


async def _listen(descriptor: int, tail: bytearray) -> None:
    while True:
        await anyio.wait_readable(descriptor)
        if not _take(descriptor, tail):
            return


def _drain(descriptor: int, tail: bytearray) -> None:
    """The last that was said; bounded, as what was left behind may say more for ever."""
    for _ in range(_TAIL_BYTES // 1024):
        if not _take(descriptor, tail):
            return


def _take(descriptor: int, tail: bytearray) -> bool:
    """Keep the end of what can be read now; False when nothing more will come."""
    try:
        piece = os.read(descriptor, _TAIL_BYTES)
    except BlockingIOError:
        return True
    tail += piece
    del tail[:-_TAIL_BYTES]
    return bool(piece)


def _said(text: str) -> str:
    """What git said last, and the last refusal of a proxy or server, in one line."""
    said: list[str] = []
    refusal = ""
    for line in text.splitlines():
        traced = _TRACE.match(line)
        if traced is None:
            said.append(line.strip())
        elif found := _REFUSAL.match(traced[1]):
            refusal = f" (the answer was: {found[1].strip()})"
    last = "; ".join(line for line in said[-_SAID_LINES:] if line)
    return (f"git said: {last[-_SAID_CHARACTERS:]}" if last else "") + refusal[:_SAID_CHARACTERS]
