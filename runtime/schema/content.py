"""Content: the parts that inputs, outputs and tool results are made of."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from pydantic import Field

from runtime.schema.base import Open


class TextContent(Open):
    """A piece of text."""

    type: Literal["text"] = "text"
    text: str
    annotations: list[dict[str, Any]] | None = None


class _Media(Open):
    data: str | None = None
    """Base64."""
    uri: str | None = None
    mime_type: str | None = None
    resolution: str | None = None


class ImageContent(_Media):
    """A picture."""

    type: Literal["image"] = "image"


class AudioContent(_Media):
    """A sound."""

    type: Literal["audio"] = "audio"


class VideoContent(_Media):
    """A film."""

    type: Literal["video"] = "video"


class DocumentContent(_Media):
    """A document such as a PDF or a text file."""

    type: Literal["document"] = "document"


Content = Annotated[
    TextContent | ImageContent | AudioContent | VideoContent | DocumentContent,
    Field(discriminator="type"),
]
"""One part of a message; on the wire a JSON object told apart by `type`."""


def text_of(parts: list[Content]) -> str:
    """The text of the text parts, joined without a separator."""
    return "".join(part.text for part in parts if isinstance(part, TextContent))


def image_from_bytes(data: bytes, mime_type: str) -> ImageContent:
    """A picture carried inline."""
    return ImageContent(data=base64.b64encode(data).decode("ascii"), mime_type=mime_type)
