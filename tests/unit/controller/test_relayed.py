"""Results of tools that the controller runs: no larger than what a guest is sent."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.controller.plan import RunPlan
from runtime.controller.ports import NoRelayedTools
from runtime.controller.relayed import MAX_RESULT_CHARS, in_time
from runtime.errors import ToolFault
from runtime.schema.protocol import RelayResult, RunSpec
from runtime.schema.steps import ToolResult, text_result

pytestmark = pytest.mark.anyio
PLAN = RunPlan(interaction_id="r", spec=RunSpec(run_id="r", model="m", history=[]))
MIB = 1024**2
ROOM = 200
"""For the JSON around a text."""


class Answers(NoRelayedTools):
    def __init__(self, result: ToolResult) -> None:
        self._result = result

    async def call(self, interaction_id: str, name: str, arguments: dict[str, Any]) -> ToolResult:
        return self._result


async def called(result: ToolResult) -> ToolResult:
    return await in_time(Answers(result), PLAN, "dump", {})


async def test_the_largest_result_is_given_on_and_fits_a_frame() -> None:
    result = await called(text_result("x" * (MAX_RESULT_CHARS - ROOM)))
    content = [part.model_dump() for part in result.content]
    assert len(RelayResult(call_id="c", content=content).model_dump_json()) < 64 * MIB


@pytest.mark.parametrize(
    "result",
    [
        text_result("x" * (MAX_RESULT_CHARS + 1)),
        ToolResult(text_result("x" * 9 * MIB).content, False, {"rows": ["y" * 9 * MIB]}),
        ToolResult([], False, ["z" * 17 * MIB]),
    ],
    ids=["text", "text-and-value", "value"],
)
async def test_a_result_above_the_limit_is_left_out_and_the_model_is_told(
    result: ToolResult,
) -> None:
    with pytest.raises(ToolFault, match=r"result of dump was left out: it takes 1\d MiB.*16 MiB"):
        await called(result)
