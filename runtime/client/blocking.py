"""The client for code without an event loop: the asynchronous one, called through a portal.

Nothing is written twice: each method here is the asynchronous method of the same name.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from runtime.client.aio import AsyncClient
from runtime.client.credentials import AsyncCredentials
from runtime.client.environments import AsyncEnvironments, AsyncFiles
from runtime.client.interactions import AsyncAgents, AsyncInteractions, AsyncModels, AsyncOperations
from runtime.client.records import Interaction, StreamEvent
from runtime.client.requests import CreateParams
from runtime.client.stream import EventStream
from runtime.client.uploads import AsyncUploads

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


class _Resource(Generic[A]):
    """An asynchronous resource and the portal to call it through."""

    def __init__(self, target: A, portal: BlockingPortal) -> None:
        self.target = target
        self.portal = portal


class BlockingIterator(Iterator[R]):
    """An asynchronous iterator, step by step."""

    def __init__(self, rows: AsyncIterator[R], portal: BlockingPortal) -> None:
        self._rows = rows
        self._portal = portal

    def __next__(self) -> R:
        found = self._portal.call(_next, self._rows)
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """Stop before the end."""
        closing: Callable[[], Coroutine[Any, Any, None]] | None
        closing = getattr(self._rows, "aclose", None)
        if closing is not None:
            self._portal.call(closing)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def _next(rows: AsyncIterator[R]) -> list[R]:
    async for row in rows:
        return [row]
    return []


def _blocking(
    method: Callable[Concatenate[A, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[_Resource[A], P], R]:
    @functools.wraps(method)
    def call(self: _Resource[A], *args: P.args, **kwargs: P.kwargs) -> R:
        return self.portal.call(functools.partial(method, self.target, *args, **kwargs))

    return call


def _iterating(
    method: Callable[Concatenate[A, P], AsyncIterator[R]],
) -> Callable[Concatenate[_Resource[A], P], BlockingIterator[R]]:
    @functools.wraps(method)
    def call(self: _Resource[A], *args: P.args, **kwargs: P.kwargs) -> BlockingIterator[R]:
        return BlockingIterator(method(self.target, *args, **kwargs), self.portal)

    return call


class Operations(_Resource[AsyncOperations]):
    """Interactions seen as long-running operations."""

    get = _blocking(AsyncOperations.get)
    list = _blocking(AsyncOperations.list)
    wait = _blocking(AsyncOperations.wait)
    cancel = _blocking(AsyncOperations.cancel)


class Interactions(_Resource[AsyncInteractions]):
    """Runs of agents and models."""

    def __init__(self, target: AsyncInteractions, portal: BlockingPortal) -> None:
        super().__init__(target, portal)
        self.operations = Operations(target.operations, portal)

    @overload
    def create(
        self, *, stream: Literal[False] = False, **params: Unpack[CreateParams]
    ) -> Interaction: ...

    @overload
    def create(
        self, *, stream: Literal[True], **params: Unpack[CreateParams]
    ) -> BlockingIterator[StreamEvent]: ...

    def create(
        self, *, stream: bool = False, **params: Unpack[CreateParams]
    ) -> Interaction | BlockingIterator[StreamEvent]:
        """Start an interaction.

        Returns it settled; with `background` at once; with `stream` its events instead.
        """

        async def begin() -> Interaction | EventStream:
            if stream:
                return await self.target.create(stream=True, **params)
            return await self.target.create(**params)

        begun = self.portal.call(begin)
        return begun if isinstance(begun, Interaction) else BlockingIterator(begun, self.portal)

    get = _blocking(AsyncInteractions.get)
    stream = _iterating(AsyncInteractions.stream)
    cancel = _blocking(AsyncInteractions.cancel)
    delete = _blocking(AsyncInteractions.delete)


class Agents(_Resource[AsyncAgents]):
    """The agents of the controller."""

    list = _blocking(AsyncAgents.list)
    get = _blocking(AsyncAgents.get)


class Models(_Resource[AsyncModels]):
    """The models that can be asked for by name."""

    list = _blocking(AsyncModels.list)


class Files(_Resource[AsyncFiles]):
    """The files of an environment."""

    list = _blocking(AsyncFiles.list)
    read = _blocking(AsyncFiles.read)
    download = _blocking(AsyncFiles.download)
    chunks = _iterating(AsyncFiles.chunks)
    upload = _blocking(AsyncFiles.upload)


class Environments(_Resource[AsyncEnvironments]):
    """Workspaces that outlive interactions."""

    def __init__(self, target: AsyncEnvironments, portal: BlockingPortal) -> None:
        super().__init__(target, portal)
        self.files = Files(target.files, portal)

    list = _blocking(AsyncEnvironments.list)
    get = _blocking(AsyncEnvironments.get)
    delete = _blocking(AsyncEnvironments.delete)
    network_events = _blocking(AsyncEnvironments.network_events)


class Uploads(_Resource[AsyncUploads]):
    """Files that content can name by their `uri`."""

    upload = _blocking(AsyncUploads.upload)
    get = _blocking(AsyncUploads.get)
    list = _blocking(AsyncUploads.list)
    read = _blocking(AsyncUploads.read)
    delete = _blocking(AsyncUploads.delete)


class Credentials(_Resource[AsyncCredentials]):
    """Secrets that agents use and never see."""

    create = _blocking(AsyncCredentials.create)
    get = _blocking(AsyncCredentials.get)
    list = _blocking(AsyncCredentials.list)
    update = _blocking(AsyncCredentials.update)
    delete = _blocking(AsyncCredentials.delete)


class Client:
    """Speaks to one controller; without an address, to the one that is running here.

    Close it, or use it in a `with` statement, when it is not needed any more.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None) -> None:
        self._client = AsyncClient(base_url, api_key)
        self._opening: AbstractContextManager[BlockingPortal] = start_blocking_portal()
        self._portal = self._opening.__enter__()
        self._is_open = True
        self.base_url = self._client.base_url
        self.interactions = Interactions(self._client.interactions, self._portal)
        self.agents = Agents(self._client.agents, self._portal)
        self.models = Models(self._client.models, self._portal)
        self.environments = Environments(self._client.environments, self._portal)
        self.files = Uploads(self._client.files, self._portal)
        self.credentials = Credentials(self._client.credentials, self._portal)

    @classmethod
    def discover(
        cls, state_dir: Path | str | None = None, environ: Mapping[str, str] | None = None
    ) -> Self:
        """A client of the controller that runs on the state folder, or that `$SANDLOT_URL` names.

        Raises `ControllerUnreachable` when none is running and none is named.
        """
        from runtime.client.discovery import discover

        found = discover(state_dir, environ)
        return cls(found.url, found.api_key)

    def is_alive(self) -> bool:
        """Whether the controller answers at all."""
        return self._portal.call(self._client.is_alive)

    def is_ready(self) -> bool:
        """Whether the controller answers and can take work."""
        return self._portal.call(self._client.is_ready)

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Any other call of the API: JSON in, a JSON object out."""
        return self._portal.call(self._client.call, method, path, body)

    def close(self) -> None:
        """Close every connection."""
        if self._is_open:
            self._is_open = False
            self._portal.call(self._client.aclose)
            self._opening.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
