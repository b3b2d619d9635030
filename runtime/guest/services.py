"""The main programs of the service processes: what hands and browser offer to the supervisor."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio

from runtime.guest.channel import Ends
from runtime.guest.files import FileTools
from runtime.guest.kernel import Kernel
from runtime.guest.kernel_process import KernelLaunch
from runtime.guest.output import OutputFolder, OutputLimits
from runtime.guest.page_files import PageFiles, WorkspaceLine
from runtime.guest.paths import Paths
from runtime.guest.service import Offer, Operation, Service
from runtime.guest.shell import Shell
from runtime.guest.surroundings import find_surroundings
from runtime.guest.tools import Emit
from runtime.schema.steps import ToolResult

INTERPRETER = os.environ.get("SANDLOT_PYTHON", "/usr/bin/python3")
WORKSPACE = Path(os.environ.get("SANDLOT_WORKSPACE", "/workspace"))


def browser_main(ends: Ends) -> None:
    """The whole life of the browser's process."""
    anyio.run(_serve_browser, ends)


async def _serve_browser(ends: Ends) -> None:
    # Playwright is large, and most environments never open a page.
    from runtime.guest.browser_config import BrowserConfig
    from runtime.guest.browser_tools import build_browser_tools

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


def hands_main(ends: Ends) -> None:
    """The whole life of the hands' process."""
    anyio.run(_serve_hands, ends)


async def _serve_hands(ends: Ends) -> None:
    folder = Path(mkdtemp(prefix="hands-"))
    variables = base_variables(WORKSPACE)
    outputs = OutputFolder(WORKSPACE / ".sandlot" / "outputs", OutputLimits())
    launch = KernelLaunch(INTERPRETER, WORKSPACE, variables)
    (WORKSPACE / ".home").mkdir(exist_ok=True)
    async with (
        Kernel(launch, folder / "kernel", outputs) as kernel,
        Shell(WORKSPACE, dict(variables), folder / "shell", outputs) as shell,
    ):
        await kernel.start()

        async def code(arguments: dict[str, Any], emit: Emit) -> ToolResult:
            run = shell.run if arguments.get("language") == "bash" else kernel.run
            return await run(arguments["code"], emit, arguments["timeout_seconds"])

        async def configure(arguments: dict[str, Any]) -> Any:
            kernel.set_variables(arguments["variables"])
            shell.set_variables(arguments["variables"])

        async def surroundings(arguments: dict[str, Any]) -> Any:
            return find_surroundings(WORKSPACE)

        async def close(arguments: dict[str, Any]) -> Any:
            await kernel.close()
            shell.close()

        operations = {
            **PageFiles(WORKSPACE).operations(),
            "configure": configure,
            "surroundings": surroundings,
            "close": close,
        }
        files = FileTools(Paths(WORKSPACE, WORKSPACE / ".home"), variables, 20_000)
        tools = {"code_execution": code, **files.by_name()}
        await Service(Offer(tools, operations)).serve(ends)


def base_variables(workspace: Path) -> dict[str, str]:
    return {
        "PATH": f"{workspace}/.local/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(workspace / ".home"),
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONUSERBASE": str(workspace / ".local"),
    }
