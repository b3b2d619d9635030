from __future__ import annotations

import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from fastapi import Request

from runtime.api.auth import FixedKeys
from runtime.api.bodies import MAX_DEPTH, MAX_VALUES, parse_json, read_chunks, read_json
from runtime.api.incoming import FREE_BYTES, Incoming
from runtime.errors import InvalidRequest, PayloadTooLarge, QuotaExceeded
from runtime.schema.callers import OPERATOR
from runtime.schema.settings import ServerSettings

pytestmark = pytest.mark.anyio


def request_of(
    pieces: AsyncIterator[bytes], limit: int, incoming: Incoming | None = None
) -> Request:
    settings = ServerSettings(max_body_bytes=limit)
    keys = FixedKeys(["k"])
    services = SimpleNamespace(settings=settings, incoming=incoming or Incoming(), keys=keys)
    app = SimpleNamespace(state=SimpleNamespace(services=services))

    async def receive() -> dict[str, Any]:
        try:
            return {"type": "http.request", "body": await anext(pieces), "more_body": True}
        except StopAsyncIteration:
            return {"type": "http.request", "body": b"", "more_body": False}

    headers = [(b"content-type", b"application/json"), (b"x-goog-api-key", b"k")]
    scope = {"type": "http", "headers": headers, "app": app, "sandlot.caller": OPERATOR}
    return Request(scope, receive)


async def endless(piece: bytes) -> AsyncIterator[bytes]:
    while True:
        await anyio.lowlevel.checkpoint()
        yield piece


async def stalled() -> AsyncIterator[bytes]:
    yield b'{"a":'
    await anyio.sleep_forever()


async def test_a_body_that_stalls_is_given_up() -> None:
    with anyio.fail_after(30), pytest.raises(InvalidRequest, match="Nothing more"):
        await read_json(request_of(stalled(), 1000), idle_seconds=0.01)


async def test_bytes_of_a_file_that_stall_are_given_up() -> None:
    chunks = read_chunks(request_of(stalled(), 1000), idle_seconds=0.01)
    assert await anext(chunks) == b'{"a":'
    with anyio.fail_after(30), pytest.raises(InvalidRequest, match="Nothing more"):
        await anext(chunks)


async def test_a_body_without_end_is_given_up() -> None:
    with anyio.fail_after(30), pytest.raises(PayloadTooLarge, match="larger than 1000 bytes"):
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


async def large(size: int, then: anyio.Event | None = None) -> AsyncIterator[bytes]:
    yield b'"' + b"x" * size
    if then is not None:
        await then.wait()
    yield b'"'


async def test_bodies_share_the_memory_that_they_may_take_while_they_are_read() -> None:
    limit, size = 32 * 1024**2, 2 * FREE_BYTES
    incoming, go_on = Incoming(project_bytes=3 * FREE_BYTES), anyio.Event()

    async def read(number: int, then: anyio.Event | None = None) -> None:
        found = await read_json(request_of(large(number, then), limit, incoming))
        assert len(found) == number

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, size, go_on)
            tasks.start_soon(read, size, go_on)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(QuotaExceeded, match="Too many large bodies"):
                await read(size)
            await read(FREE_BYTES - 2)
            go_on.set()
        await read(size)
        with pytest.raises(QuotaExceeded):
            await read(5 * FREE_BYTES)
        await read(size)


def test_a_project_leaves_room_for_another() -> None:
    incoming = Incoming(project_bytes=10)
    assert incoming.take("one", 10) and not incoming.take("one", 1)
    assert incoming.take("two", 10) and not incoming.take("three", 1)
    assert incoming.take("one", -10) and incoming.take("three", 10)
