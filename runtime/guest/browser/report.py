"""What a model is told about a page: title, address, what happened, errors, and the snapshot."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import anyio
from playwright.async_api import ConsoleMessage, Page

from runtime.guest.browser.address import WORKSPACE, WORKSPACE_ORIGIN, shown
from runtime.guest.browser.config import BrowserLimits
from runtime.guest.browser.faults import cut
from runtime.guest.browser.pages import Notices, Tab, Tabs

_LINE_CHARS = 1000
_TITLE_CHARS = 200


async def describe(
    tabs: Tabs, tab: Tab, notices: Notices, limits: BrowserLimits, *, start_line: int = 1
) -> str:
    """The state of `tab`. Raises `ToolFault` when the page does not answer."""
    with tab.answering(limits.answer_seconds):
        state = await _ask(tab.page, limits.console_errors)
    tab.snapshot = state.snapshot.replace(f"{WORKSPACE_ORIGIN}/", f"{WORKSPACE}/")
    lines = [heading(state.title, tab.page.url)]
    if len(tabs.all) > 1:
        lines.append(f"Tab {tabs.all.index(tab)} of {len(tabs.all)} open tabs, counted from 0.")
    lines.extend(f"Note: {notice}" for notice in notices.take())
    if state.errors:
        lines.append("Errors on the page's console:")
        lines.extend(f"- {error}" for error in state.errors)
    lines.append("Snapshot:")
    lines.append(excerpt(tab.snapshot, limits.snapshot_chars, start_line))
    return "\n".join(lines)


def heading(title: str, url: str) -> str:
    """One line that names a page."""
    title = cut(" ".join(title.split()), _TITLE_CHARS)
    return f"Page: {title} ({shown(url)})" if title else f"Page: {shown(url)}"


def excerpt(snapshot: str, chars: int, start_line: int) -> str:
    """The part of a snapshot from a line on that fits into `chars`, and where the rest is."""
    lines = snapshot.splitlines()
    if not lines:
        return "(the page is empty)"
    start = min(max(start_line, 1), len(lines)) - 1
    end, size = start, 0
    taken: list[str] = []
    while end < len(lines) and (size < chars or end == start):
        line = cut(lines[end], _LINE_CHARS)
        if taken and size + len(line) > chars:
            break
        taken.append(line)
        size += len(line) + 1
        end += 1
    if start > 0 or end < len(lines):
        taken.append(f"[Lines {start + 1}-{end} of {len(lines)}.{_more(end, len(lines))}]")
    return "\n".join(taken)


def _more(end: int, count: int) -> str:
    if end == count:
        return ""
    return f" The rest: browser_snapshot with start_line={end + 1}; all refs work already."


@dataclass(slots=True)
class _State:
    snapshot: str = ""
    title: str = ""
    errors: list[str] = field(default_factory=list[str])


async def _ask(page: Page, most_errors: int) -> _State:
    """All questions at once, so that the short ones cost no time beside the snapshot."""
    state = _State()

    async def snapshot() -> None:
        state.snapshot = await page.aria_snapshot(mode="ai", timeout=0)

    async def title() -> None:
        state.title = await page.title()

    async def errors() -> None:
        state.errors = await _errors(page, most_errors)

    try:
        async with anyio.create_task_group() as tasks:
            for question in (snapshot, title, errors):
                tasks.start_soon(question)
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    return state


async def _errors(page: Page, most: int) -> list[str]:
    """The last errors that the page's scripts or its console gave, without repetition."""
    found = [f"{error.name}: {error.message}" for error in await page.page_errors()]
    messages = await page.console_messages(filter="since-navigation")
    found.extend(f"{one.text} ({_place(one)})" for one in messages if _counts(one))
    counted = Counter(cut(" ".join(text.split())) for text in found)
    texts = [f"{text} ({count} times)" if count > 1 else text for text, count in counted.items()]
    return texts[-most:]


def _counts(message: ConsoleMessage) -> bool:
    """Whether it is an error of the page; that a site has no icon is none."""
    return message.type == "error" and not message.location["url"].endswith("/favicon.ico")


def _place(message: ConsoleMessage) -> str:
    url = shown(message.location["url"])
    is_of_script = not message.text.startswith("Failed to load resource")
    return f"{url}:{message.location['lineNumber'] + 1}" if is_of_script else url
