"""A browser to test with: a site on loopback, a workspace folder, and where Chromium is found."""

from __future__ import annotations

import contextlib
import mimetypes
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from runtime.errors import ToolFault
from runtime.guest.browser.config import BrowserConfig, BrowserLimits
from runtime.guest.browser.tools import BrowserTools, build_browser_tools
from runtime.schema.content import ImageContent
from runtime.schema.sandbox_tools import SANDBOX_TOOLS
from runtime.schema.steps import ToolResult

CHROMIUM = os.environ.get("SANDLOT_CHROMIUM", "/usr/bin/chromium")

needs_chromium = pytest.mark.skipif(
    not Path(CHROMIUM).exists(),
    reason=f"there is no Chromium at {CHROMIUM}; install it or set SANDLOT_CHROMIUM",
)

LIMITS = BrowserLimits(
    navigation_seconds=4,
    load_seconds=1,
    action_seconds=2,
    settle_seconds=3,
    answer_seconds=5,
    download_start_seconds=1,
    download_seconds=10,
    download_bytes=2_000_000,
)


@dataclass(frozen=True)
class Answer:
    """What the site sends for a path. `gate` and `delay_seconds` hold it back."""

    body: str | bytes = ""
    kind: str = "text/html; charset=utf-8"
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict[str, str])
    gate: anyio.Event | None = None
    delay_seconds: float = 0


class Site:
    """A tiny HTTP server; `pages` says what it has, `seen` what it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | str | Callable[[str], Answer]] = {}
        self.seen: list[str] = []
        self.hangs_up = False
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, connection: SocketStream) -> None:
        try:
            async with connection:
                while True:
                    await self._exchange(connection)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    async def _exchange(self, connection: SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += await connection.receive()
        path = head.split()[1].decode()
        self.seen.append(path)
        page = self.pages.get(
            path.partition("?")[0], Answer("no such page", status="404 Not Found")
        )
        answer = page(path) if callable(page) else page
        answer = Answer(answer) if isinstance(answer, str) else answer
        if answer.gate is not None:
            await answer.gate.wait()
        await anyio.sleep(answer.delay_seconds)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        fields = {"Content-Type": answer.kind, "Content-Length": str(len(body)), **answer.headers}
        lines = [f"HTTP/1.1 {answer.status}", *(f"{name}: {text}" for name, text in fields.items())]
        await connection.send("\r\n".join([*lines, "", ""]).encode() + body)
        if self.hangs_up:
            raise anyio.EndOfStream


@asynccontextmanager
async def running_site() -> AsyncGenerator[Site]:
    site = Site()
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    site.port = listener.extra(SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, site.serve)
        yield site
        tasks.cancel_scope.cancel()


class Workspace:
    """A folder that the browser reaches as `/workspace`, as the hands would serve it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: list[str] = []

    def place(self, path: str) -> Path:
        place = Path(os.path.normpath(self.root / path.removeprefix("/workspace").lstrip("/")))
        if not path.startswith("/workspace/") or not place.is_relative_to(self.root):
            raise ToolFault(f"{path} is outside of /workspace.")
        return place

    def add(self, path: str, body: str | bytes) -> None:
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body.encode() if isinstance(body, str) else body)

    async def read(self, path: str) -> tuple[bytes, str] | None:
        self.asked.append(path)
        place = anyio.Path(self.place(path))
        if not await place.is_file():
            return None
        kind = mimetypes.guess_type(place.name)[0] or "application/octet-stream"
        return await place.read_bytes(), kind

    async def write(self, path: str, data: bytes) -> None:
        place = anyio.Path(self.place(path))
        await place.parent.mkdir(parents=True, exist_ok=True)
        await place.write_bytes(data)

    async def save(self, path: str, chunks: AsyncIterator[bytes]) -> str:
        place = self.place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        async with await anyio.open_file(place, "wb") as file:
            async for chunk in chunks:
                await file.write(chunk)
        return path


class World:
    """The tools of one browser, with its site and workspace."""

    def __init__(
        self, tools: BrowserTools, config: BrowserConfig, site: Site, workspace: Workspace
    ) -> None:
        self.tools = tools
        self.config = config
        self.site = site
        self.workspace = workspace
        self.last = ToolResult()

    async def call(self, name: str, **arguments: Any) -> str:
        """Call a tool as a model would; returns the text of its result."""
        parameters = SANDBOX_TOOLS[f"browser_{name}"].parameters
        assert parameters is not None
        assert set(arguments) <= set(parameters["properties"])
        assert set(parameters["required"]) <= set(arguments)
        self.last = await self.tools.tools[f"browser_{name}"](arguments, _no_one)
        return self.last.text

    async def call_silently(self, name: str, arguments: dict[str, Any]) -> None:
        """Call a tool in a task of its own; `last` has its result."""
        await self.call(name, **arguments)

    async def fault(self, name: str, **arguments: Any) -> str:
        """Call a tool that must fail; returns what the model is told."""
        with pytest.raises(ToolFault) as raised:
            await self.call(name, **arguments)
        return raised.value.message

    async def open(self, path: str, page: Answer | str | None = None) -> str:
        """Navigate to a path of the site, put there first when `page` is given."""
        if page is not None:
            self.site.pages[path] = page
        return await self.call("navigate", url=self.site.url + path)

    @property
    def picture(self) -> ImageContent:
        """The picture of the last result."""
        (picture,) = [part for part in self.last.content if isinstance(part, ImageContent)]
        return picture


def browser_config(
    folder: Path, workspace: Workspace, limits: BrowserLimits = LIMITS
) -> BrowserConfig:
    return BrowserConfig(
        folder / "browser",
        workspace.read,
        workspace.write,
        workspace.save,
        executable=CHROMIUM,
        limits=limits,
    )


@asynccontextmanager
async def browser_world(folder: Path, limits: BrowserLimits = LIMITS) -> AsyncGenerator[World]:
    workspace = Workspace(folder / "workspace")
    workspace.root.mkdir()
    config = browser_config(folder, workspace, limits)
    async with running_site() as site:
        tools = build_browser_tools(config)
        try:
            yield World(tools, config, site, workspace)
        finally:
            await tools.close()


def ref_of(snapshot: str, what: str) -> str:
    """The ref of the element that a snapshot calls `what`, such as `button "Save"`."""
    found = re.search(rf"- {re.escape(what)}.*?\[ref=(\w+)\]", snapshot)
    assert found is not None, f"no {what} in:\n{snapshot}"
    return found[1]


async def _no_one(text: str) -> None:
    return None


CHROMIUM_ITSELF = re.compile(r"^(?!/bin/sh)(?!.*--type=).*--remote-debugging-pipe", re.DOTALL)
RENDERER = re.compile("--type=renderer")
DRIVER = re.compile("run-driver")
OURS = re.compile("run-driver|chrom|no-browser")
"""Everything that a browser may start; other tests keep processes of their own."""


def processes(command: re.Pattern[str] = OURS) -> list[int]:
    """The ids of the processes below this one whose command line is like `command`."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_text()
                if status[0] != "Z":
                    parents[int(entry.name)] = int(status[1])
                    lines[int(entry.name)] = line
    wanted = [pid for pid in parents if command.search(lines[pid])]
    return [pid for pid in wanted if _is_below(pid, parents)]


def _is_below(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == os.getpid():
            return True
    return False
