"""A call that waits for its interaction, as long as somebody waits for the call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
from fastapi import Request

from runtime.api.services import services_of
from runtime.controller.presence import Stay

Ending = Literal["done", "gone", "draining", "revoked"]


async def while_connected(
    request: Request, wait: Callable[[], Awaitable[object]], stay: Stay
) -> Ending:
    """Run `wait` to its end, unless the client goes, the server drains or the key is revoked.

    The body of `request` must have been read.
    """
    ending: Ending = "done"
    with stay.scope:
        ending = await _first(request, wait)
    return "revoked" if stay.is_ended else ending


async def _first(request: Request, wait: Callable[[], Awaitable[object]]) -> Ending:
    ending: Ending = "done"
    async with anyio.create_task_group() as tasks:

        async def until(happened: Callable[[], Awaitable[object]], name: Ending) -> None:
            nonlocal ending
            await happened()
            ending = name
            tasks.cancel_scope.cancel()

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        tasks.start_soon(until, gone, "gone")
        tasks.start_soon(until, services_of(request).draining.wait, "draining")
        await wait()
        tasks.cancel_scope.cancel()
    return ending
