from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.support.browser_world import World, browser_world


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def shared_world(
    anyio_backend: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[World]:
    """One browser for the tests of a module: starting one takes longer than most tests."""
    async with browser_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
async def world(shared_world: World) -> AsyncGenerator[World]:
    """The shared browser with a single tab, an empty site and whatever files there were."""
    shared_world.site.pages.clear()
    shared_world.site.seen.clear()
    shared_world.workspace.asked.clear()
    yield shared_world
    while len((await shared_world.call("tabs", action="list")).splitlines()) > 1:
        await shared_world.call("tabs", action="close", index=0)
