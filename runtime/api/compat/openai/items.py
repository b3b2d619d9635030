"""Steps as the items of a Response's `output`. Pure.

A call and its result, two steps, are one item. A function of the caller becomes a `function_call`;
a tool that ran in the sandbox or the controller an item that needs no answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
SANDBOX = "sandbox"
"""The `server_label` of tools that run in the sandbox."""


@dataclass(frozen=True, slots=True)
class Naming:
    """What the ids of items are made of, and which functions are the caller's."""

    suffix: str
    functions: frozenset[str] = field(default_factory=frozenset[str])
    environment_id: str | None = None

    def item_id(self, prefix: str, index: int, part: int = 0) -> str:
        """The id of the item that a step begins."""
        more = f"_{part}" if part else ""
        return f"{prefix}_{self.suffix}_{index}{more}"


def output_items(steps: list[Json], naming: Naming) -> list[Json]:
    """All items of a run, in order."""
    results = {step["call_id"]: step for step in steps if "call_id" in step}
    items: list[Json] = []
    for index, step in enumerate(steps):
        items += items_of(step, index, results.get(step.get("id")), naming)
    return items


def items_of(step: Json, index: int, result: Json | None, naming: Naming) -> list[Json]:
    """The items that a step begins; a result begins none."""
    kind = step["type"]
    if kind == "model_output":
        return [*_message(step, index, naming), *pictures(step, index, naming)]
    if kind == "thought":
        return _reasoning(step, index, naming)
    if not kind.endswith("_call"):
        return []
    return [call_item(step, index, result, naming)]


def call_item(step: Json, index: int, result: Json | None, naming: Naming) -> Json:
    """The item of a tool call, with its result where there is one."""
    match step["type"]:
        case "code_execution_call":
            return _code(step, index, result, naming)
        case "google_search_call" | "url_context_call":
            return _search(step, index, result, naming)
        case "function_call" if step["name"] in naming.functions:
            return {
                "id": naming.item_id("fc", index),
                "type": "function_call",
                "call_id": step["id"],
                "name": step["name"],
                "arguments": arguments_text(step),
                "status": "completed",
            }
        case _:
            return _tool(step, index, result, naming)


def arguments_text(step: Json) -> str:
    """The arguments of a call as JSON text."""
    arguments = step.get("arguments") or {}
    if "_partial" in arguments:
        return str(arguments["_partial"])
    return json.dumps(arguments, ensure_ascii=False)


def text_part(part: Json) -> Json:
    """A text of the model as a part of a message."""
    found = [_citation(one) for one in part.get("annotations") or []]
    annotations = [one for one in found if one is not None]
    return {
        "type": "output_text",
        "text": part["text"],
        "annotations": annotations,
        "logprobs": [],
    }


def _citation(annotation: Json) -> Json | None:
    if annotation.get("type") != "url_citation":
        return None
    return {
        "type": "url_citation",
        "url": str(annotation.get("url", "")),
        "title": str(annotation.get("title", "")),
        "start_index": annotation.get("start_index", 0),
        "end_index": annotation.get("end_index", 0),
    }


def _message(step: Json, index: int, naming: Naming) -> list[Json]:
    parts = [text_part(part) for part in step.get("content") or [] if part["type"] == "text"]
    if not parts:
        return []
    message = {"id": naming.item_id("msg", index), "type": "message", "role": "assistant"}
    return [{**message, "status": "completed", "content": parts}]


def pictures(step: Json, index: int, naming: Naming) -> list[Json]:
    """The items of the pictures in what a model said."""
    images = [part for part in step.get("content") or [] if part["type"] == "image"]
    return [
        {
            "id": naming.item_id("ig", index, number),
            "type": "image_generation_call",
            "status": "completed",
            "result": part.get("data"),
        }
        for number, part in enumerate(images)
    ]


def _reasoning(step: Json, index: int, naming: Naming) -> list[Json]:
    texts = [part["text"] for part in step.get("summary") or [] if part.get("type") == "text"]
    if not texts:
        return []
    summary = [{"type": "summary_text", "text": text} for text in texts]
    identifier = naming.item_id("rs", index)
    return [{"id": identifier, "type": "reasoning", "summary": summary, "status": "completed"}]


def _code(step: Json, index: int, result: Json | None, naming: Naming) -> Json:
    arguments = step.get("arguments") or {}
    failed = bool(result and result.get("is_error"))
    return {
        "id": naming.item_id("ci", index),
        "type": "code_interpreter_call",
        "code": arguments.get("code", ""),
        "container_id": naming.environment_id or "",
        "outputs": _outputs(result) if result else None,
        "status": _status(result, failed=failed),
    }


def _outputs(result: Json) -> list[Json]:
    value = result.get("result")
    parts = value if isinstance(value, list) else [{"type": "text", "text": str(value or "")}]
    outputs: list[Json] = []
    for part in parts:
        if part.get("type") == "text":
            outputs.append({"type": "logs", "logs": part["text"]})
        elif part.get("data"):
            url = f"data:{part.get('mime_type')};base64,{part['data']}"
            outputs.append({"type": "image", "url": url})
    return outputs


def _search(step: Json, index: int, result: Json | None, naming: Naming) -> Json:
    arguments = step.get("arguments") or {}
    if step["type"] == "url_context_call":
        urls = arguments.get("urls") or [None]
        action = {"type": "open_page", "url": urls[0]}
    else:
        queries = [str(query) for query in arguments.get("queries") or []]
        action = {"type": "search", "query": " ".join(queries), "queries": queries}
    failed = bool(result and result.get("is_error"))
    return {
        "id": naming.item_id("ws", index),
        "type": "web_search_call",
        "status": _status(result, failed=failed, running="searching"),
        "action": action,
    }


def _tool(step: Json, index: int, result: Json | None, naming: Naming) -> Json:
    failed = bool(result and result.get("is_error"))
    text = _text(result.get("result")) if result else None
    return {
        "id": naming.item_id("mcp", index),
        "type": "mcp_call",
        "server_label": step.get("server_name") or SANDBOX,
        "name": step["name"],
        "arguments": arguments_text(step),
        "output": None if failed else text,
        "error": text if failed else None,
        "status": _status(result, failed=failed, running="calling"),
    }


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        texts = [part["text"] for part in value if part.get("type") == "text"]
        if texts:
            return "\n".join(texts)
    return json.dumps(value, ensure_ascii=False)


def _status(result: Json | None, *, failed: bool, running: str = "in_progress") -> str:
    if result is None:
        return running
    return "failed" if failed else "completed"
