from __future__ import annotations

import os
import re
import signal
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import anyio
import pytest

from runtime.errors import ToolFault
from runtime.guest.browser.tools import build_browser_tools
from tests.support.browser_world import (
    CHROMIUM_ITSELF,
    DRIVER,
    LIMITS,
    RENDERER,
    Answer,
    Workspace,
    World,
    browser_config,
    browser_world,
    needs_chromium,
    processes,
    ref_of,
    running_site,
)

pytestmark = [pytest.mark.anyio, needs_chromium]

RESTARTED = "Note: The browser had ended unexpectedly and was started again: its tabs are gone."
ENDED = "The browser ended in the middle of this; the next call starts it again."


@pytest.fixture
async def own(tmp_path: Path) -> AsyncGenerator[World]:
    """A browser for one test alone."""
    async with browser_world(tmp_path) as world:
        yield world


async def until(is_so: Callable[[], bool]) -> None:
    """Look again and again: what other processes do comes without an event."""
    with anyio.fail_after(10):
        while not is_so():  # noqa: ASYNC110
            await anyio.sleep(0.02)


def kill(command: re.Pattern[str]) -> None:
    victims = processes(command)
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)


async def test_it_starts_with_the_first_call_and_ends_with_close(own: World) -> None:
    assert processes() == []
    await own.open("/", "<h1>one</h1>")
    assert processes(DRIVER)
    assert processes(RENDERER)
    await own.tools.close()
    await until(lambda: not processes())
    assert 'heading "one"' in await own.open("/")
    assert "Note:" not in own.last.text


async def test_closing_what_never_started_is_fine(tmp_path: Path) -> None:
    async with browser_world(tmp_path) as world:
        await world.tools.close()
        await world.tools.close()
    assert processes() == []


async def test_a_page_that_crashes_is_told_and_the_next_one_works(own: World) -> None:
    await own.open("/", "<h1>one</h1>")
    kill(RENDERER)
    with anyio.fail_after(10):
        while True:
            with pytest.raises(ToolFault, match="crashed; open it again"):
                await own.call("snapshot")
            if "crashed (" in await own.call("tabs", action="list"):
                break
    told = await own.fault("screenshot")
    assert told == "The page of this tab crashed; open it again with browser_navigate."
    assert 'heading "two"' in await own.open("/two", "<h1>two</h1>")
    assert "open tabs" not in own.last.text


async def test_a_page_that_crashes_while_it_is_waited_for_is_told(own: World) -> None:
    await own.open("/", "<h1>one</h1>")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            fails_to,
            own,
            "The page crashed or was closed",
            "wait",
            {"text": "never", "seconds": 20},
        )
        await anyio.wait_all_tasks_blocked()
        kill(RENDERER)
    assert 'heading "one"' in await own.open("/")


async def fails_to(world: World, told: str, name: str, arguments: dict[str, Any]) -> None:
    with anyio.fail_after(10):
        assert told in await world.fault(name, **arguments)


@pytest.mark.parametrize("victim", [CHROMIUM_ITSELF, DRIVER], ids=["chromium", "driver"])
async def test_a_browser_that_dies_is_started_again_and_says_so(
    own: World, victim: re.Pattern[str]
) -> None:
    own.site.pages["/in"] = Answer(
        "<h1>in</h1>", headers={"Set-Cookie": "key=kept; Max-Age=9999; SameSite=Lax"}
    )
    await own.open("/in")
    kill(victim)
    try:
        text = await own.open("/", "<h1>again</h1>")
    except ToolFault as fault:  # it was quicker than the news
        assert fault.message == ENDED
        text = await own.open("/")
    assert RESTARTED in text
    assert 'heading "again"' in text
    assert RESTARTED not in await own.call("snapshot")


async def test_a_browser_that_dies_in_the_middle_is_told(own: World) -> None:
    own.site.pages["/never"] = Answer(gate=anyio.Event())
    await own.open("/", "<h1>one</h1>")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fails_to, own, ENDED, "navigate", {"url": f"{own.site.url}/never"})
        await until(lambda: "/never" in own.site.seen)
        kill(CHROMIUM_ITSELF)
    assert 'heading "one"' in await own.open("/")


async def test_a_navigation_can_be_cancelled(own: World) -> None:
    own.site.pages["/never"] = Answer(gate=anyio.Event())
    await own.open("/", "<h1>one</h1><a href='/never'>Go</a>")
    ref = ref_of(own.last.text, 'link "Go"')
    for name, arguments in (
        ("navigate", {"url": f"{own.site.url}/never"}),
        ("click", {"ref": ref}),
        ("wait", {"text": "never"}),
    ):
        assert await seconds_to_cancel(own, name, arguments) < LIMITS.navigation_seconds
        text = await own.call("snapshot")
        assert 'heading "one"' in text
        assert f"Page: {own.site.url}/" in text
    assert 'heading "two"' in await own.open("/two", "<h1>two</h1>")


async def seconds_to_cancel(world: World, name: str, arguments: dict[str, Any]) -> float:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(world.call_silently, name, arguments)
            await anyio.sleep(0.3)
            begun = monotonic()
            scope.cancel()
    return monotonic() - begun


