"""The events of an interaction's log as those of a Response's stream. Pure.

The translation reads a log from its start and knows nothing else, so that the same log gives the
same events with the same `sequence_number` each time: that is what `starting_after` rests on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from runtime.api.compat.openai.items import (
    Naming,
    arguments_text,
    call_item,
    items_of,
    output_items,
    pictures,
    text_part,
)
from runtime.api.compat.openai.response import concluded
from runtime.schema.events import fold

Json = dict[str, Any]
_ENDS = {"completed": "completed", "failed": "failed"}


@dataclass(slots=True)
class _OpenStep:
    """The step that is being written, and the item that it became."""

    index: int
    step: Json
    events: list[Json]
    output_index: int = -1
    item_id: str = ""
    parts: int = 0
    has_open_part: bool = False

    @property
    def place(self) -> Json:
        """Where an event of it belongs."""
        return {"item_id": self.item_id, "output_index": self.output_index}

    def whole(self) -> Json:
        """The step so far."""
        return fold(self.events)[0]


@dataclass(slots=True)
class ResponseEvents:
    """Translates one log, event by event."""

    head: Json
    naming: Naming
    _log: list[Json] = field(default_factory=list[Json])
    _open: list[_OpenStep] = field(default_factory=list[_OpenStep])
    _calls: dict[str, _OpenStep] = field(default_factory=dict[str, _OpenStep])
    _items: int = 0
    _sequence: int = 0
    _error: Json | None = None

    def feed(self, event: Json) -> list[Json]:
        """What an event of the log says, numbered."""
        found = self._translate(event)
        for one in found:
            one["sequence_number"] = self._sequence
            self._sequence += 1
        return found

    def _translate(self, event: Json) -> list[Json]:
        match event["event_type"]:
            case "interaction.created":
                kinds = ("response.created", "response.in_progress")
                return [{"type": kind, "response": self.head} for kind in kinds]
            case "step.start":
                self._log.append(event)
                return self._begin(_OpenStep(event["index"], event["step"], [event]))
            case "step.delta" if self._open:
                self._log.append(event)
                self._open[0].events.append(event)
                return self._grow(self._open[0], event["delta"])
            case "step.stop" if self._open:
                return self._end(self._open.pop())
            case "error":
                self._error = event["error"]
                return []
            case "interaction.completed":
                return [self._conclude(event["interaction"])]
            case _:
                return []

    def _add(self, step: _OpenStep, item: Json) -> Json:
        step.output_index, self._items = self._items, self._items + 1
        step.item_id = item["id"]
        return _of_item("added", step.output_index, {**item, "status": "in_progress"})

    def _begin(self, step: _OpenStep) -> list[Json]:
        self._open = [step]
        kind = step.step["type"]
        if not kind.endswith("_call"):
            return []
        item = call_item(step.step, step.index, None, self.naming)
        for name in item.keys() & {"arguments", "code"}:
            item[name] = ""
        added = self._add(step, item)
        if item["type"] == "function_call":
            return [added]
        self._calls[step.step["id"]] = step
        return [added, {"type": f"response.{item['type']}.in_progress", **step.place}]

    def _grow(self, step: _OpenStep, delta: Json) -> list[Json]:
        match step.step["type"], delta:
            case "model_output", {"type": "text", "text": str(text)}:
                return self._say(step, text)
            case "model_output", _:
                return self._close_part(step)
            case "thought", {"type": "thought_summary", "content": {"text": str(text)}}:
                return self._think(step, text)
            case "code_execution_call", {"arguments": {"code": str(code)}}:
                kind = "response.code_interpreter_call_code.delta"
                return [{"type": kind, **step.place, "delta": code}]
            case "function_call", {"type": "arguments_delta", "arguments": str(text)}:
                return [{"type": f"{self._arguments(step)}.delta", **step.place, "delta": text}]
            case "mcp_server_tool_call", {"arguments": dict()}:
                text = arguments_text(delta)
                return [{"type": f"{self._arguments(step)}.delta", **step.place, "delta": text}]
            case _:
                return []

    def _arguments(self, step: _OpenStep) -> str:
        is_function = step.item_id.startswith("fc_")
        return f"response.{'function' if is_function else 'mcp'}_call_arguments"

    def _say(self, step: _OpenStep, text: str) -> list[Json]:
        found: list[Json] = []
        if not step.item_id:
            identifier = self.naming.item_id("msg", step.index)
            message = {"id": identifier, "type": "message", "role": "assistant", "content": []}
            found.append(self._add(step, message))
        if not step.has_open_part:
            part = text_part({"text": ""})
            place = {**step.place, "content_index": step.parts}
            found.append({"type": "response.content_part.added", **place, "part": part})
            step.has_open_part = True
            step.parts += 1
        place = {**step.place, "content_index": step.parts - 1}
        delta = {"type": "response.output_text.delta", **place, "delta": text, "logprobs": []}
        return [*found, delta]

    def _close_part(self, step: _OpenStep) -> list[Json]:
        if not step.has_open_part:
            return []
        step.has_open_part = False
        texts = [part for part in step.whole()["content"] if part["type"] == "text"]
        part = text_part(texts[step.parts - 1])
        place = {**step.place, "content_index": step.parts - 1}
        done = {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
        notes = [
            {
                "type": "response.output_text.annotation.added",
                **place,
                "annotation_index": number,
                "annotation": annotation,
            }
            for number, annotation in enumerate(part["annotations"])
        ]
        return [*notes, done, {"type": "response.content_part.done", **place, "part": part}]

    def _think(self, step: _OpenStep, text: str) -> list[Json]:
        found: list[Json] = []
        if not step.item_id:
            identifier = self.naming.item_id("rs", step.index)
            found.append(self._add(step, {"id": identifier, "type": "reasoning", "summary": []}))
            part = {"type": "summary_text", "text": ""}
            place = {**step.place, "summary_index": 0}
            kind = "response.reasoning_summary_part.added"
            found.append({"type": kind, **place, "part": part})
        place = {**step.place, "summary_index": 0}
        kind = "response.reasoning_summary_text.delta"
        return [*found, {"type": kind, **place, "delta": text}]

    def _end(self, step: _OpenStep) -> list[Json]:
        whole = step.whole()
        match whole["type"]:
            case "model_output":
                return self._end_message(step, whole)
            case "thought":
                return self._end_thought(step, whole)
            case kind if kind.endswith("_result"):
                return self._end_result(whole)
            case kind if kind.endswith("_call"):
                step.step = whole
                return self._end_call(step, whole)
            case _:
                return []

    def _end_message(self, step: _OpenStep, whole: Json) -> list[Json]:
        found = self._close_part(step)
        if step.item_id:
            message = items_of(whole, step.index, None, self.naming)[0]
            found.append(_of_item("done", step.output_index, message))
        for picture in pictures(whole, step.index, self.naming):
            found.append(self._add(step, picture))
            found.append(_of_item("done", step.output_index, picture))
        return found

    def _end_thought(self, step: _OpenStep, whole: Json) -> list[Json]:
        if not step.item_id:
            return []
        item = items_of(whole, step.index, None, self.naming)[0]
        part = item["summary"][0]
        place = {**step.place, "summary_index": 0}
        kind = "response.reasoning_summary"
        return [
            {"type": f"{kind}_text.done", **place, "text": part["text"]},
            {"type": f"{kind}_part.done", **place, "part": part},
            _of_item("done", step.output_index, item),
        ]

    def _end_call(self, step: _OpenStep, whole: Json) -> list[Json]:
        item = call_item(whole, step.index, None, self.naming)
        match item["type"]:
            case "function_call":
                done = {"type": f"{self._arguments(step)}.done", **step.place}
                arguments = {"arguments": item["arguments"], "name": item["name"]}
                return [{**done, **arguments}, _of_item("done", step.output_index, item)]
            case "code_interpreter_call":
                code = {"type": "response.code_interpreter_call_code.done", **step.place}
                kind = "response.code_interpreter_call.interpreting"
                return [{**code, "code": item["code"]}, {"type": kind, **step.place}]
            case "web_search_call":
                return [{"type": "response.web_search_call.searching", **step.place}]
            case _:
                done = {"type": f"{self._arguments(step)}.done", **step.place}
                return [{**done, "arguments": item["arguments"]}]

    def _end_result(self, result: Json) -> list[Json]:
        call = self._calls.pop(result["call_id"], None)
        if call is None:
            return []
        item = call_item(call.step, call.index, result, self.naming)
        # Only tools of servers have an event of their own for a failure.
        is_failure = item["type"] == "mcp_call" and item["status"] == "failed"
        kind = f"response.{item['type']}.{'failed' if is_failure else 'completed'}"
        return [{"type": kind, **call.place}, _of_item("done", call.output_index, item)]

    def _conclude(self, interaction: Json) -> Json:
        end = int(datetime.fromisoformat(interaction["updated"]).timestamp())
        output = output_items(fold(self._log), self.naming)
        error = interaction.get("error") or self._error
        usage = interaction.get("usage")
        response = concluded(self.head, interaction["status"], usage, error, output, end)
        # There is no event for a cancelled one.
        return {
            "type": f"response.{_ENDS.get(response['status'], 'incomplete')}",
            "response": response,
        }


def _of_item(what: str, output_index: int, item: Json) -> Json:
    return {"type": f"response.output_item.{what}", "output_index": output_index, "item": item}
