from __future__ import annotations

import re
from time import monotonic

import anyio
import pytest

from tests.support.browser_world import Answer, World, needs_chromium, ref_of

pytestmark = [pytest.mark.anyio, needs_chromium]

OUT = "<output id=out></output><script>const out = document.getElementById('out');</script>"


async def test_a_click_acts_and_returns_the_page_after_it(world: World) -> None:
    page = "<button onclick=\"out.textContent = 'bought'\">Buy</button>" + OUT
    ref = ref_of(await world.open("/", page), 'button "Buy"')
    text = await world.call("click", ref=ref)
    assert text.startswith(f'Clicked button "Buy" ({ref}).\n')
    assert "bought" in text


async def test_a_double_click_is_one(world: World) -> None:
    page = "<button ondblclick=\"out.textContent = 'twice'\">B</button>" + OUT
    text = await world.open("/", page)
    assert "twice" in await world.call("click", ref=ref_of(text, 'button "B"'), double=True)


async def test_what_a_click_renders_later_by_request_is_in_the_snapshot(world: World) -> None:
    world.site.pages["/rows"] = Answer("three rows", "text/plain", delay_seconds=0.3)
    load = "fetch('/rows').then((r) => r.text()).then((t) => out.textContent = t)"
    text = await world.open("/", f'<button onclick="{load}">Load</button>{OUT}')
    assert "three rows" in await world.call("click", ref=ref_of(text, 'button "Load"'))


async def test_a_click_on_a_link_waits_for_the_page_behind_it(world: World) -> None:
    # Longer than an element may take to be clicked on.
    world.site.pages["/slow"] = Answer("<h1>slow page</h1>", delay_seconds=2.5)
    text = await world.open("/", "<a href='/slow'>Go</a>")
    after = await world.call("click", ref=ref_of(text, 'link "Go"'))
    assert f"Page: {world.site.url}/slow" in after
    assert 'heading "slow page"' in after


async def test_a_navigation_by_script_is_waited_for(world: World) -> None:
    world.site.pages["/there"] = Answer("<h1>there</h1>", delay_seconds=0.05)
    text = await world.open("/", "<button onclick=\"location.href = '/there'\">Go</button>")
    for _ in range(5):
        after = await world.call("click", ref=ref_of(text, 'button "Go"'))
        assert 'heading "there"' in after
        text = await world.call("back")


@pytest.mark.parametrize(
    ("page", "what", "told"),
    [
        ("<button disabled>B</button>", 'button "B"', "cannot be used: it is disabled."),
        (
            "<button>B</button><div style='position:fixed;inset:0' id=veil>wait</div>",
            'button "B"',
            'is covered by <div id="veil">wait</div>; deal with that first.',
        ),
        (
            "<button style='position:fixed;left:-500px'>B</button>",
            'button "B"',
            "cannot be used: it does not scroll into view.",
        ),
    ],
)
async def test_why_an_element_cannot_be_clicked(
    world: World, page: str, what: str, told: str
) -> None:
    ref = ref_of(await world.open("/", page), what)
    assert await world.fault("click", ref=ref) == f"{what} ({ref}) {told}"


async def test_a_stale_ref_is_told(world: World) -> None:
    old = ref_of(await world.open("/", "<button>B</button>"), 'button "B"')
    await world.open("/other", "<button>B</button>")
    told = f"ref {old} is not in the last snapshot; take a new one with browser_snapshot."
    assert await world.fault("click", ref=old) == told
    for name, arguments in {
        "type": {"text": "x"},
        "select": {"values": ["x"]},
        "scroll": {},
        "screenshot": {},
        "download": {},
    }.items():
        assert await world.fault(name, ref=old, **arguments) == told


async def test_the_ref_of_an_element_that_went_away_is_told(world: World) -> None:
    page = "<button onclick='this.remove()'>B</button>"
    ref = ref_of(await world.open("/", page), 'button "B"')
    await world.call("click", ref=ref)
    assert "is not in the last snapshot" in await world.fault("click", ref=ref)


async def test_a_ref_holds_while_its_element_does(world: World) -> None:
    page = "<button onclick=\"out.textContent += 'x'\">B</button>" + OUT
    ref = ref_of(await world.open("/", page), 'button "B"')
    for _ in range(3):
        text = await world.call("click", ref=f"[ref={ref}]")
    assert "xxx" in text


@pytest.mark.parametrize("ref", ["", "button", "e1 >> nth=0", "#b", "e1e2"])
async def test_what_is_no_ref_is_told(world: World, ref: str) -> None:
    await world.open("/", "<button id=b>B</button>")
    assert await world.fault("click", ref=ref) == f"{ref!r} is not a ref; refs look like `e12`."


