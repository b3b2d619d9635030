"""Model calls that are larger than a guest may send, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from runtime.errors import ContextExceeded
from runtime.gateway.listener import SandboxListener
from runtime.gateway.session import GuestSession
from runtime.guest.link import Link
from runtime.guest.remote import RemoteModel
from runtime.schema.content import TextContent
from runtime.schema.model import ModelDone, ModelPart, ModelRequest, TextPart
from runtime.schema.protocol import (
    GATEWAY_SOCKET,
    GUEST_FRAME_BYTES,
    ControllerMessage,
    ModelCall,
    ModelParts,
)
from runtime.schema.steps import UserInputStep
from runtime.schema.usage import Usage

pytestmark = pytest.mark.anyio
PATIENCE = 30
DONE = ModelDone(reason="stop", usage=Usage())


@asynccontextmanager
async def called(folder: Path) -> AsyncGenerator[tuple[RemoteModel, SandboxListener]]:
    """The guest's side of a model, and the listener that it is behind."""
    listener = SandboxListener(folder)
    await listener.bind(0)
    link = Link(folder / GATEWAY_SOCKET, "b")
    model = RemoteModel(link, "r")

    async def take(message: ControllerMessage) -> None:
        assert isinstance(message, ModelParts)
        await model.deliver(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve)
        tasks.start_soon(link.run, take, model.connection_lost)
        yield model, listener
        tasks.cancel_scope.cancel()
    listener.remove()


async def answer(session: GuestSession, seen: list[int]) -> None:
    """Answer the first call that arrives."""
    async for message in session.messages():
        if isinstance(message, ModelCall):
            seen.append(len(message.model_dump_json()))
            parts: list[ModelPart] = [TextPart(text="read"), DONE]
            await session.send(ModelParts(call_id=message.call_id, parts=parts))
            return


def asking(size: int) -> ModelRequest:
    return ModelRequest(model="m", history=[UserInputStep(content=[TextContent(text="x" * size)])])


async def test_a_call_above_the_limit_is_not_sent_and_the_next_one_goes_on(tmp_path: Path) -> None:
    seen: list[int] = []
    parts: list[ModelPart] = []
    room = 1024
    with anyio.fail_after(PATIENCE):
        async with called(tmp_path / "s") as (model, listener), anyio.create_task_group() as tasks:
            session = await listener.session()
            tasks.start_soon(answer, session, seen)
            with pytest.raises(ContextExceeded, match="more than 32 MiB"):
                _ = [part async for part in model.stream(asking(GUEST_FRAME_BYTES))]
            parts = [part async for part in model.stream(asking(GUEST_FRAME_BYTES - room))]
            assert not session.is_closed
    assert [part.text for part in parts if isinstance(part, TextPart)] == ["read"]
    assert len(seen) == 1 and seen[0] > GUEST_FRAME_BYTES - room
