"""What a session keeps from turn to turn."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from runtime import clock
from runtime.controller.sessions import SessionCall, SessionService, begun
from runtime.store import Store
from tests.unit.store import records

pytestmark = pytest.mark.anyio
SECRET = "headers-canary-5b1e77"
TOOLS = [{"type": "mcp_server", "url": "https://mcp.test/", "headers": {"X-Key": SECRET}}]


def database(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("sandlot.db*"))


async def test_tools_are_taken_over_and_their_headers_stored_sealed(tmp_path: Path) -> None:
    moment = clock.now()
    async with Store.open(tmp_path) as store:
        sessions = SessionService(store)
        body = {"agent": "antigravity", "input": "Hi", "tools": TOOLS}
        _, turn = await sessions.complete("default", SessionCall(ttl_seconds=60), body, moment)
        turn = begun(turn, "int_1", None, moment)
        beginning = records.beginning("int_1", status="completed")
        await store.journal.begin(replace(beginning, turn=turn))
        later = moment + timedelta(seconds=1)
        call = SessionCall(id=turn.record.id)
        completed, _ = await sessions.complete("default", call, {"input": "Again"}, later)
        assert completed["tools"] == TOOLS
        assert completed["agent"] == "antigravity"
    stored = database(tmp_path)
    assert turn.record.id.encode() in stored
    assert SECRET.encode() not in stored