async def test_a_form_is_filled_and_sent(world: World) -> None:
    form = """<form action=/search>
      <input name=q value=old aria-label=Query>
      <select name=in aria-label=Where><option value=w>Web<option value=i>Images</select>
    </form>"""
    world.site.pages["/search"] = "<h1>results</h1>"
    text = await world.open("/", form)
    text = await world.call("select", ref=ref_of(text, 'combobox "Where"'), values=["Images"])
    assert 'option "Images" [selected]' in text
    query = ref_of(text, 'textbox "Query"')
    text = await world.call("type", ref=query, text="naïve & 日本", submit=True)
    assert 'heading "results"' in text
    assert world.site.seen[-1] == "/search?q=na%C3%AFve+%26+%E6%97%A5%E6%9C%AC&in=i"


async def test_typing_replaces_and_clears(world: World) -> None:
    text = await world.open("/", "<input aria-label=Name value=old>")
    ref = ref_of(text, 'textbox "Name"')
    typed = await world.call("type", ref=ref, text="new")
    assert re.search(r'textbox "Name".*: new', typed)
    cleared = await world.call("type", ref=ref, text="")
    assert "new" not in cleared.partition("Snapshot:")[2]


@pytest.mark.parametrize(
    ("page", "what", "told"),
    [
        ("<button>B</button>", 'button "B"', "is not a field that text can be typed into."),
        (
            "<input type=checkbox aria-label=C>",
            'checkbox "C"',
            "is not a field to type into; click it instead.",
        ),
        ("<input type=number aria-label=N>", 'spinbutton "N"', "takes a number only."),
        (
            "<input type=date aria-label=D>",
            'textbox "D"',
            "takes a date in the form 2026-01-31.",
        ),
        ("<input readonly aria-label=R>", 'textbox "R"', "cannot be used: it is read-only."),
    ],
)
async def test_why_a_field_cannot_be_typed_into(
    world: World, page: str, what: str, told: str
) -> None:
    ref = ref_of(await world.open("/", page), what)
    assert await world.fault("type", ref=ref, text="next week") == f"{what} ({ref}) {told}"


async def test_options_are_chosen_by_label_or_value(world: World) -> None:
    page = """<select multiple aria-label=Fruit onchange="out.textContent =
      [...this.selectedOptions].map((o) => o.value).join('+')">
      <option value=a>Apple<option value=b>Banana<option value=c>Cherry</select>"""
    text = await world.open("/", page + OUT)
    ref = ref_of(text, 'listbox "Fruit"')
    assert "a+c" in await world.call("select", ref=ref, values=["Apple", "c"])


async def test_a_missing_option_is_told_with_those_there_are(world: World) -> None:
    page = "<select aria-label=Size><option>Small<option>Large</select><button>B</button>"
    text = await world.open("/", page)
    ref = ref_of(text, 'combobox "Size"')
    assert await world.fault("select", ref=ref, values=["Medium"]) == (
        f"combobox \"Size\" ({ref}) has no option 'Medium'. It has: 'Small', 'Large'."
    )
    ref = ref_of(text, 'button "B"')
    assert "is not a select element" in await world.fault("select", ref=ref, values=["Small"])


async def test_keys_reach_the_page(world: World) -> None:
    page = (
        "<script>onkeydown = (e) => out.textContent += `${e.ctrlKey ? '^' : ''}${e.key} `;</script>"
    )
    await world.open("/", OUT + page)
    await world.call("press", key="ArrowDown")
    assert "ArrowDown ^a" in (await world.call("press", key="Control+a")).replace("^Control ", "")
    assert "There is no key 'Foo'" in await world.fault("press", key="Foo")


async def test_a_key_that_sends_a_form_is_waited_for(world: World) -> None:
    world.site.pages["/sent"] = Answer("<h1>sent</h1>", delay_seconds=0.2)
    for _ in range(5):
        await world.open("/", "<form action=/sent><input name=q autofocus></form>")
        assert 'heading "sent"' in await world.call("press", key="Enter")


async def test_scrolling_says_where_it_got_to(world: World) -> None:
    text = await world.open("/", "<body style='margin:0'><div style='height:5000px'>x</div>")
    assert await world.call("scroll") == "Scrolled down: 680 to 1480 of 5000 pixels show."
    bottom = await world.call("scroll", direction="bottom")
    assert bottom == "Scrolled bottom: 4200 to 5000 of 5000 pixels show."
    assert "3520 to 4320" in await world.call("scroll", direction="up")
    assert "0 to 800" in await world.call("scroll", direction="top")
    assert text


