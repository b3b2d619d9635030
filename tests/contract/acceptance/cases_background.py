"""Background runs, cancelling, storing, deleting."""

from __future__ import annotations

import anyio

from tests.contract.acceptance.manifest import HTTP
from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import WAIT_SECONDS, World, fence, refused, unique

SLEEP = fence("bash", "sleep 600")


@acceptance(12, 18)
async def a_background_run_is_polled_and_followed_by_another(world: World) -> None:
    name = unique("made")
    begun = await world.create(fence("bash", f"echo 12 > {name}; echo done"), background=True)
    assert begun.status == "in_progress" and begun.id and begun.environment_id
    ended = await world.ended(begun.id)
    assert ended.status == "completed" and ended.output_text.strip() == "done"
    second = await world.create(
        fence("bash", f"cat {name}"),
        previous_interaction_id=begun.id,
        environment=begun.environment_id,
        background=True,
    )
    assert (await world.ended(second.id)).output_text.strip() == "12"


@acceptance(13, 17)
async def a_running_interaction_is_not_followed_but_cancelled(world: World) -> None:
    begun = await world.create(SLEEP, background=True)
    error = await refused(
        "BadRequestError", world.create, prompt="Go on.", previous_interaction_id=begun.id
    )
    assert error["code"] == "invalid_request" and "in progress" in error["message"]
    cancelled = await world.sdk.interactions.cancel(id=begun.id)
    assert cancelled.status == "cancelled"
    assert (await world.sdk.interactions.get(begun.id)).status == "cancelled"
    assert (await world.sdk.interactions.cancel(begun.id)).status == "cancelled"


@acceptance(14, kinds=(HTTP,))
async def the_documents_spelling_of_cancel(world: World) -> None:
    for version in ("v1", "v1beta"):
        begun = await world.create(SLEEP, background=True)
        url = f"{world.place.url}/{version}/interactions/{begun.id}:cancel"
        answer = await world.http("POST", url)
        assert answer["status"] == "cancelled"
        assert (await world.ended(begun.id)).status == "cancelled"


@acceptance(19)
async def what_is_not_stored_cannot_run_in_the_background(world: World) -> None:
    error = await refused(
        "BadRequestError", world.create, prompt="Hi", store=False, background=True
    )
    assert error["code"] == "invalid_request" and "store" in error["message"]


@acceptance(20)
async def what_is_not_stored_cannot_be_followed(world: World) -> None:
    made = await world.create("Hi", store=False)
    assert (made.status, made.output_text) == ("completed", "Hi")
    error = await refused(
        "NotFoundError", world.create, prompt="And?", previous_interaction_id=made.id
    )
    assert made.id in error["message"]


@acceptance(21)
async def deleting(world: World) -> None:
    made = await world.create("Hi")
    assert await world.sdk.interactions.delete(made.id) is None
    error = await refused("NotFoundError", world.sdk.interactions.get, id=made.id)
    assert error["code"] == "not_found" and made.id in error["message"]
    await refused("NotFoundError", world.sdk.interactions.delete, id=made.id)


@acceptance(22)
async def input_and_input_steps(world: World) -> None:
    made = await world.create(fence("say", "Well."))
    assert [step.type for step in made.steps] == ["model_output"] and made.input is None
    found = await world.sdk.interactions.get(made.id)
    assert [step.type for step in found.steps] == ["user_input", "model_output"]
    assert found.input is None and found.output_text == made.output_text
    full = await world.sdk.interactions.get(made.id, include_input=True)
    assert full.input == fence("say", "Well.")


@acceptance(13)
async def a_waiting_call_is_cancelled_from_elsewhere(world: World) -> None:
    """Who waits for a run is told when somebody else cancels it."""
    label = unique("case")
    ends: list[str] = []

    async def wait() -> None:
        ends.append((await world.create(SLEEP, labels={"case": label})).status)

    with anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await world.sdk.interactions.cancel(await world.labelled(label))
    assert ends == ["cancelled"]
