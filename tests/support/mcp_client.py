"""The controller's MCP client as a program: lists the tools of the server it is told, calls each.

What `@modelcontextprotocol/conformance` starts for each of its scenarios.
"""

from __future__ import annotations

import sys
from typing import Any

import anyio

from runtime.schema.model import FunctionDeclaration
from runtime.schema.settings import OutboundSettings, Settings
from runtime.tools.relay import ControllerTools

_SAMPLES: dict[str, Any] = {"number": 5, "integer": 5, "string": "text", "boolean": True}


async def use(url: str) -> None:
    tools = ControllerTools(Settings(outbound=OutboundSettings(allow=["localhost", "127.0.0.1"])))
    async with tools.open():
        await tools.offer("int_1", {"type": "mcp_server", "name": "server", "url": url})
        for tool in await tools.listed("int_1", set()):
            answer = await tools.call("int_1", tool.name, arguments_for(tool))
            print(f"{tool.name}: {answer.text}")
        await tools.release("int_1")


def arguments_for(tool: FunctionDeclaration) -> dict[str, Any]:
    fields: dict[str, Any] = tool.parameters.get("properties", {})
    return {name: _SAMPLES[field["type"]] for name, field in fields.items()}


if __name__ == "__main__":
    anyio.run(use, sys.argv[-1])
