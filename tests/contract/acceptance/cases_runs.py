"""Running agents and models: the first samples, chains, inputs, models, limits."""

from __future__ import annotations

from tests.contract.acceptance.registry import acceptance
from tests.contract.acceptance.world import (
    AGENT,
    INLINE,
    RECALL,
    World,
    call,
    fence,
    refused,
    unique,
)

FIBONACCI = """numbers = [0, 1]
while len(numbers) < 20: numbers.append(numbers[-1] + numbers[-2])
open("fibonacci.txt", "w").write(" ".join(map(str, numbers)))
print(open("fibonacci.txt").read())"""
PLOT = """import matplotlib.pyplot as plt
plt.plot([int(word) for word in open("fibonacci.txt").read().split()])
plt.savefig("chart.png")
import os
print("points:", len(plt.gca().lines[0].get_xdata()), os.path.getsize("chart.png") > 1000)"""
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8"
    "z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


@acceptance(1, 3, 5)
async def the_quickstart_and_its_follow_ups(world: World) -> None:
    first = await world.create(fence("python", FIBONACCI), environment="remote")
    assert first.status == "completed" and first.id and first.environment_id
    assert "4181" in first.output_text
    kinds = [step.type for step in first.steps]
    assert kinds == ["code_execution_call", "code_execution_result", "model_output"]
    assert first.steps[0].arguments.language == "python" and not first.steps[1].is_error

    second = await world.create(
        fence("python", PLOT), previous_interaction_id=first.id, environment=first.environment_id
    )
    assert "points: 20 True" in second.output_text
    assert second.environment_id == first.environment_id
    assert second.previous_interaction_id == first.id

    look = call("list_dir", DirectoryPath="/workspace")
    other = await world.create(look, previous_interaction_id=second.id, environment="remote")
    assert other.environment_id not in (None, first.environment_id)
    assert other.status == "completed" and "fibonacci" not in other.output_text


@acceptance(5)
async def a_chat_goes_on_in_a_new_environment(world: World) -> None:
    first = await world.create("I am Ada.", agent_config=RECALL)
    second = await world.create(
        "Who am I?",
        agent_config=RECALL,
        previous_interaction_id=first.id,
        environment="remote",
    )
    assert "I am Ada. | Who am I?" in second.output_text
    assert second.environment_id != first.environment_id


@acceptance(2)
async def the_agent_of_may(world: World) -> None:
    made = await world.create(fence("python", "print(6 * 7)"), agent="antigravity-preview-05-2026")
    assert made.status == "completed" and made.output_text.strip() == "42"
    assert made.agent == "antigravity-preview-05-2026"


@acceptance(4)
async def an_environment_keeps_files_and_no_chat(world: World) -> None:
    name = unique("knowledge")
    write = fence("python", f"open('{name}.md', 'w').write('The name is Grace.')")
    first = await world.create(write)
    read = await world.create(call("view_file", AbsolutePath=f"/workspace/{name}.md"))
    assert read.environment_id == first.environment_id
    assert "Grace" in read.output_text
    asked = await world.create("What did I say?", agent_config=RECALL)
    assert "What did I say?" in asked.output_text and name not in asked.output_text


@acceptance(10)
async def a_model_answers(world: World) -> None:
    prompt = fence("say", "A short joke.")
    made = await world.sdk.interactions.create(model="gemini-3.7-flash", input=prompt)
    assert made.status == "completed" and made.output_text == "A short joke."
    assert made.model == "gemini-3.7-flash" and made.environment_id is None


@acceptance(11)
async def a_model_remembers_the_chat(world: World) -> None:
    first = await world.sdk.interactions.create(model="gemini-flash-latest", input="I am Ada.")
    second = await world.sdk.interactions.create(
        model="gemini-flash-latest", input="Who am I?", previous_interaction_id=first.id
    )
    branch = await world.sdk.interactions.create(
        model="gemini-flash-latest", input="And now?", previous_interaction_id=first.id
    )
    assert second.output_text.strip() == "I am Ada. | Who am I?"
    assert branch.output_text.strip() == "I am Ada. | And now?"


@acceptance(24)
async def a_picture_reaches_the_model(world: World) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "data": PIXEL, "mime_type": "image/png"},
    ]
    made = await world.create(parts, agent_config=RECALL)
    assert made.status == "completed"
    assert "What is this? | [picture]" in made.output_text


