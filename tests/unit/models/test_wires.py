"""What the translations to the providers' wires decide, beyond what the contract tests send."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from runtime.errors import ModelRefused
from runtime.models import anthropic_wire, chat_wire, google_wire, openai_wire
from runtime.models.media import Media, media_of
from runtime.models.schemas import is_strict, plain, told
from runtime.models.transcript import NO_RESULT, ModelTurn, Thought, UserTurn, transcript
from runtime.schema.content import (
    AudioContent,
    Content,
    DocumentContent,
    ImageContent,
    TextContent,
    VideoContent,
)
from runtime.schema.model import FunctionDeclaration, Generation, ModelRequest, ToolChoice
from runtime.schema.steps import Step
from tests.unit.models.stories import ask, call, result, said, thought, user

PNG = "iVBORw0KGgoAAAA="
TOOL = FunctionDeclaration(name="f")
OTHER = FunctionDeclaration(name="g")


def sent(wire: str, request: ModelRequest, **options: Any) -> str:
    """The whole request as text."""
    models = {
        "google": (google_wire.request_of, "gemini-3.8-flash"),
        "openai": (openai_wire.body, "gpt-5.6"),
        "anthropic": (anthropic_wire.body, "claude-opus-5"),
        "chat": (chat_wire.body, "qwen3"),
    }
    build, model = models[wire]
    return json.dumps(build(request, model, **options), default=_as_base64)


def _as_base64(value: Any) -> str:
    assert isinstance(value, bytes)
    return base64.b64encode(value).decode()


ALL = ["google", "openai", "anthropic", "chat"]


def test_a_history_becomes_turns() -> None:
    history = [
        user("a"),
        user("b"),
        thought("t", "mine:x"),
        said("s"),
        call("1"),
        call("2"),
        result("2", "two"),
        result("1", "one"),
        call("3"),
        result("9", "nobody asked"),
        user("c"),
        said("end"),
    ]
    first, answer, results, again, last, end = transcript(history, "mine")

    assert isinstance(first, UserTurn)
    assert [part.text for part in first.content if isinstance(part, TextContent)] == ["a", "b"]
    assert isinstance(answer, ModelTurn)
    assert answer.items[0] == Thought("t", "x")
    assert [made.id for made in answer.calls] == ["1", "2"]
    assert isinstance(results, UserTurn)
    assert [(a.call.id, a.result.text) for a in results.answers] == [("1", "one"), ("2", "two")]
    assert isinstance(again, ModelTurn)
    assert isinstance(last, UserTurn)
    assert [(a.result.text, a.result.is_error) for a in last.answers] == [(NO_RESULT, True)]
    assert len(last.content) == 1
    assert isinstance(end, ModelTurn)


@pytest.mark.parametrize(
    ("signature", "kept"),
    [("mine:a:b", "a:b"), ("other:a", None), ("mine", None), (None, None), ("mine:", "")],
)
def test_only_the_own_signature_is_kept(signature: str | None, kept: str | None) -> None:
    (turn,) = transcript([thought("t", signature)], "mine")
    assert isinstance(turn, ModelTurn)
    assert turn.items == [Thought("t", kept)]


@pytest.mark.parametrize("wire", ALL)
def test_a_thought_of_another_provider_is_not_sent(wire: str) -> None:
    history = [user("a"), thought("SECRET-THOUGHT", "another:PROOF"), call("1"), result("1")]
    text = sent(wire, ask(*history))
    assert "SECRET-THOUGHT" not in text
    assert "PROOF" not in text


@pytest.mark.parametrize("wire", ALL)
def test_a_picture_is_sent_to_models_that_see_and_noted_to_others(wire: str) -> None:
    request = ask(user("look", ImageContent(data=PNG)))
    seeing, blind = sent(wire, request), sent(wire, request, vision=False)

    assert PNG in seeing
    assert "image/png" in seeing
    assert PNG not in blind
    assert "[image (image/png) left out" in blind


@pytest.mark.parametrize("wire", ALL)
def test_a_picture_by_its_address(wire: str) -> None:
    picture = ImageContent(uri="https://example.org/a.png")
    assert "https://example.org/a.png" in sent(wire, ask(user(picture)))


PDF = DocumentContent(data="JVBERg==", mime_type="application/pdf")
SOUND = AudioContent(data="UklGRg==", mime_type="audio/wav")
FILM = VideoContent(uri="https://example.org/a.mp4")


@pytest.mark.parametrize(
    ("wire", "medium", "taken"),
    [
        ("google", PDF, True),
        ("google", SOUND, True),
        ("google", FILM, True),
        ("openai", PDF, True),
        ("openai", SOUND, True),
        ("openai", FILM, False),
        ("anthropic", PDF, True),
        ("anthropic", SOUND, False),
        ("anthropic", FILM, False),
        ("chat", PDF, False),
        ("chat", SOUND, True),
        ("chat", FILM, False),
    ],
)
def test_which_media_a_wire_takes(wire: str, medium: Content, taken: bool) -> None:
    request = ask(user("x", medium))
    if taken:
        assert str(getattr(medium, "data", None) or getattr(medium, "uri", "")) in sent(
            wire, request
        )
        return
    with pytest.raises(ModelRefused, match=f"cannot be given {medium.type}"):
        sent(wire, request)


@pytest.mark.parametrize("wire", ["openai", "anthropic", "chat"])
def test_a_text_document_is_sent_as_text(wire: str) -> None:
    text = base64.b64encode(b"name,age\nada,36").decode()
    document = DocumentContent(data=text, mime_type="text/csv")
    assert "name,age\\nada,36" in sent(wire, ask(user(document)))
    with pytest.raises(ModelRefused, match="UTF-8"):
        sent(wire, ask(user(DocumentContent(data="/w==", mime_type="text/csv"))))


@pytest.mark.parametrize("wire", ALL)
def test_a_medium_that_holds_nothing(wire: str) -> None:
    with pytest.raises(ModelRefused, match="neither `data` nor `uri`"):
        sent(wire, ask(user(ImageContent())))


@pytest.mark.parametrize(
    ("part", "media"),
    [
        (ImageContent(data="/9j/AA=="), Media("image", "image/jpeg", data="/9j/AA==")),
        (ImageContent(data="R0lGAA=="), Media("image", "image/gif", data="R0lGAA==")),
        (ImageContent(data="xx", mime_type="image/x"), Media("image", "image/x", data="xx")),
        (ImageContent(uri="data:image/webp;base64,xx"), Media("image", "image/webp", data="xx")),
        (DocumentContent(uri="gs://b/a"), Media("document", "application/pdf", uri="gs://b/a")),
    ],
)
def test_what_medium_it_is(part: ImageContent, media: Media) -> None:
    assert media_of(part) == media


@pytest.mark.parametrize(
    ("wire", "setting", "taken"),
    [
        ("google", {"seed": 4711}, True),
        ("google", {"temperature": 0.4711}, True),
        ("openai", {"seed": 4711}, False),
        ("openai", {"stop_sequences": ["4711"]}, False),
        ("openai", {"temperature": 0.4711}, True),
        ("anthropic", {"seed": 4711}, False),
        ("anthropic", {"temperature": 0.4711}, False),
        ("anthropic", {"top_p": 0.4711}, False),
        ("anthropic", {"stop_sequences": ["4711"]}, True),
        ("chat", {"seed": 4711}, True),
        ("chat", {"top_p": 0.4711}, True),
        ("chat", {"stop_sequences": ["4711"]}, True),
    ],
)
def test_a_setting_is_sent_or_refused_by_its_name(
    wire: str, setting: dict[str, Any], taken: bool
) -> None:
    request = ask(user("x"), generation=Generation(**setting))
    if taken:
        assert "4711" in sent(wire, request)
        return
    with pytest.raises(ModelRefused, match=next(iter(setting))):
        sent(wire, request)


def _without_cache_marks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_cache_marks(v) for k, v in value.items() if k != "cache_control"}
    return [_without_cache_marks(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("wire", ALL)
def test_each_call_of_a_loop_begins_with_the_bytes_of_the_one_before(wire: str) -> None:
    history: list[Step] = [user("go", ImageContent(data=PNG))]
    before: list[str] = []
    for turn in range(4):
        request = ask(*history, system_instruction="s", tools=[TOOL, OTHER])
        body = _without_cache_marks(json.loads(sent(wire, request)))
        listed = body.get("messages") or body.get("input") or body["contents"]
        messages = [json.dumps(message) for message in listed]
        assert messages[: len(before)] == before
        assert len(messages) > len(before)
        before = messages
        history += [thought("t", f"anthropic:{turn}"), call(f"c{turn}"), result(f"c{turn}")]


CHOICES = [
    (ToolChoice(), "AUTO", "auto", "auto", None),
    (ToolChoice(mode="any"), "ANY", "required", "any", "required"),
    (ToolChoice(mode="none"), "NONE", "none", "none", "none"),
    (ToolChoice(names=[]), "NONE", "none", "none", "none"),
    (ToolChoice(mode="validated"), "VALIDATED", "auto", "auto", None),
]


@pytest.mark.parametrize(("choice", "google", "openai", "anthropic", "chat"), CHOICES)
def test_tool_choice(
    choice: ToolChoice, google: str, openai: str, anthropic: str, chat: str | None
) -> None:
    request = ask(user("x"), tools=[TOOL], tool_choice=choice)
    config = google_wire.request_of(request, "gemini-3.8-flash")["config"]
    assert config["tool_config"] == {"function_calling_config": {"mode": google}}
    assert openai_wire.body(request, "m")["tool_choice"] == openai
    assert anthropic_wire.body(request, "m")["tool_choice"] == {"type": anthropic}
    assert chat_wire.body(request, "m").get("tool_choice") == chat


@pytest.mark.parametrize(("mode", "google"), [("auto", "VALIDATED"), ("any", "ANY")])
def test_a_choice_of_some_tools(mode: Any, google: str) -> None:
    third = FunctionDeclaration(name="h")
    request = ask(
        user("x"),
        tools=[TOOL, OTHER, third],
        tool_choice=ToolChoice(mode=mode, names=["f", "g"]),
    )
    config = google_wire.request_of(request, "gemini-3.8-flash")["config"]["tool_config"]
    assert config["function_calling_config"] == {
        "mode": google,
        "allowed_function_names": ["f", "g"],
    }
    openai = openai_wire.body(request, "m")["tool_choice"]
    assert [tool["name"] for tool in openai["tools"]] == ["f", "g"]
    for body in (anthropic_wire.body(request, "m"), chat_wire.body(request, "m")):
        assert '"h"' not in json.dumps(body)


@pytest.mark.parametrize("mode", ["auto", "any"])
def test_a_choice_of_one_tool(mode: Any) -> None:
    request = ask(user("x"), tools=[TOOL, OTHER], tool_choice=ToolChoice(mode=mode, names=["f"]))
    body = anthropic_wire.body(request, "m")
    if mode == "any":
        assert body["tool_choice"] == {"type": "tool", "name": "f"}
        assert len(body["tools"]) == 2
    else:
        assert body["tool_choice"] == {"type": "auto"}
        assert [tool["name"] for tool in body["tools"]] == ["f"]


@pytest.mark.parametrize(
    ("model", "reasons"),
    [
        ("gpt-5.6", True),
        ("gpt-5", True),
        ("o4-mini", True),
        ("gpt-6-astra", True),
        ("gpt-45", True),
        ("gpt-4o", False),
        ("gpt-4.1-mini", False),
        ("gpt-3.5-turbo", False),
        ("chatgpt-4o-latest", False),
        ("gpt-5-chat-latest", False),
    ],
)
def test_which_openai_models_reason(model: str, reasons: bool) -> None:
    body = openai_wire.body(ask(user("x")), model)
    assert ("include" in body) is reasons
    thinking = ask(user("x"), generation=Generation(thinking_level="low"))
    if reasons:
        assert openai_wire.body(thinking, model)["reasoning"] == {"effort": "low"}
        return
    with pytest.raises(ModelRefused, match="thinking_level"):
        openai_wire.body(thinking, model)


@pytest.mark.parametrize(
    ("model", "generation"),
    [
        ("gemini-2.5-pro", 2),
        ("models/gemini-3-pro", 3),
        ("gemini-10", 10),
        ("gemini-flash-latest", 99),
        ("gemma-3-27b", 2),
    ],
)
def test_the_generation_of_a_gemini(model: str, generation: int) -> None:
    assert google_wire.generation_of(model) == generation


def test_reasoning_is_given_back_only_since_the_latest_input() -> None:
    proof = "openai_compatible:reasoning"
    history = [user("a"), thought("OLD", proof), call("1"), result("1"), said("b"), user("c")]
    history += [thought("NEW", proof), call("2"), result("2")]
    messages = chat_wire.body(ask(*history), "m")["messages"]

    assert [m.get("reasoning") for m in messages if m["role"] == "assistant"] == [None, None, "NEW"]


def test_a_signature_that_is_no_base64_is_left_out() -> None:
    history = [user("a"), thought("", "google:!"), call("1"), result("1")]
    contents = google_wire.request_of(ask(*history), "gemini-2.5-pro")["contents"]
    assert "thought_signature" not in contents[1]["parts"][0]


OBJECT = {"type": "object", "properties": {"a": {"type": "string"}}}
STRICT = {**OBJECT, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (STRICT, True),
        (OBJECT, False),
        ({**OBJECT, "additionalProperties": False}, False),
        ({**OBJECT, "required": ["a"]}, False),
        ({"type": "array", "items": OBJECT}, False),
        ({"type": "object", "required": [], "allOf": [STRICT], **STRICT}, False),
        ({"type": "array", "items": STRICT}, False),
        ({"anyOf": [STRICT, {"type": ["object", "null"]}]}, False),
        ({"$defs": {"x": OBJECT}, "$ref": "#/$defs/x"}, False),
        ({"type": "string"}, False),
    ],
)
def test_which_schemas_are_strict(schema: dict[str, Any], strict: bool) -> None:
    assert is_strict(schema) is strict


DEEP = {"type": "object", "properties": {"x": {"oneOf": [OBJECT, {"type": "null"}]}}}


def test_a_schema_in_plain_keywords_is_closed_and_tells_its_bounds() -> None:
    made = plain({**DEEP, "required": ["x"]})
    assert made is not None and made["additionalProperties"] is False
    assert made["properties"]["x"]["anyOf"][0]["additionalProperties"] is False
    assert "additionalProperties" not in DEEP
    bounded = plain({"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2})
    assert bounded == {
        "type": "array",
        "items": {"type": "integer", "description": '{"minimum": 3}'},
        "description": '{"minItems": 2}',
    }
    named = {"$defs": {"x": OBJECT}, "type": "array", "items": {"$ref": "#/$defs/x"}}
    assert plain(named) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {**OBJECT, "additionalProperties": True},
        {**OBJECT, "additionalProperties": {"type": "string"}},
        {"$defs": {"x": {"type": "array", "items": {"$ref": "#/$defs/x"}}}, "$ref": "#/$defs/x"},
        {"$ref": "#"},
        {"type": "array", "items": {"not": OBJECT}},
    ],
)
def test_what_cannot_be_said_in_plain_keywords(schema: dict[str, Any]) -> None:
    assert plain(schema) is None


def test_references_that_multiply_cost_little() -> None:
    names = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)}
    schema = {"$defs": {**names, "d60": OBJECT}, "anyOf": [{"$ref": "#/$defs/d0"}]}
    assert plain(schema) is not None


@pytest.mark.parametrize("wire", ["google", "openai", "anthropic", "chat"])
def test_a_schema_in_words_goes_behind_the_instruction(wire: str) -> None:
    request = ask(user("a")).model_copy(
        update={"system_instruction": "Be brief.", "response_schema": OBJECT}
    )
    text = sent(wire, told(request))
    assert json.dumps(json.dumps(OBJECT))[1:-1] in text
    assert text.index("Be brief.") < text.index("Form of the answer")
    for native in ("response_json_schema", "json_schema", "output_config", "response_format"):
        assert native not in text
