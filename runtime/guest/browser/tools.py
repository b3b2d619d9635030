"""The browser's tools, by the names and arguments of `runtime.schema.sandbox_tools`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator

from runtime.errors import ToolFault
from runtime.guest.browser.address import absolute, parse, shown
from runtime.guest.browser.chromium import Browser
from runtime.guest.browser.config import BrowserConfig
from runtime.guest.browser.faults import cut
from runtime.guest.browser.pages import Tab
from runtime.guest.browser.pictures import format_of, lighter, plan, take
from runtime.guest.browser.questions import (
    check_options,
    check_value,
    kind_of,
    options_of,
    scroll,
    showing,
)
from runtime.guest.browser.report import heading
from runtime.guest.browser.turn import Turn
from runtime.guest.tools import Emit, Tool
from runtime.schema.content import TextContent, image_from_bytes
from runtime.schema.steps import ToolResult, text_result

_TEXT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BrowserTools:
    """The tools of one browser. `close` ends the browser; a later call starts it again."""

    tools: Mapping[str, Tool]
    browser: Browser

    async def close(self) -> None:
        """End the browser; takes some seconds at most."""
        await self.browser.close()


def build_browser_tools(config: BrowserConfig) -> BrowserTools:
    """The tools of a browser that starts with the first call."""
    browser = Browser(config)
    calls = _Calls(browser)
    tools: dict[str, Tool] = {
        "browser_navigate": calls.navigate,
        "browser_snapshot": calls.snapshot,
        "browser_click": calls.click,
        "browser_type": calls.type,
        "browser_press": calls.press,
        "browser_select": calls.select,
        "browser_scroll": calls.scroll,
        "browser_back": calls.back,
        "browser_wait": calls.wait,
        "browser_screenshot": calls.screenshot,
        "browser_tabs": calls.tabs,
        "browser_download": calls.download,
    }
    return BrowserTools(tools, browser)


class _Calls:
    """One method per tool. All raise `ToolFault` for what the model can mend."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser

    async def navigate(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Open an address in the active tab."""
        address = parse(arguments["url"])
        async with self._browser.turn("fresh") as turn:
            return text_result(await turn.report(await turn.open(address)))

    async def snapshot(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """The page as text."""
        async with self._browser.turn(acts=False) as turn:
            start_line = int(arguments.get("start_line") or 1)
            text = await turn.report("", start_line=start_line)
            return text_result(text.lstrip("\n"))

    async def click(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Click an element."""
        async with self._browser.turn() as turn:
            element, name = await _named(turn, arguments["ref"])
            if arguments.get("double"):
                await turn.act(name, element.dblclick())
                return text_result(await turn.report(f"Double-clicked {name}."))
            await turn.act(name, element.click())
            return text_result(await turn.report(f"Clicked {name}."))

    async def type(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Fill a field."""
        async with self._browser.turn() as turn:
            element, name = await _named(turn, arguments["ref"])
            text: str = arguments["text"]
            with turn.tab.answering(turn.limits.answer_seconds):
                check_value(text, await kind_of(element), name)
            await turn.act(name, element.fill(text))
            line = f"Typed {cut(text, 80)!r} into {name}."
            if arguments.get("submit"):
                with turn.tab.answering(turn.limits.answer_seconds):
                    await turn.tab.page.keyboard.press("Enter")
                await turn.settle()
                line += " Pressed Enter."
            return text_result(await turn.report(line))

    async def press(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Press a key."""
        key = arguments["key"]
        async with self._browser.turn() as turn:
            try:
                with turn.tab.answering(turn.limits.answer_seconds):
                    await turn.tab.page.keyboard.press(key)
            except PlaywrightError as error:
                if "Unknown key" not in error.message:
                    raise
                text = (
                    f"There is no key {cut(key, 40)!r}; keys are named like `Enter`, `ArrowDown`."
                )
                raise ToolFault(text) from error
            await turn.settle()
            return text_result(await turn.report(f"Pressed {key}."))

    async def select(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Choose options of a select element."""
        values: list[str] = arguments["values"]
        async with self._browser.turn() as turn:
            element, name = await _named(turn, arguments["ref"])
            with turn.tab.answering(turn.limits.answer_seconds):
                check_options(values, await options_of(element), name)
            await turn.act(name, element.select_option(values))
            return text_result(await turn.report(f"Selected {', '.join(values)} in {name}."))

    async def scroll(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Scroll the page, what scrolls around an element, or to an element."""
        ref, direction = arguments.get("ref"), arguments.get("direction")
        async with self._browser.turn() as turn:
            element = await turn.find(ref) if ref else None
            if element is not None and direction is None:
                name = turn.tab.name_of(str(ref))
                await turn.act(name, element.scroll_into_view_if_needed())
                return text_result(turn.brief(f"Scrolled to {name}."))
            with turn.tab.answering(turn.limits.answer_seconds):
                place = await scroll(turn.tab.page, element, direction or "down")
            await turn.settle()
            return text_result(turn.brief(place))

    async def back(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Go back one page."""
        async with self._browser.turn() as turn:
            await turn.back()
            return text_result(await turn.report("Went back."))

    async def wait(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Wait for a text, for its end, or for a time."""
        text, gone = arguments.get("text"), arguments.get("text_gone")
        async with self._browser.turn(acts=False) as turn:
            most = turn.limits.wait_seconds
            if not text and not gone:
                seconds = min(max(float(arguments.get("seconds") or 0), 0), most)
                await anyio.sleep(seconds)
                return text_result(await turn.report(f"Waited {seconds:g} seconds."))
            seconds = min(float(arguments.get("seconds") or _TEXT_SECONDS), most)
            is_met = await showing(turn.tab, text, gone, seconds)
            line = _waited(text, gone, None if is_met else seconds)
            return text_result(await turn.report(line), is_error=not is_met)

    async def screenshot(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """A picture of the page or of an element."""
        path, ref = arguments.get("path"), arguments.get("ref")
        form = format_of(path)
        async with self._browser.turn(acts=False) as turn:
            page, limits = turn.tab.page, turn.limits
            element = await turn.find(ref) if ref else None
            with turn.tab.answering(3 * limits.answer_seconds):
                whole = bool(arguments.get("full_page"))
                shot = await plan(page, element, limits, whole=whole)
                picture = await take(page, shot, form, limits)
                seen = await lighter(page, shot, picture, limits)
            what = turn.tab.name_of(ref) if ref else shown(page.url)
            line = f"Screenshot of {what}.{shot.note}"
            if path:
                await turn.config.write_workspace_file(absolute(path), picture.data)
                line += f" Saved as {absolute(path)}."
            return ToolResult([TextContent(text=line), image_from_bytes(seen.data, seen.mime_type)])

    async def tabs(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """List, open, choose or close tabs."""
        address = parse(arguments["url"]) if arguments.get("url") else None
        async with self._browser.turn("any") as turn:
            match arguments["action"]:
                case "list":
                    return text_result(turn.brief(await _list(turn)))
                case "new":
                    await turn.new_tab()
                    line = await turn.open(address) if address else "Opened a tab."
                case "select":
                    await turn.tabs.select(_chosen(turn, arguments))
                    line = "Chose the tab."
                case "close":
                    await turn.tabs.close(_chosen(turn, arguments))
                    line = "Closed the tab."
                case other:
                    raise ToolFault(f"{other!r} is none of list, new, select, close.")
            return text_result(await turn.report(line))

    async def download(self, arguments: dict[str, Any], emit: Emit) -> ToolResult:
        """Click an element and keep the file that it sends."""
        async with self._browser.turn() as turn:
            element, name = await _named(turn, arguments["ref"])
            await turn.act(name, element.click())
            with anyio.move_on_after(turn.limits.download_start_seconds):
                await turn.downloads.beginning()
            if not turn.downloads.has_begun:
                line = f"Clicked {name}, but no download began."
                return text_result(await turn.report(line), is_error=True)
            line = f"Clicked {name}. {await turn.keep(arguments.get('path'))}"
            return text_result(await turn.report(line))


async def _named(turn: Turn, ref: str) -> tuple[Locator, str]:
    return await turn.find(ref), turn.tab.name_of(ref)


def _waited(text: str | None, gone: str | None, in_vain_for: float | None) -> str:
    """What waiting for texts came to; `in_vain_for` is the time that was not enough."""
    wished = [f"{text!r} shows"] if text else []
    wished += [f"{gone!r} is gone"] if gone else []
    if in_vain_for is None:
        return f"Now {' and '.join(wished)}."
    return f"In {in_vain_for:g} seconds it did not happen that {' and '.join(wished)}."


def _chosen(turn: Turn, arguments: dict[str, Any]) -> Tab:
    index = arguments.get("index")
    if index is not None:
        return turn.tabs.at(int(index))
    if arguments["action"] == "close":
        return turn.tab
    raise ToolFault("Say which tab with index; browser_tabs with action=list shows them.")


async def _list(turn: Turn) -> str:
    lines: list[str] = []
    for index, tab in enumerate(turn.tabs.all):
        mark = " (active)" if tab is turn.tab else ""
        lines.append(f"{index}{mark}: {await _title_line(tab)}")
    return "\n".join(lines)


async def _title_line(tab: Tab) -> str:
    if tab.has_crashed:
        return f"crashed ({shown(tab.page.url)})"
    with anyio.move_on_after(1):
        return heading(await tab.page.title(), tab.page.url)
    return f"no answer ({shown(tab.page.url)})"
