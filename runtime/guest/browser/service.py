"""The browser's process: what it offers to the supervisor."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio

from runtime.guest.browser.config import BrowserConfig
from runtime.guest.browser.tools import BrowserTools, build_browser_tools
from runtime.guest.channel import Ends
from runtime.guest.confinement import can_have_namespaces
from runtime.guest.page_files import WorkspaceLine
from runtime.guest.service import Offer, Operation, Service


async def serve_browser(ends: Ends) -> None:
    """Offer the browser's tools until the supervisor hangs up."""
    tools: dict[str, Any] = {}
    operations: dict[str, Operation] = {}
    service = Service(Offer(tools, operations))
    line = WorkspaceLine(service)
    directory = Path(mkdtemp(prefix="browser-"))
    browsers: list[BrowserTools] = []

    async def configure(arguments: dict[str, Any]) -> Any:
        """`{proxy}`: begin to offer the tools; asked once, before any of them is used."""
        config = BrowserConfig(
            directory=directory,
            read_workspace_file=line.read,
            write_workspace_file=line.write,
            save_download=line.save,
            executable=os.environ.get("SANDLOT_CHROMIUM", "/usr/bin/chromium"),
            sandbox=os.geteuid() != 0 and can_have_namespaces(),
            proxy_server=arguments["proxy"],
        )
        browsers.append(build_browser_tools(config))
        tools.update(browsers[-1].tools)

    async def close(arguments: dict[str, Any]) -> Any:
        for browser in browsers:
            await browser.close()

    operations.update(configure=configure, close=close)
    try:
        await service.serve(ends)
    finally:
        with anyio.CancelScope(shield=True):
            await close({})
