"""Settings of clients: versions, base URLs, retries, timeouts, raw answers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from tests.contract.acceptance.manifest import AIO, BLOCKING
from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import (
    RECALL,
    World,
    fence,
    gather,
    raised,
    refused,
    unique,
)


async def works(client: Any) -> None:
    """One call and one stream of a client."""
    made = await client.interactions.create(model="gemini-3.7-flash", input="Hi")
    assert (made.status, made.output_text) == ("completed", "Hi")
    assert (await client.interactions.get(made.id)).output_text == "Hi"
    events = await gather(await client.interactions.get(made.id, stream=True))
    assert events[-1].event_type == "interaction.completed"


@contextmanager
def variable(name: str, value: str) -> Generator[None]:
    """An environment variable while a client is made."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@acceptance(67)
async def every_version(world: World) -> None:
    for version in ("v1", "v1beta", "v1alpha"):
        await works(world.client(api_version=version))
        made = await world.sdk.interactions.create(
            model="gemini-3.7-flash", input="Hi", api_version=version
        )
        assert made.output_text == "Hi"
    with variable("GOOGLE_GENAI_API_VERSION", "beta"):
        await works(world.client())


@acceptance(67)
async def vertex(world: World) -> None:
    """The prefix with project and location; the key travels as a bearer token."""
    token = {"authorization": f"Bearer {world.place.api_key}"}
    http = {"base_url": world.place.url, "api_version": "v1beta1", "headers": token}
    from google.auth.credentials import Credentials

    class Static(Credentials):
        def __init__(self, token: str) -> None:
            super().__init__()
            self.token = token

        def refresh(self, request: Any) -> None:
            raise AssertionError("the token is good")

    client = world.bare_client(
        vertexai=True,
        project="p",
        location="global",
        http=http,
        credentials=Static(world.place.api_key),
    )
    await works(client)


@acceptance(68)
async def every_spelling_of_the_base_url(world: World) -> None:
    for base in (f"{world.place.url}/", f"{world.place.url}//", f"{world.place.url}/v1beta"):
        await works(world.client(base_url=base))
    with variable("GOOGLE_GEMINI_BASE_URL", world.place.url):
        await works(world.bare_client(api_key=world.place.api_key))


@acceptance(69)
async def refusals_are_repeated_and_one_run_is_made(world: World) -> None:
    token = unique("t")
    client = world.client(base_url=f"{world.place.door}/503.503/{token}")
    before = await environments(world)
    made = await client.interactions.create(
        agent="antigravity", agent_config=RECALL, input="Hi", environment="remote"
    )
    assert made.status == "completed"
    traffic = await world.back(f"traffic/{token}")
    assert len(traffic["bodies"]) == 3 and len(set(traffic["bodies"])) == 1
    assert await environments(world) - before == {made.environment_id}


@acceptance(69)
async def a_lost_call_is_repeated_and_one_run_is_made(world: World) -> None:
    token = unique("t")
    client = world.client(base_url=f"{world.place.door}/lost/{token}")
    before = await environments(world)
    body = {"agent": "antigravity", "agent_config": RECALL, "environment": "remote"}
    body["input"] = f"hold:{token}"
    # This SDK repeats what was refused, and leaves it to the caller to repeat what was lost.
    error = await raised(client.interactions.create, **body)
    assert type(error).__name__ == "APIConnectionError", repr(error)
    made = await client.interactions.create(**body)
    assert made.status == "completed" and token in made.output_text
    traffic = await world.back(f"traffic/{token}")
    assert (len(traffic["bodies"]), traffic["runs"]) == (2, 1)
    assert await environments(world) - before == {made.environment_id}


@acceptance(69)
async def a_call_that_timed_out_is_repeated_and_one_run_is_made(world: World) -> None:
    token = unique("t")
    client = world.client(base_url=f"{world.place.door}/pass/{token}")
    body = {"model": "gemini-flash-latest", "input": f"hold:{token}"}
    error = await raised(client.interactions.create, **body, timeout=2.0)
    assert type(error).__name__ == "APITimeoutError", repr(error)
    await world.left(token)
    made = await client.interactions.create(**body)
    assert made.status == "completed"
    traffic = await world.back(f"traffic/{token}")
    assert (len(traffic["bodies"]), traffic["runs"]) == (2, 1)


@acceptance(70)
async def a_limit_is_waited_for(world: World) -> None:
    token = unique("t")
    client = world.client(base_url=f"{world.place.door}/429-1/{token}")
    made = await client.interactions.create(model="gemini-3.7-flash", input="Hi")
    assert made.output_text == "Hi"
    first, second = (await world.back(f"traffic/{token}"))["at"]
    assert second - first >= 0.9


@acceptance(70, kinds=(BLOCKING, AIO))
async def no_more_attempts_than_are_asked_for(world: World) -> None:
    """The previous version counts otherwise."""
    token = unique("t")
    retry = {"attempts": 2, "initial_delay": 0.01}
    base = f"{world.place.door}/503.503.503/{token}"
    client = world.client(base_url=base, retry_options=retry)
    body = {"model": "gemini-3.7-flash", "input": "Hi"}
    await refused("InternalServerError", client.interactions.create, **body)
    assert len((await world.back(f"traffic/{token}"))["at"]) == 2


@acceptance(68)
async def answers_as_they_came(world: World) -> None:
    raw = world.sdk.interactions.with_raw_response
    answer = await raw.create(model="gemini-3.7-flash", input="Hi")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    made = answer.parse()
    made = await made if inspect.isawaitable(made) else made
    assert made.output_text == "Hi"
    direct: Any = world.sdk.real if world.blocking else world.sdk.real.aio
    opened = direct.interactions.with_streaming_response.create(
        model="gemini-3.7-flash", input="Hi", stream=True
    )
    if world.blocking:
        with opened as answer:
            lines = list(answer.iter_lines())
    else:
        async with opened as answer:
            lines = [line async for line in answer.iter_lines()]
    assert lines[0] == "id: 1" and "data: [DONE]" in lines


@acceptance(68)
async def headers_and_fields_of_the_callers_own(world: World) -> None:
    prompt = fence("say", "Extra.")
    made = await world.sdk.interactions.create(
        model="gemini-3.7-flash",
        input=prompt,
        timeout=60,
        extra_headers={"x-team": "ice", "Api-Revision": "2026-05-20"},
        extra_query={"pretty": "1"},
        extra_body={"labels": {"team": "ice"}},
    )
    assert made.output_text == "Extra." and made.labels == {"team": "ice"}


async def environments(world: World) -> set[str]:
    """The ids of all environments."""
    return {one.id for one in (await world.sdk.environments.list(page_size=1000)).environments}
