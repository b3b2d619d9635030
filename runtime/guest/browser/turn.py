"""What a tool does with the active tab: go somewhere, act on an element, let it settle, tell."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import NoReturn

import anyio
from playwright.async_api import BrowserContext, Locator, Response
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeout

from runtime.errors import ToolFault
from runtime.guest.browser.address import Address, shown
from runtime.guest.browser.config import BrowserConfig
from runtime.guest.browser.downloads import Downloads
from runtime.guest.browser.faults import (
    is_closed,
    is_download,
    is_interrupted,
    net_error,
    of_action,
    of_navigation,
    was_performed,
)
from runtime.guest.browser.pages import Notices, Tab, Tabs
from runtime.guest.browser.report import describe
from runtime.guest.browser.traffic import Traffic
from runtime.guest.browser.tunnels import refusal
from runtime.guest.browser.workspace import WorkspacePages

_ATTEMPTS = 3
_NO_TUNNEL = "ERR_TUNNEL_CONNECTION_FAILED"
_NEW_TAB_SECONDS = 2
_ERROR_PAGE_SECONDS = 1
_PING_SECONDS = 1
_CLOSING_SECONDS = 2
# A painted frame and what scripts put off until after it; a page that is not painted gets 100 ms.
# Says whether the page is about to close itself.
_FRAME = """() => new Promise((done) => {
  setTimeout(done, 100);
  requestAnimationFrame(() => setTimeout(done));
}).then(() => window.closed)"""


@dataclass(frozen=True, slots=True)
class Running:
    """A running Chromium and what belongs to it."""

    context: BrowserContext
    tabs: Tabs
    workspace: WorkspacePages
    downloads: Downloads


class Turn:
    """The active tab in the hands of one tool."""

    def __init__(
        self, running: Running, tab: Tab, traffic: Traffic, notices: Notices, config: BrowserConfig
    ) -> None:
        self.tab = tab
        self.tabs = running.tabs
        self.downloads = running.downloads
        self.limits = config.limits
        self.config = config
        self._workspace = running.workspace
        self._traffic = traffic
        self._notices = notices
        self._known = set(running.tabs.all)

    async def open(self, address: Address) -> str:
        """Go to `address` and wait until it can be read. Raises `ToolFault` when it cannot."""
        if address.file is not None:
            await self._workspace.open()
        try:
            response = await self._go(address)
        except _IsDownload:
            return await self._opened_download(address)
        if address.file is not None and response is not None and response.status >= 400:
            raise ToolFault(await _refusal(response, address))
        await self._arrive()
        await self._quiet()
        if response is not None and response.status >= 400:
            answer = f"{response.status} {response.status_text}".strip()
            return f"Opened {address.shown}; the server answered {answer}."
        return f"Opened {address.shown}."

    async def back(self) -> None:
        """Go back one page. Raises `ToolFault` when there is none."""
        with self.tab.answering(self.limits.answer_seconds):
            can_go = await self.tab.can_go_back()
        if not can_go:
            raise ToolFault("There is no page to go back to in this tab.")
        milliseconds = self.limits.navigation_seconds * 1000
        try:
            await self.tab.page.go_back(wait_until="commit", timeout=milliseconds)
        except PlaywrightError as error:
            if self.tab.has_crashed or is_closed(error.message):
                raise
            await self.tab.stop(self.limits.stop_seconds)
            text = of_navigation(error.message, host="Its server", shown="The page before")
            raise ToolFault(text) from error
        await self._arrive()
        await self._quiet()

    async def find(self, ref: str) -> Locator:
        """The element of a ref. Raises `ToolFault` for one that is not in the last snapshot."""
        return await self.tab.find(ref, self.limits.answer_seconds)

    async def act(self, what: str, action: Awaitable[object]) -> None:
        """Do `action` to the element called `what` and let the page settle.

        Raises `ToolFault` with the reason when the element cannot be acted on.
        """
        try:
            await action
        except PlaywrightError as error:
            if is_closed(error.message) and not self.tab.page.is_closed():
                raise  # the whole browser, not only the page
            is_over = self.tab.page.is_closed() or self.tab.has_crashed
            if not is_over and not was_performed(error.message):
                raise ToolFault(of_action(error.message, what)) from error
        await self.settle()

    async def settle(self) -> None:
        """Wait for what an action began: a new tab, another document, requests by script."""
        if not self.tab.page.is_closed():
            await self._frame()
        await self.tabs.complete(_NEW_TAB_SECONDS)
        tab = await self.tabs.active()
        page = tab.page
        is_other = tab is not self.tab
        self.tab = tab
        if is_other or self._traffic.is_navigating(page) or self._traffic.has_arrived(page):
            await self._arrive()
        await self._quiet()
        if page.url.startswith("chrome-error:") and (reason := await self._refused()):
            self._notices.add(reason)

    async def report(self, line: str, *, start_line: int = 1) -> str:
        """`line` and the state of the page; a download that began is kept first."""
        if self.downloads.has_begun:
            line = f"{line} {await self.keep(None)}"
        self.tab = await self.tabs.active()
        if self.tab.is_popup and self.tab not in self._known:
            self._notices.add("A new tab opened; it is the active one now.")
        state = await describe(
            self.tabs, self.tab, self._notices, self.limits, start_line=start_line
        )
        return f"{line}\n{state}"

    def brief(self, line: str) -> str:
        """`line` and what happened besides, without the state of the page."""
        return "\n".join([line, *(f"Note: {notice}" for notice in self._notices.take())])

    async def keep(self, path: str | None) -> str:
        """Store the download that began. A blank tab that was opened only for it is closed."""
        stored = await self.downloads.keep(path)
        tab = await self.tabs.active()
        if tab.is_popup and tab not in self._known and tab.page.url == "about:blank":
            await self.tabs.close(tab)
        return stored

    async def new_tab(self) -> None:
        """Open a blank tab to act on. Raises `ToolFault` at the limit."""
        self.tab = await self.tabs.new()

    async def _go(self, address: Address) -> Response | None:
        seconds, page = self.limits.navigation_seconds, self.tab.page
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await page.goto(address.url, wait_until="commit", timeout=seconds * 1000)
            except PlaywrightTimeout as error:
                await self.tab.stop(self.limits.stop_seconds)
                text = f"{address.shown} did not answer within {seconds:g} seconds."
                raise ToolFault(text) from error
            except PlaywrightError as error:
                if self.tab.has_crashed or is_closed(error.message):
                    raise
                if is_download(error.message):
                    raise _IsDownload from error
                if attempt == _ATTEMPTS or not is_interrupted(error.message):
                    await self._failed(error, address)
            await self._arrive()
            if page.url == address.url:
                return None
        raise AssertionError("the last attempt returns or raises")

    async def _failed(self, error: PlaywrightError, address: Address) -> NoReturn:
        """Wait for Chromium's own error page, which would else interrupt the next navigation."""
        with contextlib.suppress(PlaywrightError):
            if net_error(error.message) not in (None, "ERR_ABORTED"):
                timeout = _ERROR_PAGE_SECONDS * 1000
                await self.tab.page.wait_for_url(
                    "chrome-error://**", wait_until="commit", timeout=timeout
                )
        text = await self._refused() if net_error(error.message) == _NO_TUNNEL else None
        text = text or of_navigation(error.message, host=address.host, shown=address.shown)
        raise ToolFault(text) from error

    async def _refused(self) -> str | None:
        """Why the proxy let nothing through to the document that the tab did not get."""
        lost, proxy = self._traffic.lost(self.tab.page), self.config.proxy_server
        if proxy is None or lost is None or not lost.startswith("https:"):
            return None
        reason = await refusal(proxy, lost)
        return reason and f"{shown(lost)} cannot be opened: {reason}."

    async def _opened_download(self, address: Address) -> str:
        with anyio.move_on_after(self.limits.download_start_seconds):
            await self.downloads.beginning()
        if address.file is not None:
            raise ToolFault(
                f"{address.shown} is not a page that a browser shows; read it with other tools."
            )
        return f"{address.shown} is a file, not a page."

    async def _arrive(self) -> None:
        """Wait for the document, then a while for its pictures."""
        page, limits = self.tab.page, self.limits
        with anyio.move_on_after(limits.navigation_seconds) as scope:
            while self._traffic.is_navigating(page):
                await self._traffic.change()
        if scope.cancelled_caught:
            self._notices.add("The page that comes next has not answered yet.")
            return
        try:
            await page.wait_for_load_state(
                "domcontentloaded", timeout=limits.navigation_seconds * 1000
            )
            await page.wait_for_load_state("load", timeout=limits.load_seconds * 1000)
        except PlaywrightTimeout:
            self._notices.add("The page is still loading.")

    async def _quiet(self) -> None:
        with anyio.move_on_after(self.limits.settle_seconds):
            while self._traffic.is_busy(self.tab.page):
                await self._traffic.change()
                if not self._traffic.is_busy(self.tab.page):
                    await self._frame()

    async def _frame(self) -> None:
        is_closing = False
        # The document may go away, and the page with it, while the question is out.
        with contextlib.suppress(PlaywrightError):
            with anyio.move_on_after(self.limits.answer_seconds) as scope:
                is_closing = await self.tab.page.evaluate(_FRAME)
            if scope.cancelled_caught:  # a page may have its own idea of frames and timers
                with self.tab.answering(_PING_SECONDS):
                    await self.tab.page.evaluate("1")
        if is_closing:
            with anyio.move_on_after(_CLOSING_SECONDS):
                await self.tab.closed.wait()


class _IsDownload(Exception):
    """The address gave a file in place of a page."""


async def _refusal(response: Response, address: Address) -> str:
    if response.status == 404:
        hint = " For a web page give the whole URL, with https://." if address.is_hostlike else ""
        return f"There is no {address.shown}.{hint}"
    return f"{address.shown}: {await response.text()}"
