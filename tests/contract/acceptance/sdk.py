"""An official Python client whose calls are awaited, be it the blocking one or the async one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
from google import genai
from google.genai import types

CALL_SECONDS = 60


class Blocking:
    """The blocking client or one of its resources: each call runs in a thread of its own."""

    def __init__(self, target: Any) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return partial(in_thread, found) if inspect.isroutine(found) else Blocking(found)


class Items:
    """A blocking stream, iterated like an async one."""

    def __init__(self, items: Any) -> None:
        self._items = items

    async def __aiter__(self) -> AsyncIterator[Any]:
        end = object()
        while (item := await in_thread(next, self._items, end)) is not end:
            yield item

    async def close(self) -> None:
        """Close the connection, whatever is still to come."""
        await in_thread(self._items.close)


async def in_thread(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
    """Call a blocking function, with a bound; a stream that it returns becomes `Items`."""
    with anyio.fail_after(CALL_SECONDS):
        answer = await anyio.to_thread.run_sync(
            partial(call, *arguments, **more), abandon_on_cancel=True
        )
    return Items(answer) if isinstance(answer, Iterator) else answer


class Sdk:
    """One client of `google-genai`; the resources are those of the real client."""

    def __init__(self, *, blocking: bool, http: dict[str, Any], **options: Any) -> None:
        self.real = genai.Client(http_options=types.HttpOptions(**http), **options)
        self._blocking = blocking
        self._face: Any = Blocking(self.real) if blocking else self.real.aio

    def __getattr__(self, name: str) -> Any:
        return getattr(self._face, name)

    async def aclose(self) -> None:
        """Let go of its connections."""
        if not self._blocking:
            await self.real.aio.aclose()
        self.real.close()
