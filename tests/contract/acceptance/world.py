"""What a test of an acceptance case works with. Runs under any version of the SDK."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen
from uuid import uuid4

import anyio
import anyio.to_thread

from tests.contract.acceptance.manifest import BLOCKING, PREVIOUS_BLOCKING
from tests.contract.acceptance.sdk import Sdk

AGENT = "antigravity-preview-09-2026"
INLINE = {"type": "antigravity", "model": "script/inline"}
RECALL = {"type": "antigravity", "model": "local/recall"}
"""A model that repeats all that users said to it, so that its memory shows."""
WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is; travels to other processes as JSON."""

    url: str
    api_key: str
    door: str
    """The faulty door in front of `url`: `{door}/PLAN/TOKEN`."""
    back: str
    """Where tests ask what reached their servers."""
    mcp: str
    site: str
    environment: str
    """One for all tests to share that need any; none of them runs beside another."""


class World:
    """The servers of a test and its client."""

    def __init__(self, place: Place, kind: str) -> None:
        self.place = place
        self.kind = kind
        self.blocking = kind in (BLOCKING, PREVIOUS_BLOCKING)
        self._clients: list[Sdk] = []
        self.sdk = self.client()

    def client(self, **http: Any) -> Sdk:
        """A client of the SDK under test; `http` are further `HttpOptions`."""
        options = {"base_url": self.place.url, **http}
        return self._kept(Sdk(blocking=self.blocking, http=options, api_key=self.place.api_key))

    def bare_client(self, **options: Any) -> Sdk:
        """One that is told nothing but `options`."""
        return self._kept(Sdk(blocking=self.blocking, **{"http": {}, **options}))

    def _kept(self, client: Sdk) -> Sdk:
        self._clients.append(client)
        return client

    async def create(self, prompt: Any, **more: Any) -> Any:
        """Run the agent on a prompt that is its own script, in the shared environment."""
        body = {"agent": AGENT, "agent_config": INLINE, "environment": self.place.environment}
        return await self.sdk.interactions.create(**{**body, "input": prompt, **more})

    async def ended(self, interaction_id: str) -> Any:
        """Poll as the documents do, until it is not in progress any more."""
        with anyio.fail_after(WAIT_SECONDS):
            while True:
                found = await self.sdk.interactions.get(interaction_id)
                if found.status != "in_progress":
                    return found
                await anyio.sleep(0.05)

    async def back(self, path: str) -> Any:
        """What the servers of the tests saw."""
        return await self.http("GET", f"{self.place.back}/{path}")

    async def put(self, name: str) -> None:
        """Make an empty file in the shared environment, beside what runs there."""
        await self.sdk.environments.files.upload(
            environment=self.place.environment, path=f"workspace/{name}", file=io.BytesIO(b"")
        )

    async def labelled(self, label: str) -> str:
        """The interaction with a label, once it is there."""
        with anyio.fail_after(WAIT_SECONDS):
            while True:
                listed = await self.http("GET", f"{self.place.url}/v1/operations?page_size=20")
                for one in listed["operations"]:
                    if label in one["metadata"].get("labels", {}).values():
                        return one["metadata"]["interaction_id"]
                await anyio.sleep(0.05)

    async def left(self, token: str) -> None:
        """Wait until the controller was told that a call with a token is waited for no more."""
        with anyio.fail_after(WAIT_SECONDS):
            while True:
                if (await self.back(f"traffic/{token}"))["left"]:
                    return
                await anyio.sleep(0.02)

    async def http(self, method: str, url: str) -> Any:
        """The JSON of a call without any SDK."""
        return json.loads(await self.read(url, method))

    async def read(self, url: str, method: str = "GET") -> bytes:
        """The bytes of one."""

        def ask() -> bytes:
            headers = {"x-goog-api-key": self.place.api_key}
            request = Request(url, method=method, headers=headers)
            with urlopen(request, timeout=WAIT_SECONDS) as answer:
                return answer.read()

        return await anyio.to_thread.run_sync(ask)

    async def aclose(self) -> None:
        """Close every client."""
        for client in self._clients:
            await client.aclose()


@asynccontextmanager
async def world(place: Place, kind: str) -> AsyncGenerator[World]:
    """A world for one test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*experimental.*")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        made = World(place, kind)
        try:
            yield made
        finally:
            await made.aclose()


def unique(word: str) -> str:
    """A word that no other test uses: environments are shared."""
    return f"{word}-{uuid4().hex[:8]}"


def fence(language: str, *blocks: str) -> str:
    """A prompt of code blocks."""
    return "\n".join(f"```{language}\n{block}\n```" for block in blocks)


def call(name: str, **arguments: Any) -> str:
    """A prompt that calls a tool."""
    return fence(f"tool {name}", json.dumps(arguments))


def code_results(interaction: Any) -> list[str]:
    """What each block of code printed."""
    return [one.result for one in interaction.steps if one.type == "code_execution_result"]


async def gather(stream: Any) -> list[Any]:
    """All events of a stream."""
    with anyio.fail_after(WAIT_SECONDS):
        return [event async for event in stream]


def text_of(events: list[Any]) -> str:
    """What the text deltas of a stream add up to."""
    deltas = [event.delta for event in events if event.event_type == "step.delta"]
    return "".join(delta.text for delta in deltas if delta.type == "text")


async def raised(doing: Callable[..., Awaitable[Any]], **body: Any) -> Any:
    """What a call raises, whose class differs from version to version; it must raise."""
    try:
        answer = await doing(**body)
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError(f"not refused: {answer!r:.500}")


async def refused(name: str, doing: Callable[..., Awaitable[Any]], **body: Any) -> dict[str, Any]:
    """The error in the body of a call that the SDK must raise as `name`."""
    error = await raised(doing, **body)
    assert type(error).__name__ == name, f"{type(error).__name__}: {error}"
    found: dict[str, Any] = error.body["error"]
    assert isinstance(found["code"], str) and found["message"], found
    return found
