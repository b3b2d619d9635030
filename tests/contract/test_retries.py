"""A call that is repeated because its connection broke makes one interaction, without any key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from google import genai
from google.genai import types
from openai import AsyncOpenAI
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runtime.schema.callers import DEFAULT_PROJECT
from runtime.schema.model import FunctionDeclaration
from tests.support.server import KEY, Running, running
from tests.support.services import Offers
from tests.support.web import serving

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}
BODY: dict[str, Any] = {"model": "gpt", "input": "wait say:once"}
WAYS: dict[str, dict[str, Any]] = {
    "waiting": {},
    "background": {"background": True},
    "streaming": {"stream": True},
}


class Gateway:
    """Passes calls on, and gives up the first one as soon as the controller works on it."""

    def __init__(self, api: Running) -> None:
        self._api = api
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.calls += 1
        body, headers = await request.body(), dict(request.headers)
        async with self._api.client() as client:
            passed = partial(client.post, request.url.path, content=body, headers=headers)
            if self.calls > 1:
                answer = await passed()
                await Response(answer.content, answer.status_code, JSON)(scope, receive, send)
                return
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(passed)
                while not self._api.parts.runs.plans:
                    await checkpoint()
                tasks.cancel_scope.cancel()
        await Response("<html>Gateway Timeout</html>", 504)(scope, receive, send)


def google(url: str) -> genai.Client:
    retry = types.HttpRetryOptions(initial_delay=0.01, max_delay=0.01)
    return genai.Client(
        api_key=KEY, http_options=types.HttpOptions(base_url=url, retry_options=retry)
    )


async def python(url: str) -> str:
    with google(url) as client:
        ask = partial(client.interactions.create, **BODY)
        return (await anyio.to_thread.run_sync(ask)).output_text or ""


async def python_async(url: str) -> str:
    async with google(url).aio as client:
        return (await client.interactions.create(**BODY)).output_text or ""


async def openai(url: str) -> str:
    async with AsyncOpenAI(api_key=KEY, base_url=f"{url}/openai/v1") as client:
        return (await client.responses.create(**BODY)).output_text


async def openai_hasty(url: str) -> str:
    hasty = AsyncOpenAI(api_key=KEY, base_url=f"{url}/openai/v1", timeout=0.5, max_retries=60)
    async with hasty as client:
        return (await client.responses.create(**BODY)).output_text


SDKS = [python, python_async, openai, openai_hasty]


@pytest.mark.parametrize("call", SDKS, ids=lambda call: call.__name__)
async def test_retries_of_the_sdks(api: Running, call: Callable[[str], Awaitable[str]]) -> None:
    answers: list[str] = []
    gateway = Gateway(api)

    async def ask(url: str) -> None:
        answers.append(await call(url))

    with anyio.fail_after(60):
        async with serving(gateway) as port, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, f"http://127.0.0.1:{port}")
            await left(api)
            await taken_up(api)
            while not answers:
                api.parts.runs.go()
                await anyio.sleep(0.01)
    assert answers == ["once"]
    assert gateway.calls > 1
    assert len(api.parts.runs.plans) == 1
    assert len(await api.parts.store.interactions.page("default", limit=10)) == 1


async def left(api: Running) -> None:
    """Until the controller knows that a caller went away."""
    while not api.services.abandoned._kept:
        await checkpoint()


async def taken_up(api: Running) -> None:
    """Until another call has what was left."""
    while api.services.abandoned._kept:
        await checkpoint()


class SlowOffers(Offers):
    """Search takes until it is let go on."""

    def __init__(self) -> None:
        super().__init__(search=True)
        self.asked = 0
        self.go = anyio.Event()

    async def offer(
        self, interaction_id: str, tool: dict[str, Any], project_id: str = DEFAULT_PROJECT
    ) -> list[FunctionDeclaration] | None:
        self.asked += 1
        await self.go.wait()
        return await super().offer(interaction_id, tool, project_id)


@pytest.mark.parametrize("way", WAYS)
async def test_a_retry_while_the_first_call_is_still_being_begun(tmp_path: Path, way: str) -> None:
    offers = SlowOffers()
    body = {"model": "gpt", "input": "say:once", "tools": [{"type": "google_search"}], **WAYS[way]}
    answers: list[httpx2.Response] = []
    async with running(tmp_path / "state", offers=offers) as api, api.client() as client:

        async def post() -> None:
            answers.append(await client.post("/v1/interactions", json=body))

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(post)
                while not offers.asked:
                    await checkpoint()
                tasks.cancel_scope.cancel()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(post)
                while not any(call.is_taken for call in open_calls(api)):
                    await checkpoint()
                offers.go.set()
        (answer,) = answers
        assert answer.status_code == 200
        assert offers.asked == 1
        assert len(api.parts.runs.plans) == 1
        third = await client.post("/v1/interactions", json=body)
        assert third.status_code == 200
        assert len(api.parts.runs.plans) == 2


def open_calls(api: Running) -> list[Any]:
    return [call for calls in api.services.abandoned._open.values() for call in calls]


async def test_equal_calls_at_the_same_time_are_not_retries(api: Running) -> None:
    ids: set[str] = set()
    async with api.client() as client:

        async def post() -> None:
            ids.add((await client.post("/v1/interactions", json=BODY)).json()["id"])

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(post)
                while len(ids) < 5:
                    api.parts.runs.go()
                    await anyio.sleep(0.01)
    assert len(api.parts.runs.plans) == 5


async def test_nobody_gets_what_another_key_or_program_left(api: Running) -> None:
    async with api.client() as client:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(client.post, "/v1/interactions", json=BODY))
            while not api.parts.runs.plans:
                await checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(30):
            await left(api)
        body = {**BODY, "background": True}
        for headers in ({"user-agent": "another"}, {}):
            answer = await client.post("/v1/interactions", json=body, headers=headers)
            assert answer.json()["status"] == "in_progress"
        assert len(api.parts.runs.plans) == 3
        assert api.services.abandoned._kept
        api.parts.runs.go()
