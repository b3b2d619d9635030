"""Interactions and their operation view, agents and models."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Literal, Unpack, overload
from urllib.parse import quote

from runtime import clock
from runtime.client.faults import UnexpectedAnswer
from runtime.client.patience import persistently
from runtime.client.records import Agent, Interaction, Model, Operation
from runtime.client.requests import CreateParams, create_body
from runtime.client.stream import SILENCE_SECONDS, EventStream
from runtime.client.transport import Transport

OperationList = list[Operation]
AgentList = list[Agent]
ModelList = list[Model]

_WAIT_SECONDS = 30.0
_PAGE_SIZE = 100


class AsyncInteractions:
    """Runs of agents and models."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.operations = AsyncOperations(transport)

    @overload
    async def create(
        self, *, stream: Literal[False] = False, **params: Unpack[CreateParams]
    ) -> Interaction: ...

    @overload
    async def create(
        self, *, stream: Literal[True], **params: Unpack[CreateParams]
    ) -> EventStream: ...

    async def create(
        self, *, stream: bool = False, **params: Unpack[CreateParams]
    ) -> Interaction | EventStream:
        """Start an interaction.

        Returns it settled; with `background` at once; with `stream` its events instead. A call
        whose connection breaks is made again, and never starts a second interaction.
        """
        body = create_body(dict(params), stream=stream)
        headers = {"idempotency-key": secrets.token_urlsafe(16)}
        if stream:
            headers["accept"] = "text/event-stream"
            return await persistently(partial(self._create_stream, body, headers))
        return await persistently(partial(self._create, body, headers))

    async def _create(self, body: dict[str, Any], headers: dict[str, str]) -> Interaction:
        answer = await self._transport.call(
            "POST", "/v1/interactions", body=body, headers=headers, read_seconds=None
        )
        return Interaction.model_validate(answer)

    async def _create_stream(self, body: dict[str, Any], headers: dict[str, str]) -> EventStream:
        response = await self._transport.start(
            "POST", "/v1/interactions", body=body, headers=headers, read_seconds=SILENCE_SECONDS
        )
        return EventStream(self._transport, response=response)

    async def get(self, id: str, *, include_input: bool = False) -> Interaction:
        """The interaction as it is now, its input included among the steps."""
        query = {"include_input": include_input or None}
        return Interaction.model_validate(
            await self._transport.call("GET", _interaction(id), query=query)
        )

    def stream(self, id: str, last_event_id: str | None = None) -> EventStream:
        """The events from the start, or after `last_event_id`, then live until it has settled."""
        return EventStream(self._transport, interaction_id=id, last_event_id=last_event_id)

    async def cancel(self, id: str) -> Interaction:
        """Stop it; nothing changes when it has settled."""
        return Interaction.model_validate(
            await self._transport.call("POST", _interaction(id) + "/cancel")
        )

    async def delete(self, id: str) -> None:
        """Forget it and its events."""
        await self._transport.call("DELETE", _interaction(id))


class AsyncOperations:
    """Interactions seen as long-running operations."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def get(self, id: str) -> Operation:
        """The operation of an interaction; `id` with or without `operations/`."""
        return Operation.model_validate(await self._transport.call("GET", _operation(id)))

    async def list(self, limit: int = 50) -> OperationList:
        """The latest operations, newest first."""
        rows = pages(self._transport, "/v1/operations", "operations", limit=limit)
        return [Operation.model_validate(row) async for row in rows]

    async def wait(self, id: str, timeout_seconds: float = 3600.0) -> Operation:
        """The operation once it is done.

        Raises `TimeoutError` when it is not done in time.
        """
        deadline = clock.monotonic() + timeout_seconds
        while (left := deadline - clock.monotonic()) > 0:
            operation = await self._wait_once(id, min(left, _WAIT_SECONDS))
            if operation.done:
                return operation
        raise TimeoutError(f"{id} is not done after {timeout_seconds:g} s")

    async def _wait_once(self, id: str, seconds: float) -> Operation:
        return Operation.model_validate(
            await self._transport.call(
                "POST", _operation(id) + ":wait", body={"timeout": f"{seconds:.3f}s"}
            )
        )

    async def cancel(self, id: str) -> None:
        """Stop the interaction."""
        await self._transport.call("POST", _operation(id) + ":cancel")


class AsyncAgents:
    """The agents of the controller."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> AgentList:
        """All agents."""
        rows = pages(self._transport, "/v1/agents", "agents")
        return [Agent.model_validate(row) async for row in rows]

    async def get(self, id: str) -> Agent:
        """One agent, by id or alias."""
        path = f"/v1/agents/{quote(id, safe='')}"
        return Agent.model_validate(await self._transport.call("GET", path))


class AsyncModels:
    """The models that can be asked for by name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def list(self) -> ModelList:
        """All models that have a name."""
        rows = pages(self._transport, "/v1/models", "models")
        return [Model.model_validate(row) async for row in rows]


async def pages(
    transport: Transport,
    path: str,
    field: str,
    *,
    limit: int | None = None,
    page_size: int = _PAGE_SIZE,
    **query: Any,
) -> AsyncIterator[dict[str, Any]]:
    """The rows of a listing, `page_size` at a time; at most `limit`."""
    left = limit
    token: str | None = None
    while left is None or left > 0:
        size = page_size if left is None else min(left, page_size)
        answer = await transport.call(
            "GET", path, query={"page_size": size, "page_token": token, **query}
        )
        rows: list[dict[str, Any]] = answer.get(field) or []
        for row in rows[:left]:
            yield row
        left = None if left is None else left - len(rows)
        token = _next_token(answer, token, path)
        if token is None:
            return


def _next_token(answer: dict[str, Any], token: str | None, path: str) -> str | None:
    following = answer.get("next_page_token") or None
    if following is not None and following == token:
        raise UnexpectedAnswer(f"{path} gives the same page again and again")
    return following


def _interaction(identifier: str) -> str:
    return f"/v1/interactions/{quote(identifier, safe='')}"


def _operation(identifier: str) -> str:
    return f"/v1/operations/{quote(identifier.removeprefix('operations/'), safe='')}"
