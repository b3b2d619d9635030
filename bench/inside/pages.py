"""Times opening a page in the browser's tools, beside Playwright doing the same with its own
Chromium. Both are warm, and take turns, so that what else the machine does hits both alike.

It runs as the browser's user in a container. Prints lists of seconds.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.abc import SocketAttribute, SocketStream
from playwright.async_api import Page, async_playwright

from runtime.guest.browser.config import BrowserConfig
from runtime.guest.browser.launch import arguments, unwanted_arguments
from runtime.guest.browser.tools import build_browser_tools

WARM_UP = 5
EXECUTABLE = "/usr/bin/chromium"
HEADING = "Page to measure"
_ROWS = "".join(f"<p>Row {n} <a href='/{n}'>more</a></p><button>Do {n}</button>" for n in range(30))
_PAGE = f"<title>Measured</title><h1>{HEADING}</h1>{_ROWS}".encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"

Open = Callable[[str], Awaitable[str]]


def main() -> None:
    """Measure as often as the first argument says."""
    print(json.dumps(anyio.run(_measure, int(sys.argv[1]))))


async def _measure(count: int) -> dict[str, list[float]]:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
    url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}/"
    found: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        async with listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, _serve)
            found = await _compare(count, url, Path(folder))
            tasks.cancel_scope.cancel()
    return found


async def _compare(count: int, url: str, folder: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"page": [], "raw page": []}
    browser = build_browser_tools(
        BrowserConfig(folder / "b", _nothing, _refuse, _refuse_stream, executable=EXECUTABLE)
    )

    async def ours(url: str) -> str:
        return (await browser.tools["browser_navigate"]({"url": url}, _ignore)).text

    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            folder / "raw",
            executable_path=EXECUTABLE,
            args=arguments(proxy=None),
            ignore_default_args=unwanted_arguments(),
        )
        raw = _raw(context.pages[0])
        try:
            for number in range(WARM_UP + count):
                for name, open_page in (("raw page", raw), ("page", ours)):
                    seconds = await _timed(open_page, url)
                    if number >= WARM_UP:
                        found[name].append(seconds)
        finally:
            await context.close()
            await browser.close()
    return found


def _raw(page: Page) -> Open:
    async def open_page(url: str) -> str:
        await page.goto(url)
        return await page.aria_snapshot(mode="ai")

    return open_page


async def _timed(open_page: Open, url: str) -> float:
    started = time.perf_counter()
    text = await open_page(url)
    seconds = time.perf_counter() - started
    if HEADING not in text:
        raise RuntimeError(f"the page is not there: {text!r}")
    return seconds


async def _serve(connection: SocketStream) -> None:
    async with connection:
        try:
            while True:
                await connection.receive()
                await connection.send(_HEAD % len(_PAGE) + _PAGE)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return


async def _nothing(path: str) -> tuple[bytes, str] | None:
    return None


async def _refuse(path: str, data: bytes) -> None:
    raise RuntimeError(f"nothing is to be written, not {path}")


async def _refuse_stream(path: str, chunks: AsyncIterator[bytes]) -> str:
    raise RuntimeError(f"nothing is to be written, not {path}")


async def _ignore(text: str) -> None:
    """There is no live output."""


if __name__ == "__main__":
    main()
