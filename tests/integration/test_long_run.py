"""Long runs in a real sandbox: compaction, a budget, an answer by a schema."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.support.sandlot import (
    AGENT,
    INLINE,
    RunningController,
    fence,
    results,
    running_controller,
)

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

CONFIG = """
sandbox: {{image: {image}}}
models: {{context_tokens: {{script/inline: 9000}}}}
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, image: str) -> Generator[RunningController]:
    folder: Path = tmp_path_factory.mktemp("small")
    with running_controller(folder, CONFIG.format(image=image)) as controller:
        yield controller


def test_a_run_longer_than_the_context_gets_to_its_end(small: RunningController) -> None:
    cells = [
        f"total = {n} + globals().get('total', 0)\nprint('x' * 4000, total)" for n in range(12)
    ]
    run = small.run(fence("python", *cells, "print('the total is', total)"))

    assert run.status == "completed" and run.output_text == "the total is 66\n"
    assert len(results(run)) == 13, "the log keeps every step"
    summaries = [step for step in run.steps if getattr(step, "compaction", None)]
    assert summaries and all(step.type == "thought" for step in summaries)
    assert run.usage is not None and run.usage.total_tokens > 0

    again = small.client.interactions.create(
        agent=AGENT,
        agent_config=INLINE,
        input=fence("python", "print(total + 1)"),
        previous_interaction_id=run.id,
        environment=run.environment_id,
    )
    assert again.output_text == "67\n"


def test_a_budget_ends_a_run_and_continue_goes_on(small: RunningController) -> None:
    prompt = "word " * 300 + "\n" + fence("python", "print('one')", "print('two')")
    config = {**INLINE, "max_total_tokens": 400}
    ended = small.client.interactions.create(
        agent=AGENT, agent_config=config, input=prompt, environment="remote"
    )
    assert ended.status == "incomplete" and ended.usage is not None
    assert ended.usage.total_tokens >= 400 and results(ended) == ["one\n"]
    again = small.client.interactions.create(
        agent=AGENT,
        agent_config=INLINE,
        input="continue",
        previous_interaction_id=ended.id,
        environment=ended.environment_id,
    )
    assert again.status == "completed" and again.output_text == "two\n"


def test_an_answer_by_a_schema_is_repaired_beside_tools(small: RunningController) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wrong, right = json.dumps({"n": "six"}), json.dumps({"n": 6})
    run = small.client.interactions.create(
        model="script/inline",
        tools=[{"type": "code_execution"}],
        input="\n".join([fence("python", "print(2 * 3)"), fence("answer", wrong, right)]),
        response_format={"type": "text", "mime_type": "application/json", "schema": schema},
    )
    assert run.status == "completed" and results(run) == ["6\n"]
    assert json.loads(run.output_text or "") == {"n": 6}
    assert "six" not in str(run.steps)
