from __future__ import annotations

import anyio
import pytest

from tests.support.browser_world import Answer, World, needs_chromium, ref_of

pytestmark = [pytest.mark.anyio, needs_chromium]


async def test_a_page_comes_with_title_address_and_snapshot(world: World) -> None:
    text = await world.open("/", "<title>Home  page</title><h1>Hello</h1><a href='/two'>More</a>")
    assert text.splitlines()[:3] == [
        f"Opened {world.site.url}/.",
        f"Page: Home page ({world.site.url}/)",
        "Snapshot:",
    ]
    assert 'heading "Hello"' in text
    assert ref_of(text, 'link "More"')
    assert "/url: /two" in text


async def test_a_local_server_needs_no_scheme(world: World) -> None:
    world.site.pages["/x"] = "<h1>here</h1>"
    text = await world.call("navigate", url=f"localhost:{world.site.port}/x")
    assert 'heading "here"' in text


async def test_the_address_after_a_redirect_is_shown(world: World) -> None:
    world.site.pages["/old"] = Answer(status="302 Found", headers={"Location": "/new"})
    world.site.pages["/new"] = "<h1>new</h1>"
    text = await world.open("/old")
    assert f"Page: {world.site.url}/new" in text


async def test_an_http_error_is_told_and_its_page_shown(world: World) -> None:
    text = await world.open("/gone", Answer("<h1>sorry</h1>", status="410 Gone"))
    assert "the server answered 410 Gone." in text
    assert 'heading "sorry"' in text


async def test_what_a_script_fetches_at_once_is_in_the_snapshot(world: World) -> None:
    world.site.pages["/data"] = Answer('{"n": 1}', "application/json", delay_seconds=0.2)
    world.site.pages["/more"] = Answer('{"n": 2}', "application/json", delay_seconds=0.2)
    script = """<script>
      const get = async (path) => (await (await fetch(path)).json()).n;
      addEventListener('load', async () => {
        document.body.append('first ' + await get('/data'));
        document.body.append(', then ' + await get('/more'));
      });
    </script>"""
    assert "first 1, then 2" in await world.open("/", script)


async def test_a_page_that_never_stops_loading_is_shown_all_the_same(world: World) -> None:
    world.site.pages["/never.png"] = Answer(gate=anyio.Event())
    text = await world.open("/", "<h1>text</h1><img src='/never.png'>")
    assert "Note: The page is still loading." in text
    assert 'heading "text"' in text


async def test_a_server_that_does_not_answer_is_a_fault_and_the_browser_goes_on(
    world: World,
) -> None:
    world.site.pages["/never"] = Answer(gate=anyio.Event())
    told = await world.fault("navigate", url=f"{world.site.url}/never")
    assert told == f"{world.site.url}/never did not answer within 4 seconds."
    assert 'heading "next"' in await world.open("/next", "<h1>next</h1>")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://no-such-host.invalid/", "no-such-host.invalid c"),
        ("http://127.0.0.1:9/", "Browsers refuse that port"),
        ("http://127.0.0.1:99999/", "is not a valid URL"),
        ("file:///etc/passwd", "/etc/passwd is outside of /workspace"),
        ("chrome://version", "opens no chrome: addresses"),
        ("view-source:http://127.0.0.1/", "opens no view-source: addresses"),
        ("javascript:alert(1)", "opens no javascript: addresses"),
        ("", "The url is empty"),
    ],
)
async def test_what_cannot_be_opened_is_told(world: World, url: str, told: str) -> None:
    assert told in await world.fault("navigate", url=url)
    assert 'heading "next"' in await world.open("/next", "<h1>next</h1>")


async def test_a_refused_connection_is_told(world: World) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
    told = await world.fault("navigate", url=f"http://127.0.0.1:{port}/")
    assert told.startswith(f"Nothing answers at 127.0.0.1:{port}: the connection was refused.")


async def test_an_answer_without_a_page_is_told(world: World) -> None:
    world.site.pages["/none"] = Answer(status="204 No Content")
    told = await world.fault("navigate", url=f"{world.site.url}/none")
    assert told == f"{world.site.url}/none gave no page: the server sent none, or broke off."


async def test_a_page_that_leaves_by_itself_does_not_stop_a_navigation(world: World) -> None:
    world.site.pages["/elsewhere"] = Answer("<h1>elsewhere</h1>", delay_seconds=0.3)
    leave = "<button onclick=\"setTimeout(() => location.href = '/elsewhere', 150)\">Go</button>"
    text = await world.open("/", leave)
    await world.call("click", ref=ref_of(text, 'button "Go"'))
    assert 'heading "wanted"' in await world.open("/wanted", "<h1>wanted</h1>")


async def test_data_addresses_open(world: World) -> None:
    assert 'heading "inline"' in await world.call("navigate", url="data:text/html,<h1>inline</h1>")


async def test_back_goes_back_and_says_when_there_is_nothing(world: World) -> None:
    await world.call("tabs", action="new")
    assert "no page to go back to" in await world.fault("back")
    await world.open("/one", "<h1>one</h1>")
    await world.open("/two", "<h1>two</h1>")
    text = await world.call("back")
    assert text.startswith("Went back.\n")
    assert 'heading "one"' in text
    assert "no page to go back to" in await world.fault("back")


async def test_a_long_snapshot_is_cut_and_can_be_read_on(world: World) -> None:
    rows = "".join(f"<li>row number {number}</li>" for number in range(2000))
    text = await world.open("/", f"<ul>{rows}</ul>")
    assert len(text) < 25_000
    last = text.splitlines()[-1]
    assert "The rest: browser_snapshot with start_line=" in last
    start = int(last.partition("start_line=")[2].partition(";")[0])
    more = await world.call("snapshot", start_line=start)
    first_row = more.splitlines()[2]
    number = int(first_row.rpartition(" ")[2])
    assert f"row number {number - 1}" in text
    assert f"row number {number}\n" not in text


async def test_errors_of_the_page_come_with_the_snapshot(world: World) -> None:
    script = """<h1>x</h1><script>
      console.log('fine'); console.warn('hm');
      for (let n = 0; n < 3; n++) console.error('broken wheel');
      throw new TypeError('no such axle');
    </script>"""
    text = await world.open("/", script)
    head = text.partition("Snapshot:")[0]
    assert "- TypeError: no such axle" in head
    assert "- broken wheel (" in head
    assert "(3 times)" in head
    assert "fine" not in head
    assert "hm" not in head
    assert "Errors" not in await world.open("/clean", "<h1>clean</h1>")


async def test_page_errors_of_the_page_before_are_not_repeated(world: World) -> None:
    await world.open("/bad", "<script>throw new Error('old')</script>")
    assert "old" not in await world.open("/good", "<h1>good</h1>")
