from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from runtime.controller.renderings import Renderings, render
from tests.support.local_controller import LocalController, local_controller

pytestmark = pytest.mark.anyio
FORM, WHOLE = ("default", False), ("default", True)


def kept(renderings: Renderings, name: str) -> bytes | None:
    return renderings.of(name).bodies.get(FORM)


def test_what_was_kept_is_found_until_it_changes() -> None:
    renderings = Renderings()
    renderings.keep("a", renderings.of("a"), FORM, b"1")
    assert kept(renderings, "a") == b"1"
    assert renderings.of("a").bodies.get(WHOLE) is None
    renderings.drop("a")
    assert kept(renderings, "a") is None


def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    renderings = Renderings()
    before = renderings.of("a")
    renderings.drop("a")
    renderings.keep("a", before, FORM, b"old")
    assert kept(renderings, "a") is None


def test_memory_is_bounded_by_bytes_and_by_count() -> None:
    renderings = Renderings(max_bytes=10, max_count=3)
    for name in "abc":
        renderings.keep(name, renderings.of(name), FORM, b"1234")
    assert [name for name in "abc" if kept(renderings, name)] == ["b", "c"]
    renderings = Renderings(max_bytes=100, max_count=3)
    for name in "abcd":
        renderings.keep(name, renderings.of(name), FORM, b"1234")
    assert [name for name in "bcd" if kept(renderings, name)] == ["b", "c", "d"]
    renderings.keep("huge", renderings.of("huge"), FORM, bytes(101))
    assert kept(renderings, "huge") is None
    assert renderings._bytes == sum(one.size for one in renderings._kept.values()) <= 100


def test_json_is_compact_and_unicode() -> None:
    assert render({"a": "ü", "b": [1]}) == '{"a":"ü","b":[1]}'.encode()


async def test_who_polls_sees_every_change_at_once(tmp_path: Path) -> None:
    async with local_controller(tmp_path) as controller, controller.http() as http:
        begun = await http.post(
            "/v1/interactions",
            json={"model": "script/inline", "input": "Hello", "background": True},
        )
        address = f"/v1/interactions/{begun.json()['id']}"
        with anyio.fail_after(30):
            await controller.log.wait_settled(begun.json()["id"])
        found = (await http.get(address)).json()
        assert found["steps"][-1]["content"][0]["text"] == "Hello"
        assert "input" not in found
        assert (await http.get(address)).json() == found
        with_input = (await http.get(address, params={"include_input": "true"})).json()
        assert with_input == {**found, "input": "Hello"}
        await http.delete(address)
        for _ in range(2):
            assert (await http.get(address)).status_code == 404


async def test_an_interaction_that_is_not_there_is_not_kept(tmp_path: Path) -> None:
    async with local_controller(tmp_path) as controller, controller.http() as http:
        assert (await http.get("/v1/interactions/int_1")).status_code == 404
        assert _kept(controller) == []


def _kept(controller: LocalController) -> list[str]:
    return list(controller.log.renderings._kept)
