from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import ModelRefused
from runtime.models import anthropic_wire
from runtime.schema.model import FunctionDeclaration, Generation
from tests.unit.models.stories import ask, call, result, user

TOOL = FunctionDeclaration(name="f")
OTHER = FunctionDeclaration(name="g")


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("claude-opus-4-7", (4, 7)),
        ("claude-sonnet-5", (5, 0)),
        ("claude-fable-5-2", (5, 2)),
        ("claude-3-7-sonnet-20250219", (3, 7)),
        ("claude-sonnet-4-20250514", (4, 0)),
        ("claude-haiku-4-5-20251001", (4, 5)),
        ("claude-opus-4.6", (4, 6)),
        ("anthropic/claude-opus-4.6", (4, 6)),
        ("claude-mythos-preview", (99, 0)),
        ("kimi-k2", (4, 5)),
    ],
)
def test_the_version_in_a_name(model: str, version: tuple[int, int]) -> None:
    assert anthropic_wire.version_of(model) == version


@pytest.mark.parametrize(
    ("model", "level", "thinking", "effort"),
    [
        ("claude-opus-5", "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
        ("claude-opus-5", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive", "display": "summarized"}, "max"),
        ("claude-opus-4-6", "medium", {"type": "adaptive", "display": "summarized"}, "medium"),
        ("claude-haiku-4-5", "medium", {"type": "enabled", "budget_tokens": 8192}, None),
        ("claude-haiku-4-5", "xhigh", {"type": "enabled", "budget_tokens": 16_000}, None),
        ("claude-opus-5", None, None, None),
    ],
)
def test_how_anthropic_thinks(
    model: str, level: Any, thinking: dict[str, Any] | None, effort: str | None
) -> None:
    request = ask(user("x"), generation=Generation(thinking_level=level))
    body = anthropic_wire.body(request, model)

    assert body.get("thinking") == thinking
    assert body.get("output_config") == ({"effort": effort} if effort else None)
    assert body["max_tokens"] == 32_000


def test_thoughts_that_anthropic_is_not_to_show() -> None:
    hidden = Generation(thinking_level="low", thinking_summaries="none")
    for model in ("claude-opus-5", "claude-haiku-4-5"):
        body = anthropic_wire.body(ask(user("x"), generation=hidden), model)
        assert body["thinking"]["display"] == "omitted"
    shown = Generation(thinking_summaries="auto")
    body = anthropic_wire.body(ask(user("x"), generation=shown), "claude-opus-5")
    assert body["thinking"] == {"type": "adaptive", "display": "summarized"}


def test_too_little_room_to_think() -> None:
    request = ask(user("x"), generation=Generation(thinking_level="high", max_output_tokens=1500))
    with pytest.raises(ModelRefused, match=r"max_output_tokens.*2048"):
        anthropic_wire.body(request, "claude-haiku-4-5")


def test_older_anthropic_models_sample_but_not_while_thinking() -> None:
    sampling = Generation(temperature=0.1)
    body = anthropic_wire.body(ask(user("x"), generation=sampling), "claude-haiku-4-5")
    assert body["extra_body"] == {"temperature": 0.1}
    both = Generation(temperature=0.1, thinking_level="low")
    with pytest.raises(ModelRefused, match=r"temperature.*thinking_level"):
        anthropic_wire.body(ask(user("x"), generation=both), "claude-haiku-4-5")


def test_where_anthropic_is_asked_to_cache() -> None:
    history = [user("go"), call("1"), result("1"), call("2"), result("2"), call("3"), result("3")]
    body = anthropic_wire.body(
        ask(*history, system_instruction="s", tools=[TOOL, OTHER]), "claude-opus-5"
    )
    marked = [
        *(tool["name"] for tool in body["tools"] if "cache_control" in tool),
        *("system" for block in body["system"] if "cache_control" in block),
        *(
            index
            for index, message in enumerate(body["messages"])
            for block in message["content"]
            if "cache_control" in block
        ),
    ]
    assert marked == ["g", "system", 4, 6]


def test_tools_of_the_history_are_declared_to_anthropic_when_none_are_given() -> None:
    body = anthropic_wire.body(ask(user("x"), call("1", "old"), result("1")), "claude-opus-5")
    assert [tool["name"] for tool in body["tools"]] == ["old"]
    assert body["tool_choice"] == {"type": "none"}


def test_ids_of_other_providers_are_spelled_as_anthropic_likes_them() -> None:
    body = anthropic_wire.body(
        ask(user("x"), call("functions.f:0"), result("functions.f:0")), "claude-opus-5"
    )
    assert body["messages"][1]["content"][0]["id"] == "functions_f_0"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "functions_f_0"
