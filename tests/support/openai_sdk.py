"""The unmodified OpenAI SDK, and what its tests say with it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from openai import OpenAI

from tests.support.local_controller import KEY, LocalController

Value = TypeVar("Value")

MODEL = "gpt-test"
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "weather",
    "description": "Says the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": False,
}
ASK_WEATHER = '```tool weather\n{"city": "Rome"}\n```\n'
THINK_AND_SAY = "```think\nHm, let me see.\n```\n```say\nHello there, how are you today?\n```"
PIXEL = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


async def call(api: LocalController, action: Callable[[OpenAI], Value]) -> Value:
    """The blocking SDK, in a thread of its own beside the server."""

    def act() -> Value:
        with client_of(api.url) as client:
            return action(client)

    with anyio.fail_after(20):
        return await anyio.to_thread.run_sync(act)


def client_of(url: str, **more: Any) -> OpenAI:
    return OpenAI(base_url=f"{url}/openai/v1", api_key=KEY, max_retries=0, **more)