@acceptance(31)
async def the_model_of_an_agent_is_chosen(world: World) -> None:
    config = {"type": "antigravity", "model": "gemini-3.5-flash-lite"}
    made = await world.create(fence("say", "Here."), agent_config=config)
    found = await world.sdk.interactions.get(made.id)
    assert made.output_text == "Here."
    assert made.agent_config.model == found.agent_config.model == "gemini-3.5-flash-lite"


@acceptance(32)
async def a_budget_ends_a_run_and_it_is_continued(world: World) -> None:
    config = {**INLINE, "max_total_tokens": 200}
    prompt = "word " * 300 + "\n" + fence("python", "print('one')", "print('two')")
    ended = await world.create(prompt, agent_config=config)
    assert ended.status == "incomplete"
    assert ended.usage.total_tokens >= 200
    assert (await world.sdk.interactions.get(ended.id)).status == "incomplete"
    again = await world.create("continue", previous_interaction_id=ended.id)
    assert (again.status, again.output_text.strip()) == ("completed", "two")


@acceptance(33)
async def an_agent_takes_no_generation_config(world: World) -> None:
    for body in ({"generation_config": {"temperature": 0.5}}, {"temperature": 0.5}):
        error = await refused("BadRequestError", world.create, prompt="Hi", extra_body=body)
        assert error["code"] == "invalid_request"
        assert next(iter(body)) in error["message"]


@acceptance(56)
async def an_environment_that_is_not_there(world: World) -> None:
    error = await refused("NotFoundError", world.create, prompt="Hi", environment="0" * 32)
    assert error["code"] == "not_found" and "0" * 32 in error["message"]
    gone = await world.create("Hi", environment="remote")
    await world.sdk.environments.delete(id=gone.environment_id)
    error = await refused(
        "NotFoundError", world.create, prompt="Hi", environment=gone.environment_id
    )
    assert error["code"] == "not_found"


@acceptance(66, 73)
async def every_form_of_input(world: World) -> None:
    text = {"type": "text", "text": "One."}
    step = {"type": "user_input", "content": [text]}
    said = {"type": "model_output", "content": [{"type": "text", "text": "Well."}]}
    forms = ["One.", text, [text], [step], [step, said, step]]
    for form in forms:
        made = await world.create(form)
        assert (made.status, made.output_text) == ("completed", "One."), form
        kept = await world.sdk.interactions.get(made.id)
        assert kept.steps[0].type == "user_input"
    two = await world.create([text, {"type": "text", "text": "Two."}], agent_config=RECALL)
    assert "One.\nTwo." in two.output_text


@acceptance(66, 73)
async def a_conversation_that_the_caller_keeps(world: World) -> None:
    """Steps of an answer, as the SDK gave them, are the next call's history."""
    prompt = "\n".join(
        [
            fence("think", "Look."),
            fence("python", "print('one')"),
            call("list_dir", DirectoryPath="/workspace"),
            fence("say", "Seen."),
        ]
    )
    first = await world.create(prompt, store=False)
    said = {"type": "user_input", "content": [{"type": "text", "text": "Begin."}]}
    asked = {"type": "user_input", "content": [{"type": "text", "text": "And?"}]}
    plain = [step.model_dump(exclude_none=True) for step in first.steps]
    for steps in (first.steps, plain):
        made = await world.sdk.interactions.create(
            model="gemini-flash-latest", input=[said, *steps, asked], store=False
        )
        assert made.output_text.strip() == "Begin. | And?"


@acceptance(73)
async def the_typed_request(world: World) -> None:
    """Classes of the SDK in place of dicts."""
    from google.genai import interactions as typed

    step = typed.UserInputStep(content=[typed.TextContent(text=fence("say", "Typed."))])
    made = await world.sdk.interactions.create(
        agent=AGENT,
        input=[step],
        environment=typed.Environment(environment_id=world.place.environment),
        agent_config=typed.AntigravityAgentConfig(model="script/inline"),
        tools=[typed.CodeExecution()],
    )
    assert (made.status, made.output_text) == ("completed", "Typed.")
    assert made.environment_id == world.place.environment
