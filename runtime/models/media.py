"""Pictures, sounds, films and documents in a form that every provider's wire can be made from."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from runtime.errors import ModelRefused
from runtime.schema.content import (
    AudioContent,
    DocumentContent,
    ImageContent,
    VideoContent,
)

MediaContent = ImageContent | AudioContent | VideoContent | DocumentContent

_PICTURE_STARTS = {
    "iVBORw": "image/png",
    "/9j/": "image/jpeg",
    "R0lG": "image/gif",
    "UklGR": "image/webp",
}
_DEFAULTS = {
    "image": "image/png",
    "audio": "audio/wav",
    "video": "video/mp4",
    "document": "application/pdf",
}
_TEXT_TYPES = {"application/json", "application/xml", "application/yaml", "application/x-yaml"}


@dataclass(frozen=True, slots=True)
class Media:
    """One medium: either `data` (base64) or `uri` is set."""

    kind: str
    """`image`, `audio`, `video` or `document`."""
    mime_type: str
    data: str | None = None
    uri: str | None = None

    @property
    def data_url(self) -> str:
        """A URL that holds or names it."""
        return self.uri or f"data:{self.mime_type};base64,{self.data}"

    @property
    def is_text(self) -> bool:
        """Whether it is a text file carried inline."""
        plain = self.mime_type.startswith("text/") or self.mime_type in _TEXT_TYPES
        return plain and self.data is not None

    @property
    def left_out(self) -> str:
        """What a model is told that cannot take it."""
        return f"[{self.kind} ({self.mime_type}) left out: this model cannot take it]"


def media_of(part: MediaContent) -> Media:
    """The medium that a content part holds. Raises `ModelRefused` when it holds none."""
    data, uri = part.data, part.uri
    mime_type = part.mime_type
    if uri and uri.startswith("data:"):
        head, _, data = uri.removeprefix("data:").partition(",")
        mime_type, uri = mime_type or head.removesuffix(";base64") or None, None
    if not data and not uri:
        raise ModelRefused(f"The {part.type} has neither `data` nor `uri`.")
    return Media(
        part.type,
        mime_type or _guessed(part.type, data),
        data=data or None,
        uri=uri if not data else None,
    )


def _guessed(kind: str, data: str | None) -> str:
    if kind == "image" and data:
        for start, mime_type in _PICTURE_STARTS.items():
            if data.startswith(start):
                return mime_type
    return _DEFAULTS[kind]


def text_of_document(media: Media) -> str:
    """A text document as text, marked as one. Raises `ModelRefused` when it is not UTF-8."""
    try:
        text = base64.b64decode(media.data or "", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ModelRefused(
            f"The document ({media.mime_type}) cannot be read as base64 of UTF-8 text: {error}."
        ) from None
    return f"<document type={media.mime_type!r}>\n{text}\n</document>"


def refused(media: Media, provider: str) -> ModelRefused:
    """The error for a medium that a provider's wire cannot carry."""
    where = "a URI" if media.uri else "inline data"
    return ModelRefused(
        f"{provider} models cannot be given {media.kind} of type {media.mime_type} as {where}. "
        "Put it into the environment as a file instead."
    )
