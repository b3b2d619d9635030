from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fastapi import Request

from runtime.api.bodies import MAX_DEPTH, MAX_VALUES, parse_json, read_json
from runtime.errors import InvalidRequest, PayloadTooLarge
from runtime.schema.settings import ServerSettings

pytestmark = pytest.mark.anyio


def request_of(pieces: AsyncIterator[bytes], limit: int) -> Request:
    settings = ServerSettings(max_body_bytes=limit)
    app = SimpleNamespace(state=SimpleNamespace(services=SimpleNamespace(settings=settings)))

    async def receive() -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"content-type", b"application/json")]
    return Request({"type": "http", "headers": headers, "app": app}, receive)


async def endless(piece: bytes) -> AsyncIterator[bytes]:
    while True:
        await anyio.lowlevel.checkpoint()
        yield piece


async def stalled() -> AsyncIterator[bytes]:
    yield b'{"a":'
    await anyio.sleep_forever()


async def test_a_body_that_stalls_is_given_up() -> None:
    with anyio.fail_after(5), pytest.raises(InvalidRequest, match="Nothing more"):
        await read_json(request_of(stalled(), 1000), idle_seconds=0.01)


async def test_a_body_without_end_is_given_up() -> None:
    with anyio.fail_after(5), pytest.raises(PayloadTooLarge, match="larger than 1000 bytes"):
        await read_json(request_of(endless(b"x" * 600), 1000))


def test_depth_is_counted_not_guessed() -> None:
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert parse_json(deep)
    with pytest.raises(InvalidRequest, match="deeper"):
        parse_json(b"[" + deep + b"]")
    assert len(parse_json(b"[" + b",".join([b"{}"] * 1000) + b"]")) == 1000


def test_a_whole_surrogate_pair_is_text() -> None:
    assert parse_json(b'{"a":"\\ud83d\\ude00"}') == {"a": "😀"}


def test_a_name_that_stands_twice_is_found_in_one_look() -> None:
    # Looking for each name among all of them would take minutes here, and nobody else is answered.
    names = [b'"n%d":0' % number for number in range(200_000)]
    with pytest.raises(InvalidRequest, match="'z' stands twice"):
        parse_json(b"{" + b",".join([*names, b'"z":0', b'"z":1']) + b"}")


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'""', b'{"a":1}', rb'"\\"', rb'"\","'])
def test_very_many_values_are_refused_before_they_are_made(value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="more than 250000 values"):
        parse_json(b"[" + b",".join([value] * (MAX_VALUES + 1)) + b"]")


@pytest.mark.parametrize("text", ["," * 300_000, "[{" * 200_000, '\\",' * 300_000, '"' * 2_000_000])
def test_signs_in_texts_are_no_values(text: str) -> None:
    assert parse_json(json.dumps([text] * 3).encode()) == [text] * 3
