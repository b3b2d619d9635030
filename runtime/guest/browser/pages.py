"""The tabs of a browser: which there are, which one is active, and what happened to them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

import anyio
from playwright.async_api import BrowserContext, CDPSession, Dialog, Locator, Page
from playwright.async_api import Error as PlaywrightError

from runtime.errors import ToolFault
from runtime.guest.browser.config import BrowserLimits
from runtime.guest.browser.faults import cut

_REF = re.compile(r"^\W*(?:ref\s*=\s*)?((?:f\d+)?e\d+)\W*$")
_NOTICES = 20
_FRONT_SECONDS = 2


class NoTab(ToolFault):
    """The browser opens no tab any more."""


class Notices:
    """What happened that nobody asked for, to be told with the next result."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._left_out = 0
        self.is_acting = False
        """Whether a tool runs, so that what happens comes of what it did."""

    def add(self, text: str) -> None:
        """Remember one; above a bound they are only counted."""
        if len(self._texts) < _NOTICES:
            self._texts.append(text)
        else:
            self._left_out += 1

    def take(self) -> list[str]:
        """All since the last time."""
        texts = self._texts
        if self._left_out:
            texts = [*texts, f"({self._left_out} more of the kind)"]
        self._texts, self._left_out = [], 0
        return texts


class Tab:
    """One page, with what Playwright does not keep about it."""

    def __init__(self, page: Page, opener: Tab | None) -> None:
        self.page = page
        self.opener = opener
        self.is_popup = False
        """Whether a page opened it."""
        self.has_crashed = False
        self.is_stuck = False
        self.closed = anyio.Event()
        self.snapshot = ""
        """The last one that the model saw."""
        self._devtools: CDPSession | None = None

    def crashed(self) -> None:
        """Remember that the process of the page is gone."""
        self.has_crashed = True

    @contextmanager
    def answering(self, seconds: float) -> Generator[None]:
        """Bound what waits for the page. Raises `ToolFault` when the page does not answer."""
        try:
            with anyio.fail_after(seconds):
                yield
        except TimeoutError as error:
            self.is_stuck = True
            raise ToolFault(
                "The page does not respond: a script keeps it busy. Open another page with "
                "browser_navigate, which replaces it."
            ) from error
        self.is_stuck = False

    async def find(self, ref: str, seconds: float) -> Locator:
        """The element of a ref. Raises `ToolFault` for one that is not in the last snapshot."""
        known = _REF.match(ref)
        if known is None:
            raise ToolFault(f"{cut(ref, 80)!r} is not a ref; refs look like `e12`.")
        locator = self.page.get_by_ref(known[1])
        try:
            with self.answering(seconds):
                count = await locator.count()
        except PlaywrightError as error:
            if "Invalid frame" not in error.message:
                raise
            count = 0
        if count == 0:
            raise ToolFault(
                f"ref {known[1]} is not in the last snapshot; take a new one with browser_snapshot."
            )
        return locator

    def name_of(self, ref: str) -> str:
        """What the last snapshot calls an element, such as `button "Save" (e12)`."""
        known = _REF.match(ref)
        bare = known[1] if known else ref
        line = re.search(
            rf"^ *- (.*?)(?: \[[^\]\"]*\])* \[ref={bare}\]", self.snapshot, re.MULTILINE
        )
        return f"{cut(line[1], 100)} ({bare})" if line else bare

    async def devtools(self) -> CDPSession:
        """A line to the page for what Playwright has no call for."""
        if self._devtools is None:
            self._devtools = await self.page.context.new_cdp_session(self.page)
        return self._devtools

    async def can_go_back(self) -> bool:
        """Whether a page was open before this one, the blank one of a new tab not counted."""
        history = await (await self.devtools()).send("Page.getNavigationHistory")
        current: int = history["currentIndex"]
        return current > 0 and history["entries"][current - 1]["url"] != "about:blank"

    async def stop(self, seconds: float) -> None:
        """Stop loading, whatever else happens; a page that does not obey is marked stuck."""
        self.is_stuck = True
        with anyio.move_on_after(seconds, shield=True), contextlib.suppress(PlaywrightError):
            await (await self.devtools()).send("Page.stopLoading")
            await self.page.evaluate("1")
            self.is_stuck = False


