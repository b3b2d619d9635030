"""What is wrong with a picture, a sound, a film or a document that a caller gives. Pure."""

from __future__ import annotations

import binascii
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from runtime.errors import InvalidRequest, NotFound
from runtime.models.port import ModelInfo
from runtime.schema.inputs import MEDIA_TYPES, media_parts
from runtime.schema.media import kind_of, newer_format

Json = dict[str, Any]
MAX_PARTS = 500
MAX_FETCHED = 20
_FIELDS = frozenset({"data", "uri", "mime_type"})


@contextmanager
def at(path: str) -> Generator[None]:
    """Put the path of a part before what is wrong with it."""
    try:
        yield
    except (InvalidRequest, NotFound) as error:
        is_field = error.message.partition(":")[0] in _FIELDS
        raise type(error)(f"{path}{'.' if is_field else ': '}{error.message}") from error


def said_parts(value: Any) -> frozenset[str]:
    """The paths of the parts in an input that the caller says, not what is quoted of others."""
    steps = value if isinstance(value, list) else [value]
    quoted = tuple(
        f"input[{number}]." if isinstance(value, list) else "input."
        for number, step in enumerate(steps)
        if isinstance(step, dict) and step.get("type") not in {"user_input", *MEDIA_TYPES}
    )
    return frozenset(path for path, _ in media_parts(value) if not path.startswith(quoted))


def check_count(parts: list[tuple[str, Json]]) -> None:
    """Whether not too much has to be stored and fetched."""
    if len(parts) > MAX_PARTS:
        raise InvalidRequest(
            f"input: has {len(parts)} pictures, sounds, films and documents; at most {MAX_PARTS} "
            "are taken."
        )
    fetched = [part for _, part in parts if str(part.get("uri")).startswith(("http:", "https:"))]
    if len(fetched) > MAX_FETCHED:
        raise InvalidRequest(f"input: at most {MAX_FETCHED} parts may be fetched by their `uri`.")


def of_data_url(uri: str) -> tuple[str, str | None]:
    """The base64 and the MIME type in a `data:` URL."""
    head, comma, data = uri.removeprefix("data:").partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidRequest("uri: a data: URI must have the form 'data:image/png;base64,…'.")
    return data, head.removesuffix(";base64") or None


def decoded(data: str) -> bytes:
    """The bytes of strict base64."""
    try:
        found = binascii.a2b_base64(data, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"data: is not valid base64: {error}.") from error
    if not found:
        raise InvalidRequest("data: is empty.")
    return found


def check_bytes(mime_type: str, told: str | None, field: str) -> None:
    """Whether what a file's first bytes give away goes with its MIME type."""
    if told is not None and told != mime_type and kind_of(mime_type) in {"image", kind_of(told)}:
        raise InvalidRequest(f"{field}: is of type '{told}', but the MIME type is '{mime_type}'.")


def not_taken(mime_type: str, kind: str, model: ModelInfo) -> InvalidRequest:
    """What is said of content that a model lacks the sense for."""
    taken = sorted(found for found in model.takes or () if kind_of(found) == kind)
    if taken:
        return InvalidRequest(
            f"mime_type: the model '{model.id}' takes no {kind} of type '{mime_type}', only "
            f"{', '.join(taken)}. Convert it."
        )
    sense = {"image": "see pictures", "audio": "hear sounds", "video": "watch films"}[kind]
    return InvalidRequest(
        f"the model '{model.id}' does not {sense}. Use a model that does, or put the file into an "
        "environment, where an agent's tools can work with it."
    )


def check_readable(mime_type: str) -> None:
    """Whether a document of that type can be turned into text."""
    newer = newer_format(mime_type)
    if newer is not None:
        raise InvalidRequest(
            f"mime_type: documents of type '{mime_type}' cannot be read; save it as {newer} or PDF."
        )
