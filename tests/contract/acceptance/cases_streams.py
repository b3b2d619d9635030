"""Streams: their events, what they add up to, resuming them."""

from __future__ import annotations

from typing import Any

import anyio

from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import (
    WAIT_SECONDS,
    World,
    call,
    fence,
    gather,
    text_of,
    unique,
)

PROMPT = "\n".join(
    [
        fence("think", "First I work."),
        fence("python", "print('working')"),
        fence("say", "All is *well*, grüße 😀."),
    ]
)


def until(name: str) -> str:
    """Code that ends once a file is there, or after a minute."""
    return f"for i in $(seq 600); do [ -e {name} ] && echo over && break; sleep 0.1; done"


@acceptance(6, 7, 8, 9, 72)
async def a_stream_tells_the_whole_run(world: World) -> None:
    events = await gather(await world.create(PROMPT, stream=True))
    kinds = [event.event_type for event in events]
    assert kinds[0] == "interaction.created" and kinds[-1] == "interaction.completed"
    assert {"step.start", "step.delta", "step.stop"} <= set(kinds)
    assert len({event.event_id for event in events}) == len(events)

    cumulative = [e.usage.total_tokens for e in events if e.event_type == "step.stop" and e.usage]
    assert cumulative and cumulative == sorted(cumulative)
    ended = events[-1].interaction
    assert ended.status == "completed" and type(ended.usage.total_tokens) is int
    assert cumulative[-1] <= ended.usage.total_tokens

    kept = await world.sdk.interactions.get(ended.id)
    assert text_of(events) == kept.output_text == "All is *well*, grüße 😀."
    assert ended.environment_id == kept.environment_id == events[0].interaction.environment_id
    assert ended.usage.total_tokens == kept.usage.total_tokens


@acceptance(6)
async def steps_of_a_stream_are_whole(world: World) -> None:
    """Every step is started, added to and stopped once, in order, bare at first."""
    prompt = PROMPT + "\n" + call("list_dir", DirectoryPath="/workspace")
    events = await gather(await world.create(prompt, stream=True))
    open_index, seen = None, 0
    deltas: dict[int, list[Any]] = {}
    for event in events[1:-1]:
        if event.event_type == "step.start":
            assert open_index is None and event.index == seen
            assert not getattr(event.step, "content", None)
            open_index = event.index
        elif event.event_type == "step.delta":
            assert event.index == open_index
            deltas.setdefault(event.index, []).append(event.delta)
        elif event.event_type == "step.stop":
            assert event.index == open_index
            open_index, seen = None, seen + 1
    kept = await world.sdk.interactions.get(events[-1].interaction.id)
    assert seen == len(kept.steps) - 1
    kinds = {delta.type for found in deltas.values() for delta in found}
    assert {"thought_summary", "text", "code_execution_call", "code_execution_result"} <= kinds
    assert {"arguments_delta", "function_result"} <= kinds


@acceptance(15)
async def a_running_interaction_is_followed_from_the_start(world: World) -> None:
    go = unique("go")
    prompt = fence("say", "Before.") + "\n" + fence("bash", until(go))
    begun = await world.create(prompt, background=True)
    seen: list[Any] = []
    with anyio.fail_after(WAIT_SECONDS):
        async for event in await world.sdk.interactions.get(begun.id, stream=True):
            seen.append(event)
            if event.event_type == "step.start" and event.step.type == "code_execution_call":
                assert (await world.sdk.interactions.get(begun.id)).status == "in_progress"
                await world.put(go)
    assert seen[0].event_type == "interaction.created"
    assert seen[0].interaction.status == "in_progress"
    assert seen[-1].interaction.status == "completed"
    assert "over" in (await world.sdk.interactions.get(begun.id)).output_text


@acceptance(16)
async def a_stream_is_resumed_after_any_event(world: World) -> None:
    events = await gather(await world.create(PROMPT, stream=True))
    ids = [event.event_id for event in events]
    interaction = events[-1].interaction.id
    for number, last in enumerate(ids):
        again = await gather(
            await world.sdk.interactions.get(interaction, stream=True, last_event_id=last)
        )
        assert [one.event_id for one in again] == (ids[number + 1 :] or ids[-1:])
        assert again[-1].event_type == "interaction.completed"


@acceptance(71)
async def a_dropped_stream_stops_nothing(world: World) -> None:
    go = unique("go")
    prompt = fence("say", "Before.") + "\n" + fence("bash", until(go))
    environment = {"type": "remote", "environment_id": world.place.environment}
    stream = await world.create(
        prompt, environment=environment, stream=True, background=True, store=True
    )
    first: list[Any] = []
    with anyio.fail_after(WAIT_SECONDS):
        async for event in stream:
            first.append(event)
            if event.event_type == "step.stop":
                break
    await stream.close()
    await world.put(go)
    rest = await gather(
        await world.sdk.interactions.get(
            first[0].interaction.id, stream=True, last_event_id=first[-1].event_id
        )
    )
    ids = [event.event_id for event in [*first, *rest]]
    whole = await gather(await world.sdk.interactions.get(first[0].interaction.id, stream=True))
    assert ids == [event.event_id for event in whole]
    assert rest[-1].interaction.status == "completed"


@acceptance(71)
async def a_new_environment_streamed_in_the_background(world: World) -> None:
    stream = await world.create(
        fence("say", "Made."),
        environment={"type": "remote"},
        stream=True,
        background=True,
        store=True,
    )
    events = await gather(stream)
    kept = await world.sdk.interactions.get(events[0].interaction.id)
    assert kept.status == "completed" and kept.environment_id not in (
        None,
        world.place.environment,
    )
