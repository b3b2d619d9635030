from __future__ import annotations

import anyio
import pytest

from tests.support.browser_world import LIMITS, Answer, World, needs_chromium, ref_of

pytestmark = [pytest.mark.anyio, needs_chromium]


@pytest.mark.parametrize(
    "opener",
    [
        "<a href=/new target=_blank>Open</a>",
        "<a href=/new target=_blank rel=noopener>Open</a>",
        '<a href=/new onclick="window.open(this.href); return false">Open</a>',
    ],
)
async def test_a_popup_becomes_the_active_tab(world: World, opener: str) -> None:
    world.site.pages["/new"] = Answer("<title>New</title><h1>popup</h1>", delay_seconds=0.1)
    text = await world.open("/", opener)
    after = await world.call("click", ref=ref_of(text, 'link "Open"'))
    assert "Note: A new tab opened; it is the active one now." in after
    assert "Tab 1 of 2 open tabs, counted from 0." in after
    assert 'heading "popup"' in after
    back = await world.call("tabs", action="close")
    assert 'link "Open"' in back


async def test_a_popup_that_a_script_writes_is_shown(world: World) -> None:
    page = """<button onclick="window.open('').document.write('<h1>written</h1>')">W</button>"""
    text = await world.open("/", page)
    assert 'heading "written"' in await world.call("click", ref=ref_of(text, 'button "W"'))


async def test_a_tab_that_closes_itself_gives_way_to_its_opener(world: World) -> None:
    world.site.pages["/in"] = "<h1>log in</h1><button onclick='window.close()'>Done</button>"
    text = await world.open("/", "<button onclick=\"window.open('/in')\">Log in</button>")
    text = await world.call("click", ref=ref_of(text, 'button "Log in"'))
    after = await world.call("click", ref=ref_of(text, 'button "Done"'))
    assert 'button "Log in"' in after
    assert "open tabs" not in after


async def test_tabs_are_listed_opened_chosen_and_closed(world: World) -> None:
    await world.open("/a", "<title>A</title><h1>a</h1>")
    world.site.pages["/b"] = "<title>B</title><h1>b</h1>"
    opened = await world.call("tabs", action="new", url=f"{world.site.url}/b")
    assert opened.startswith(f"Opened {world.site.url}/b.\nPage: B")
    url = world.site.url
    assert await world.call("tabs", action="list") == (
        f"0: Page: A ({url}/a)\n1 (active): Page: B ({url}/b)"
    )
    assert 'heading "a"' in await world.call("tabs", action="select", index=0)
    assert "0 (active): Page: A" in await world.call("tabs", action="list")
    assert 'heading "a"' in await world.call("tabs", action="close", index=1)
    assert await world.call("tabs", action="list") == f"0 (active): Page: A ({url}/a)"


async def test_closing_the_last_tab_leaves_a_blank_one(world: World) -> None:
    await world.open("/a", "<h1>a</h1>")
    assert await world.call("tabs", action="close") == (
        "Closed the tab.\nPage: about:blank\nSnapshot:\n(the page is empty)"
    )
    assert 'heading "a"' in await world.open("/a")


async def test_a_page_that_closes_the_last_tab_leaves_the_browser_usable(world: World) -> None:
    await world.call("tabs", action="new", url="about:blank")
    await world.call("tabs", action="close", index=0)
    text = await world.open("/", "<button onclick='window.close()'>Close</button>")
    await world.call("click", ref=ref_of(text, 'button "Close"'))
    assert 'heading "a"' in await world.open("/a", "<h1>a</h1>")


@pytest.mark.parametrize("action", ["select", "close"])
async def test_a_tab_that_is_not_there_is_told(world: World, action: str) -> None:
    for index in (1, -1):
        told = f"There is no tab {index}; there are 1, from 0."
        assert await world.fault("tabs", action=action, index=index) == told
    assert "Say which tab" in await world.fault("tabs", action="select")


async def test_tabs_are_bounded(world: World) -> None:
    many = f"for (let n = 0; n < {LIMITS.tabs + 4}; n++) window.open('about:blank')"
    text = await world.open("/", f'<button onclick="{many}">Many</button>')
    after = await world.call("click", ref=ref_of(text, 'button "Many"'))
    assert "Note: The page tried to open one more tab than there may be." in after
    assert len((await world.call("tabs", action="list")).splitlines()) <= LIMITS.tabs
    assert "which is the limit" in await world.fault("tabs", action="new")


async def test_a_tab_that_opens_by_itself_is_not_chosen(world: World) -> None:
    world.site.pages["/late"] = "<h1>late</h1>"
    page = "<h1>first</h1><script>setTimeout(() => window.open('/late'), 300)</script>"
    text = await world.open("/", page)
    with anyio.fail_after(10):
        while "Note: A page opened tab 1 by itself." not in text:
            text = await world.call("wait", seconds=0.05)
    assert 'heading "first"' in text
