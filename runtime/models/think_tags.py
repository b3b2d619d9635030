"""Thoughts that a model writes into its answer, between `<think>` and `</think>`. Pure."""

from __future__ import annotations

from runtime.schema.model import ModelPart, TextPart, ThoughtPart

_OPEN, _CLOSE = "<think>", "</think>"


class ThinkTags:
    """Splits streamed text into thought and answer; only a tag at the very start counts."""

    def __init__(self) -> None:
        self._state = "start"
        self._held = ""

    def feed(self, text: str) -> list[ModelPart]:
        """The parts that are certain after this piece of text."""
        self._held += text
        parts: list[ModelPart] = []
        if self._state == "start":
            self._decide()
        if self._state == "opened" and (begin := self._held.lstrip("\n")):
            self._state, self._held = "thought", begin
        if self._state == "thought":
            parts += self._thought()
        if self._state == "gap" and (rest := self._held.lstrip()):
            self._state, self._held = "answer", rest
        if self._state == "answer" and self._held:
            parts.append(TextPart(text=self._held))
            self._held = ""
        return parts

    def finish(self) -> list[ModelPart]:
        """What is left at the end."""
        held, self._held = self._held, ""
        if not held or self._state in {"opened", "gap"}:
            return []
        return [ThoughtPart(text=held) if self._state == "thought" else TextPart(text=held)]

    def _decide(self) -> None:
        begin = self._held.lstrip()
        if begin.startswith(_OPEN):
            self._state, self._held = "opened", begin.removeprefix(_OPEN)
        elif not _OPEN.startswith(begin):
            self._state = "answer"

    def _thought(self) -> list[ModelPart]:
        thought, tag, rest = self._held.partition(_CLOSE)
        if tag:
            self._state, self._held = "gap", rest
        else:
            keep = _overlap(thought)
            thought, self._held = thought[: len(thought) - keep], thought[len(thought) - keep :]
        return [ThoughtPart(text=thought)] if thought else []


def _overlap(text: str) -> int:
    """How many characters at the end of `text` may be the start of the closing tag."""
    lengths = range(min(len(text), len(_CLOSE) - 1), 0, -1)
    return next((length for length in lengths if _CLOSE.startswith(text[-length:])), 0)