async def test_a_cancelled_click_does_not_happen_later(tmp_path: Path) -> None:
    async with browser_world(tmp_path, replace(LIMITS, action_seconds=30)) as world:
        page = """<button disabled id=b onclick="document.title = 'clicked'">B</button>
          <button onclick="b.disabled = false">Enable</button>"""
        text = await world.open("/", page)
        ref = ref_of(text, 'button "B"')
        assert await seconds_to_cancel(world, "click", {"ref": ref}) < 30
        await world.call("click", ref=ref_of(text, 'button "Enable"'))
        assert "clicked" not in await world.call("wait", seconds=0.5)
        assert "Page: clicked" in await world.call("click", ref=ref)


async def test_a_start_can_be_cancelled(own: World) -> None:
    own.site.pages["/"] = "<h1>one</h1>"
    url = {"url": own.site.url}
    for _ in range(3):
        with anyio.move_on_after(0.6) as scope:
            await own.call("navigate", **url)
        if not scope.cancelled_caught:
            await own.tools.close()
    assert 'heading "one"' in await own.call("navigate", **url)
    await until(lambda: len(processes(CHROMIUM_ITSELF)) <= 1)


async def test_a_page_that_hangs_is_told_and_replaced(own: World) -> None:
    text = await own.open("/", "<button onclick='while (true);'>Hang</button>")
    told = await own.fault("click", ref=ref_of(text, 'button "Hang"'))
    assert told.startswith("The page does not respond: a script keeps it busy.")
    assert "no answer (" in await own.call("tabs", action="list")
    assert 'heading "two"' in await own.open("/two", "<h1>two</h1>")
    assert "open tabs" not in own.last.text


async def test_cancelling_while_a_page_hangs_leaves_the_browser_usable(own: World) -> None:
    text = await own.open("/", "<button onclick='while (true);'>Hang</button>")
    ref = ref_of(text, 'button "Hang"')
    assert await seconds_to_cancel(own, "click", {"ref": ref}) < LIMITS.answer_seconds
    assert 'heading "two"' in await own.open("/two", "<h1>two</h1>")


async def test_calls_at_the_same_time_take_turns(own: World) -> None:
    for number in range(4):
        own.site.pages[f"/{number}"] = f"<h1>page {number}</h1>"
    texts: dict[int, str] = {}

    async def visit(number: int) -> None:
        result = await own.tools.tools["browser_navigate"](
            {"url": f"{own.site.url}/{number}"}, _no_one
        )
        texts[number] = result.text

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(visit, number)
    assert all(f'heading "page {number}"' in text for number, text in texts.items())


async def test_the_proxy_gets_everything_but_loopback(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.add("/workspace/a.html", "<h1>file</h1>")
    async with running_site() as proxy, running_site() as site:
        proxy.pages["http://site.example/"] = "<h1>by proxy</h1>"
        site.pages["/"] = "<h1>direct</h1>"
        config = replace(browser_config(tmp_path, workspace), proxy_server=proxy.url)
        tools = build_browser_tools(config)
        navigate = tools.tools["browser_navigate"]
        try:
            result = await navigate({"url": "http://site.example/"}, _no_one)
            assert 'heading "by proxy"' in result.text
            for host in ("127.0.0.1", "localhost"):
                result = await navigate({"url": f"http://{host}:{site.port}/"}, _no_one)
                assert 'heading "direct"' in result.text
            assert 'heading "file"' in (await navigate({"url": "a.html"}, _no_one)).text
            with pytest.raises(ToolFault, match=r"site\.example/ cannot be opened: Not Found"):
                await navigate({"url": "https://site.example/"}, _no_one)
        finally:
            await tools.close()
    assert not any("workspace.sandlot" in path for path in proxy.seen)


async def test_a_missing_browser_is_told(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    config = replace(browser_config(tmp_path, workspace), executable="/nowhere/chromium")
    tools = build_browser_tools(config)
    with pytest.raises(ToolFault, match="There is no browser at /nowhere/chromium"):
        await tools.tools["browser_snapshot"]({}, _no_one)


async def test_a_program_that_is_no_browser_is_told(tmp_path: Path) -> None:
    config = replace(browser_config(tmp_path, Workspace(tmp_path)), executable="/bin/false")
    tools = build_browser_tools(config)
    with pytest.raises(ToolFault, match="The browser did not start: "):
        await tools.tools["browser_snapshot"]({}, _no_one)
    await tools.close()
    await until(lambda: not processes())


async def test_a_profile_that_keeps_chromium_from_starting_is_forgotten(own: World) -> None:
    profile = own.config.directory / "profile"
    profile.mkdir(parents=True)
    (profile / "SingletonLock").symlink_to("another-host-12345")
    (profile / "Default").write_bytes(b"not a folder")
    assert 'heading "one"' in await own.open("/", "<h1>one</h1>")


async def test_files_of_the_browser_stay_in_its_folder(own: World) -> None:
    before = marks_in_home()
    await own.open("/", "<h1>one</h1>")
    await own.tools.close()
    assert marks_in_home() == before
    assert (own.config.directory.stat().st_mode & 0o777) == 0o700
    assert sorted(path.name for path in own.config.directory.iterdir()) == ["home", "profile"]


async def _no_one(text: str) -> None:
    return None


def marks_in_home() -> dict[str, int | None]:
    """When the folders of a home that Chromium would write to were changed."""
    folders = {name: Path.home() / name for name in (".config", ".cache", ".pki", ".local")}
    return {
        name: folder.stat().st_mtime_ns if folder.exists() else None
        for name, folder in folders.items()
    }
