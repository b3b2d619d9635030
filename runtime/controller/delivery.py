"""Gives a model the media of a conversation in the form that it takes.

Loops know references only. Right before a call the bytes take their place; documents that the
model does not take become text; what it lacks the sense for becomes a note. A loop in a sandbox
gets nothing by a reference that its run was not given.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from runtime.controller.attachments import SOURCE_NAME
from runtime.controller.media import SCHEME, MediaFolder
from runtime.controller.ports import Model
from runtime.controller.texts import DocumentTexts, UnreadableError
from runtime.models.port import ModelInfo
from runtime.schema.content import Content, TextContent
from runtime.schema.media import canonical, reader_of
from runtime.schema.model import ModelRequest
from runtime.schema.steps import Step, UserInputStep, as_result


@dataclass(slots=True)
class _Call:
    """One call of a model that is being made ready."""

    model: ModelInfo
    granted: frozenset[str]
    left_bytes: int
    """How many bytes of media may still go with it."""


class MediaDelivery:
    """The real delivery."""

    def __init__(self, media: MediaFolder, texts: DocumentTexts, max_bytes: int) -> None:
        self._media = media
        self._texts = texts
        self._max_bytes = max_bytes

    async def deliver(
        self, request: ModelRequest, model: Model, granted: frozenset[str]
    ) -> ModelRequest:
        """The request with all media in the form that `model` takes; never fails.

        When there is too much of it, the oldest is left out.
        """
        if not any(_has_media(step) for step in request.history):
            return request
        call = _Call(model.info, granted, self._max_bytes)
        history = list(request.history)
        for index in reversed(range(len(history))):
            if _has_media(history[index]):
                history[index] = await self._step(history[index], call)
        return request.model_copy(update={"history": history})

    async def _step(self, step: Step, call: _Call) -> Step:
        parts = [await self._part(part, call) for part in reversed(list(_parts(step)))][::-1]
        if isinstance(step, UserInputStep):
            return step.model_copy(update={"content": parts})
        return step.model_copy(update={"result": [part.model_dump() for part in parts]})

    async def _part(self, part: Content, call: _Call) -> Content:
        if isinstance(part, TextContent):
            return part
        mime_type = canonical(part.mime_type or "")
        if part.data is not None:
            is_taken = call.model.is_given(mime_type) or not mime_type
            return self._counted(part, call, len(part.data) * 3 // 4) if is_taken else _note(part)
        path = self._media.path(part.uri or "")
        if path is None or part.uri not in call.granted:
            return _note(part, "only what the caller gave can be named by a URI")
        try:
            return await self._resolved(part, mime_type, path, call)
        except FileNotFoundError:
            return _note(part, "the uploaded file has expired or was deleted")

    async def _resolved(self, part: Any, mime_type: str, path: Path, call: _Call) -> Content:
        if call.model.is_given(mime_type):
            size = (await anyio.Path(path).stat()).st_size
            counted = self._counted(part, call, size)
            if counted is not part:
                return counted
            data = await anyio.to_thread.run_sync(_base64, path)
            return type(part)(data=data, mime_type=mime_type)
        kind = reader_of(mime_type)
        if part.type != "document" or kind is None:
            return _note(part)
        # The text of a file goes with the file.
        await anyio.Path(path).stat()
        try:
            text = await self._texts.of(path, kind)
        except UnreadableError as error:
            return _note(part, str(error))
        return TextContent(text=_document(part, mime_type, text))

    def _counted(self, part: Any, call: _Call, size_bytes: int) -> Content:
        if size_bytes > call.left_bytes:
            return _note(part, "with what came later it is too much for one call")
        call.left_bytes -= size_bytes
        return part


def references(history: list[Step]) -> frozenset[str]:
    """The references in a history."""
    return frozenset(
        part.uri
        for step in history
        if _has_media(step)
        for part in _parts(step)
        if not isinstance(part, TextContent) and (part.uri or "").startswith(SCHEME)
        if part.uri is not None
    )


def _has_media(step: Step) -> bool:
    """Whether there is any that a model would be given: what it said itself is text to it."""
    if isinstance(step, UserInputStep):
        return any(not isinstance(part, TextContent) for part in step.content)
    # A long history has many steps without one, and asking pydantic for what is not there is slow.
    value: Any = vars(step).get("result")
    return isinstance(value, list) and any(
        not isinstance(part, TextContent) for part in _parts(step)
    )


def _parts(step: Step) -> Iterator[Content]:
    if isinstance(step, UserInputStep):
        yield from step.content
    else:
        found = as_result(step)
        yield from found[1].content if found else []


def _note(part: Any, reason: str = "this model cannot take it") -> TextContent:
    name = f" {part.model_extra[SOURCE_NAME]!r}" if SOURCE_NAME in (part.model_extra or {}) else ""
    return TextContent(text=f"[{part.type}{name} ({part.mime_type}) left out: {reason}]")


def _document(part: Any, mime_type: str, text: str) -> str:
    name = (part.model_extra or {}).get(SOURCE_NAME)
    named = f" name={name!r}" if name else ""
    return f"<document type={mime_type!r}{named}>\n{text}\n</document>"


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
