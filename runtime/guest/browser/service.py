"""The browser's process: what it offers to the supervisor."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio

from runtime.guest.browser.config import BrowserConfig
from runtime.guest.browser.tools import build_browser_tools
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
    config = BrowserConfig(
        directory=Path(mkdtemp(prefix="browser-")),
        read_workspace_file=line.read,
        write_workspace_file=line.write,
        save_download=line.save,
        executable=os.environ.get("SANDLOT_CHROMIUM", "/usr/bin/chromium"),
        sandbox=os.geteuid() != 0 and can_have_namespaces(),
    )
    browser = build_browser_tools(config)

    async def close(arguments: dict[str, Any]) -> Any:
        await browser.close()

    tools.update(browser.tools)
    operations["close"] = close
    try:
        await service.serve(ends)
    finally:
        with anyio.CancelScope(shield=True):
            await browser.close()