async def test_what_scrolls_inside_a_page_is_scrolled(world: World) -> None:
    page = """<body style='margin:0;overflow:hidden'><main style='height:800px;overflow:auto'>
      <div style='height:3000px'>list</div><button onclick="out.textContent = 'hit'">End</button>
    </main>"""
    text = await world.open("/", page + OUT)
    assert "680 to 1480 of 30" in await world.call("scroll", direction="down")
    end = ref_of(text, 'button "End"')
    assert await world.call("scroll", ref=end) == f'Scrolled to button "End" ({end}).'
    assert "0 to 800" in await world.call("scroll", ref=end, direction="top")


async def test_waiting_for_a_text_and_for_its_end(world: World) -> None:
    gate = anyio.Event()
    world.site.pages["/done"] = Answer("All done", "text/plain", gate=gate)
    page = """<p id=p>Working</p><script>
      fetch('/done').then((r) => r.text()).then((t) => p.textContent = t)</script>"""
    await world.open("/", page)
    assert "Now 'working' shows." in await world.call("wait", text="working")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(world.call_silently, "wait", {"text": "all DONE", "text_gone": "Working"})
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert world.last.text.startswith("Now 'all DONE' shows and 'Working' is gone.")
    assert "All done" in world.last.text
    assert not world.last.is_error


async def test_waiting_in_vain_is_an_error_with_the_page(world: World) -> None:
    await world.open("/", "<p>here</p><p hidden>secret</p>")
    text = await world.call("wait", text="secret", seconds=0.2)
    assert text.startswith("In 0.2 seconds it did not happen that 'secret' shows.")
    assert "here" in text
    assert world.last.is_error


async def test_waiting_for_a_time(world: World) -> None:
    await world.open("/", "<p>x</p>")
    begun = monotonic()
    assert (await world.call("wait", seconds=0.2)).startswith("Waited 0.2 seconds.")
    assert monotonic() - begun >= 0.2


async def test_frames_are_in_the_snapshot_and_can_be_used(world: World) -> None:
    world.site.pages["/inner"] = "<button onclick=\"this.textContent = 'pressed'\">Inner</button>"
    text = await world.open("/", "<h1>outer</h1><iframe src=/inner></iframe>")
    text = await world.call("click", ref=ref_of(text, 'button "Inner"'))
    assert 'button "pressed"' in text
    assert "Now 'pressed' shows." in await world.call("wait", text="pressed")


async def test_shadow_trees_are_in_the_snapshot_and_can_be_used(world: World) -> None:
    page = """<x-box></x-box><script>
      const root = document.querySelector('x-box').attachShadow({mode: 'open'});
      root.innerHTML = '<button>Deep</button>';
      root.firstChild.onclick = () => root.firstChild.textContent = 'found';
    </script>"""
    text = await world.open("/", page)
    assert 'button "found"' in await world.call("click", ref=ref_of(text, 'button "Deep"'))


async def test_dialogs_are_accepted_and_told(world: World) -> None:
    page = """<button onclick="alert('Saved!')">A</button>
      <button onclick="out.textContent = 'confirmed: ' + confirm('Sure?')">C</button>
      <button onclick="out.textContent = 'name: ' + prompt('Name?', 'Ann')">P</button>"""
    text = await world.open("/", page + OUT)
    told = await world.call("click", ref=ref_of(text, 'button "A"'))
    assert "Note: A dialog (alert) said 'Saved!'; it was accepted." in told
    told = await world.call("click", ref=ref_of(text, 'button "C"'))
    assert "Note: A dialog (confirm) said 'Sure?'; it was accepted." in told
    assert "confirmed: true" in told
    told = await world.call("click", ref=ref_of(text, 'button "P"'))
    assert "Note: A prompt asked 'Name?'; it was answered with 'Ann'." in told
    assert "name: Ann" in told
    assert "Note:" not in await world.call("snapshot")


async def test_a_dialog_while_loading_does_not_hold_a_page_up(world: World) -> None:
    text = await world.open("/", "<script>alert('Cookies?')</script><h1>content</h1>")
    assert "said 'Cookies?'" in text
    assert 'heading "content"' in text


async def test_a_page_with_timers_of_its_own_can_be_used(world: World) -> None:
    page = """<button onclick="out.textContent = 'clicked'">B</button>
      <script>window.setTimeout = window.requestAnimationFrame = () => 0;</script>"""
    text = await world.open("/", OUT + page)
    assert "clicked" in await world.call("click", ref=ref_of(text, 'button "B"'))
