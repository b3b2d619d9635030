"""The four wires as a server speaks them: canned answers, and how each reports an error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import SecretStr

from runtime.models.connection import Patience
from runtime.models.delivery import RemoteModel, RetryPolicy, Terms
from runtime.models.port import ModelInfo
from runtime.models.registry import KINDS
from runtime.schema.content import TextContent
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.settings import ProviderSettings
from runtime.schema.steps import Step, UserInputStep

KEY = "secret-key-0123456789"

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wire:
    kind: str
    model: str
    base_path: str
    """What a `base_url` ends with."""
    path: str
    text: Callable[[str], list[Event]]
    """The events of an answer that is this text."""
    error: Callable[[str], Any]
    """The body of an error with this message."""
    call: Callable[[str, str, Event], list[Event]]
    """The events of an answer that is one call: its id, name and arguments."""
    named: bool = False
    """Whether events carry their type on a line of their own."""
    key_header: str = "authorization"


def gemini_chunk(*parts: Event, **candidate: Any) -> Event:
    return {
        "candidates": [{"content": {"role": "model", "parts": list(parts)}, **candidate}],
        "usageMetadata": {
            "promptTokenCount": 100,
            "cachedContentTokenCount": 60,
            "candidatesTokenCount": 7,
            "thoughtsTokenCount": 5,
            "totalTokenCount": 112,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": 90},
                {"modality": "IMAGE", "tokenCount": 10},
            ],
        },
    }


def gemini_text(text: str) -> list[Event]:
    return [gemini_chunk({"text": text}), gemini_chunk({"text": ""}, finishReason="STOP")]


def response_event(kind: str, **fields: Any) -> Event:
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def response_done(**fields: Any) -> Event:
    return response_event(
        "completed",
        response={
            "id": "resp_1",
            "object": "response",
            "status": "completed",
            "output": [],
            "usage": {
                "input_tokens": 100,
                "input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 0},
                "output_tokens": 12,
                "output_tokens_details": {"reasoning_tokens": 5},
                "total_tokens": 112,
            },
            **fields,
        },
    )


def response_text(text: str) -> list[Event]:
    return [
        response_event("created", response={"id": "resp_1", "object": "response", "output": []}),
        response_event(
            "output_text.delta",
            item_id="msg_1",
            output_index=0,
            content_index=0,
            delta=text,
            logprobs=[],
        ),
        response_done(),
    ]


def message_start() -> Event:
    return {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {
                "input_tokens": 30,
                "cache_read_input_tokens": 60,
                "cache_creation_input_tokens": 10,
                "output_tokens": 1,
            },
        },
    }


def message_end(reason: str) -> list[Event]:
    return [
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": 12, "output_tokens_details": {"thinking_tokens": 5}},
        },
        {"type": "message_stop"},
    ]


def block(index: int, start: Event, *deltas: Event) -> list[Event]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message_text(text: str) -> list[Event]:
    return [
        message_start(),
        {"type": "ping"},
        *block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": text}),
        *message_end("end_turn"),
    ]


def chat_chunk(delta: Event | None, finish: str | None = None, **fields: Any) -> Event:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **fields,
    }


def chat_usage() -> Event:
    return chat_chunk(
        None,
        usage={
            "prompt_tokens": 100,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens": 12,
            "completion_tokens_details": {"reasoning_tokens": 5},
            "total_tokens": 112,
        },
    )


def chat_text(text: str) -> list[Event]:
    return [
        chat_chunk({"role": "assistant", "content": ""}),
        chat_chunk({"content": text}),
        chat_chunk({}, "stop"),
        chat_usage(),
    ]


def gemini_call(call_id: str, name: str, arguments: Event) -> list[Event]:
    call = {"functionCall": {"id": call_id, "name": name, "args": arguments}}
    return [gemini_chunk(call, finishReason="STOP")]


def response_call(call_id: str, name: str, arguments: Event) -> list[Event]:
    item = {"type": "function_call", "id": "fc_1", "call_id": call_id, "name": name}
    return [
        response_event(
            "output_item.done", output_index=0, item={**item, "arguments": json.dumps(arguments)}
        ),
        response_done(),
    ]


def message_call(call_id: str, name: str, arguments: Event) -> list[Event]:
    start = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
    return [message_start(), *block(0, start, delta), *message_end("tool_use")]


def chat_call(call_id: str, name: str, arguments: Event) -> list[Event]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"index": 0, "id": call_id, "type": "function", "function": function}
    return [chat_chunk({"tool_calls": [call]}), chat_chunk({}, "tool_calls"), chat_usage()]


def gemini_error(message: str) -> Any:
    return {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}


def openai_error(message: str) -> Any:
    return {"error": {"message": message, "type": "some_error", "code": None, "param": None}}


def anthropic_error(message: str) -> Any:
    return {"type": "error", "error": {"type": "some_error", "message": message}}


WIRES = {
    wire.kind: wire
    for wire in (
        Wire(
            "google",
            "gemini-3.8-flash",
            "",
            "/v1/models/gemini-3.8-flash:streamGenerateContent?alt=sse",
            gemini_text,
            gemini_error,
            gemini_call,
            key_header="x-goog-api-key",
        ),
        Wire(
            "openai",
            "gpt-5.6",
            "/v1",
            "/v1/responses",
            response_text,
            openai_error,
            response_call,
            named=True,
        ),
        Wire(
            "anthropic",
            "claude-opus-5",
            "",
            "/v1/messages",
            message_text,
            anthropic_error,
            message_call,
            named=True,
        ),
        Wire(
            "openai_compatible",
            "qwen3",
            "/v1",
            "/v1/chat/completions",
            chat_text,
            openai_error,
            chat_call,
        ),
    )
}

QUICK = RetryPolicy(max_retries=2, first_delay_seconds=0.01)


@asynccontextmanager
async def remote_model(
    wire: Wire,
    address: str,
    *,
    patience: Patience | None = None,
    retries: RetryPolicy = QUICK,
    timeout_seconds: float = 20.0,
    vision: bool = True,
    name: str | None = None,
) -> AsyncIterator[RemoteModel]:
    """The adapter of a wire, with its real SDK, pointed at a server."""
    settings = ProviderSettings(
        base_url=address + wire.base_path, api_key=SecretStr(KEY), vision=vision
    )
    module, provider_class = KINDS[wire.kind]
    provider = getattr(import_module(module), provider_class)(settings, patience or Patience())

    async def made() -> Any:
        return provider

    info = ModelInfo(f"{wire.kind}/{wire.model}", f"{wire.kind}/{wire.model}", wire.kind)
    terms = Terms(retries, timeout_seconds, (KEY,))
    try:
        yield RemoteModel(info, name or wire.model, made, terms)
    finally:
        await provider.aclose()


def say(text: str) -> list[Step]:
    return [UserInputStep(content=[TextContent(text=text)])]


def ask(history: list[Step] | None = None, **fields: Any) -> ModelRequest:
    return ModelRequest(model="m", history=history or say("hello"), **fields)


async def parts_of(model: RemoteModel, request: ModelRequest) -> list[ModelPart]:
    async with aclosing(model.stream(request)) as stream:
        return [part async for part in stream]