class Tabs:
    """The pages of one context in the order of their opening; one is active."""

    def __init__(self, context: BrowserContext, notices: Notices, limits: BrowserLimits) -> None:
        self._context = context
        self._notices = notices
        self._limits = limits
        self._active: Tab | None = None
        self._front: Tab | None = None
        self._is_opening = False
        self._changed = anyio.Event()
        self._devtools: CDPSession | None = None
        self.all: list[Tab] = []
        for page in context.pages:
            self._adopt(page)
        context.on("page", self._opened)
        context.on("dialog", self._answer)

    async def active(self) -> Tab:
        """The active tab, in front; a blank one when every tab was closed."""
        tab = self._active or await self.new()
        if tab is not self._front:
            await self.select(tab)
        return tab

    async def new(self) -> Tab:
        """Open a blank tab and make it the active one. Raises `ToolFault` at the limit."""
        if len(self.all) >= self._limits.tabs:
            raise ToolFault(f"{self._limits.tabs} tabs are open, which is the limit; close one.")
        self._active = await self._open()
        return self._active

    async def select(self, tab: Tab) -> None:
        """Make `tab` the active one: only that one is painted and gets time."""
        self._active = self._front = tab
        with anyio.move_on_after(_FRONT_SECONDS), contextlib.suppress(PlaywrightError):
            await tab.page.bring_to_front()  # one that crashed cannot be

    async def close(self, tab: Tab) -> None:
        """Close `tab`, also one that does not respond."""
        if len(self.all) == 1:
            await self._open()  # without any page Chromium may end
        await self._drop(tab)
        await self.active()

    async def replace(self, tab: Tab) -> Tab:
        """A blank tab in the place of one that crashed or does not respond."""
        fresh = await self._open()
        if tab in self.all:
            self.all.remove(fresh)
            self.all.insert(self.all.index(tab), fresh)
        self._active = fresh
        await self._drop(tab)
        return fresh

    async def complete(self, seconds: float) -> None:
        """Wait for tabs that Chromium is about to open."""
        with anyio.move_on_after(seconds):
            count = min(await self._count(), self._limits.tabs)
            while len(self.all) < count:
                await self._changed.wait()

    def at(self, index: int) -> Tab:
        """The tab at `index`. Raises `ToolFault` when there is none."""
        if not 0 <= index < len(self.all):
            raise ToolFault(f"There is no tab {index}; there are {len(self.all)}, from 0.")
        return self.all[index]

    async def _count(self) -> int:
        """How many tabs Chromium has, those included that Playwright does not know yet."""
        browser = self._context.browser
        if self._devtools is None and browser is not None:
            self._devtools = await browser.new_browser_cdp_session()
        if self._devtools is None:
            return 0
        targets = (await self._devtools.send("Target.getTargets"))["targetInfos"]
        return sum(target["type"] == "page" for target in targets)

    async def _drop(self, tab: Tab) -> None:
        with anyio.move_on_after(self._limits.answer_seconds):
            await _close(tab.page)
        self._forget(tab)

    async def _open(self) -> Tab:
        self._is_opening = True
        try:
            with anyio.fail_after(self._limits.answer_seconds):
                return self._adopt(await self._new_page())
        except (TimeoutError, PlaywrightError) as error:
            raise NoTab from error
        finally:
            self._is_opening = False

    async def _new_page(self) -> Page:
        try:
            return await self._context.new_page()
        except PlaywrightError:
            # The process that Chromium holds ready for it may have died with another page.
            return await self._context.new_page()

    def _adopt(self, page: Page) -> Tab:
        for tab in self.all:
            if tab.page is page:
                return tab
        tab = Tab(page, self._active)
        self.all.append(tab)
        self._front = tab
        self._active = self._active or tab
        page.on("close", lambda _: self._forget(tab))
        page.on("crash", lambda _: tab.crashed())
        self._changed.set()
        self._changed = anyio.Event()
        return tab

    def _opened(self, page: Page) -> Coroutine[Any, Any, None] | None:
        if self._is_opening:
            self._adopt(page)
            return None
        if len(self.all) >= self._limits.tabs:
            self._notices.add("The page tried to open one more tab than there may be.")
            return _close(page)
        tab = self._adopt(page)
        tab.is_popup = True
        if self._notices.is_acting:
            self._active = tab
        else:
            self._notices.add(f"A page opened tab {self.all.index(tab)} by itself.")
        return None

    def _forget(self, tab: Tab) -> None:
        tab.closed.set()
        if tab not in self.all:
            return
        self.all.remove(tab)
        if self._active is tab:
            last = self.all[-1] if self.all else None
            self._active = tab.opener if tab.opener in self.all else last

    async def _answer(self, dialog: Dialog) -> None:
        text = cut(dialog.message)
        if dialog.type == "prompt":
            told = f"A prompt asked {text!r}; it was answered with {dialog.default_value!r}."
        elif dialog.type == "beforeunload":
            told = "The page asked whether to leave it; yes."
        else:
            told = f"A dialog ({dialog.type}) said {text!r}; it was accepted."
        self._notices.add(told)
        with contextlib.suppress(PlaywrightError):  # the page may have gone meanwhile
            await dialog.accept(dialog.default_value)


async def _close(page: Page) -> None:
    with contextlib.suppress(PlaywrightError):  # it may have closed itself
        await page.close()
