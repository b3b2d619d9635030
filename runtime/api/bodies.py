"""Request bodies: bounded while they arrive, strict JSON when they are there."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, NoReturn

import anyio
import anyio.to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

from runtime.api.auth import caller_of, check_still_valid
from runtime.api.incoming import Room
from runtime.api.services import services_of
from runtime.errors import InvalidRequest, PayloadTooLarge, UnsupportedMediaType

MAX_DEPTH = 100
MAX_VALUES = 250_000
"""In one body. Reading millions of them takes minutes, in which nobody else is answered."""
_DISCARD_FACTOR = 8
_DISCARD_SECONDS = 30.0
IDLE_SECONDS = 30.0
"""How long a body may take from one piece to the next."""
_BIG = 1024 * 1024
_BROKEN_OFF = "The body ended early."
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


async def read_json(request: Request, idle_seconds: float = IDLE_SECONDS) -> Any:
    """The JSON value in the body, whose pieces come at most `idle_seconds` apart.

    Raises `InvalidRequest`, `PayloadTooLarge`, `UnsupportedMediaType`, `QuotaExceeded`, and
    `Unauthenticated` when the key of the call was revoked meanwhile.
    """
    found = await _read_any(request, idle_seconds)
    if found is None:
        raise InvalidRequest("The body is empty; a JSON object is expected.")
    return found.value


async def read_optional_json(request: Request) -> Any:
    """The JSON value in the body, or None where there is no body. Raises as `read_json`."""
    found = await _read_any(request, IDLE_SECONDS)
    return None if found is None else found.value


def parse_json(body: bytes) -> Any:
    """A JSON value as RFC 8259 has it, each name once. Raises `InvalidRequest`."""
    try:
        text = body.decode("utf-8")
        _check_amount(body)
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except UnicodeDecodeError as error:
        raise InvalidRequest("The body is not valid UTF-8.") from error
    except RecursionError as error:
        raise InvalidRequest(_TOO_DEEP) from error
    except ValueError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.") from error
    _check_depth(value, body)
    _check_unicode(value, body)
    return value


@dataclass(frozen=True, slots=True)
class _Found:
    """What a body holds; it may be `null`."""

    value: Any


async def _read_any(request: Request, idle_seconds: float) -> _Found | None:
    """What the body holds; None where there is no body."""
    with services_of(request).incoming.room(caller_of(request).project_id) as room:
        body = await _read(request, idle_seconds, room)
        found = await _parsed(request, body) if body else None
    # A body may take for ever to come: who holds one back must not act with it afterwards.
    check_still_valid(request)
    return found


async def _parsed(request: Request, body: bytes) -> _Found:
    _check_type(request)
    if len(body) > _BIG:
        return _Found(await anyio.to_thread.run_sync(parse_json, body))
    return _Found(parse_json(body))


async def _read(request: Request, idle_seconds: float, room: Room) -> bytes:
    limit = services_of(request).settings.max_body_bytes
    body = bytearray()
    size = 0
    try:
        with anyio.move_on_after(idle_seconds) as scope:
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limit and room.take(len(chunk)):
                    body += chunk
                    scope.deadline = anyio.current_time() + idle_seconds
                    continue
                if body:
                    body.clear()
                    room.give_back()
                    scope.deadline = anyio.current_time() + _DISCARD_SECONDS
                # Most clients read the answer only after they have sent everything.
                if size > limit * _DISCARD_FACTOR:
                    break
    except ClientDisconnect as error:
        raise InvalidRequest(_BROKEN_OFF) from error
    if size > limit:
        raise PayloadTooLarge(f"The body is larger than {limit} bytes.")
    room.check()
    if scope.cancelled_caught:
        raise InvalidRequest(_stalled(idle_seconds))
    return bytes(body)


async def read_chunks(request: Request, idle_seconds: float = IDLE_SECONDS) -> AsyncIterator[bytes]:
    """The body as it comes. Raises `InvalidRequest` when it breaks off or stalls."""
    stream = aiter(request.stream())
    while True:
        try:
            with anyio.fail_after(idle_seconds):
                chunk = await anext(stream, None)
        except ClientDisconnect as error:
            raise InvalidRequest(_BROKEN_OFF) from error
        except TimeoutError as error:
            raise InvalidRequest(_stalled(idle_seconds)) from error
        if chunk is None:
            return
        yield chunk


def _stalled(idle_seconds: float) -> str:
    return f"Nothing more of the body arrived for {idle_seconds:g} s."


def _check_type(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Compressed bodies are not supported.")
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise UnsupportedMediaType("The body must be JSON: send 'Content-Type: application/json'.")
    charset = parameters.lower().replace('"', "").replace(" ", "")
    if charset not in {"", "charset=utf-8", "charset=utf8"}:
        raise UnsupportedMediaType("The body must be UTF-8.")


_TOO_DEEP = f"The body is nested deeper than {MAX_DEPTH} levels."


def _check_amount(body: bytes) -> None:
    """Refuse very many values before anything is made of them."""
    if _openings(body) <= MAX_VALUES:
        return
    # Texts have commas and brackets, too: they are left out, found by their quotation marks.
    bare = body.replace(rb"\\", b"").replace(rb"\"", b"")
    # A value is one text at most, and so is its name: with more of them, nothing need be split.
    are_few = bare.count(b'"') <= 4 * MAX_VALUES
    if are_few and sum(_openings(piece) for piece in bare.split(b'"')[::2]) <= MAX_VALUES:
        return
    raise InvalidRequest(f"The body holds more than {MAX_VALUES} values.")


def _openings(body: bytes) -> int:
    """How many values begin: each has one of these signs before it."""
    return body.count(b",") + body.count(b"[") + body.count(b"{")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(
            name for name, times in Counter(name for name, _ in pairs).items() if times > 1
        )
        raise ValueError(f"the name '{twice[:80]}' stands twice in one object")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _check_depth(value: Any, body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent)]
        if not level:
            return
    raise InvalidRequest(_TOO_DEEP)


def _check_unicode(value: Any, body: bytes) -> None:
    if not _SURROGATE.search(body):
        return
    level = [value]
    while level:
        for item in level:
            names = [*item] if isinstance(item, dict) else [item]
            for text in names:
                if isinstance(text, str):
                    _check_text(text)
        level = [child for parent in level for child in _members(parent)]


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("The body holds half a surrogate pair, which is no text.") from error


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _children(value: Any) -> list[Any]:
    return [child for child in _members(value) if isinstance(child, dict | list)]
