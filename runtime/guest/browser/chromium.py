"""The browser of a sandbox: started when first needed, kept, started again after a crash.

Runs in a process of its own. Owns Chromium and Playwright's driver; what tools do with pages is
in the modules beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

import anyio
import anyio.to_thread
from playwright.async_api import BrowserContext, Playwright, async_playwright
from playwright.async_api import Error as PlaywrightError

from runtime.errors import ToolFault
from runtime.guest.browser.config import BrowserConfig
from runtime.guest.browser.downloads import Downloads
from runtime.guest.browser.faults import gist, is_closed, of_launch
from runtime.guest.browser.launch import Directories, arguments, environment, unwanted_arguments
from runtime.guest.browser.pages import NoTab, Notices, Tab, Tabs
from runtime.guest.browser.traffic import Traffic
from runtime.guest.browser.turn import Running, Turn
from runtime.guest.browser.workspace import WorkspacePages

Need = Literal["alive", "fresh", "any"]


class Browser:
    """One Chromium. One tool acts at a time."""

    def __init__(self, config: BrowserConfig) -> None:
        self._config = config
        self._directories = Directories(config.directory)
        self._notices = Notices()
        self._turns = anyio.Lock()
        self._driver: Playwright | None = None
        self._running: Running | None = None
        self._has_ended = False

    @asynccontextmanager
    async def turn(self, need: Need = "alive", *, acts: bool = True) -> AsyncGenerator[Turn]:
        """The active tab, for one tool to act on.

        `need` says what the tab must be: `alive`, else a `ToolFault` says that it crashed;
        `fresh`, so that one that crashed or does not respond is replaced; or `any`. With `acts`,
        tabs and downloads that begin are taken for what the tool wanted. Errors of Playwright
        become `ToolFault`s. When cancelled, the page stops loading.
        """
        async with self._turns:
            running, tab = await self._begin(need)
            self._notices.is_acting = acts
            with Traffic(running.context) as traffic:
                turn = Turn(running, tab, traffic, self._notices, self._config)
                try:
                    yield turn
                except anyio.get_cancelled_exc_class():
                    await turn.tab.stop(self._config.limits.stop_seconds)
                    raise
                except PlaywrightError as error:
                    raise ToolFault(self._reason(turn.tab, error)) from error
                finally:
                    self._notices.is_acting = False
                    await running.downloads.drop()

    async def close(self) -> None:
        """End Chromium and the driver. The next turn starts them again."""
        async with self._turns:
            await self._end()

    async def _begin(self, need: Need) -> tuple[Running, Tab]:
        running = await self._ready()
        try:
            return running, await self._usable(running, need)
        except NoTab:
            self._has_ended = True
        running = await self._ready()
        return running, await self._usable(running, need)

    async def _usable(self, running: Running, need: Need) -> Tab:
        tab = await running.tabs.active()
        if need == "fresh" and (tab.has_crashed or tab.is_stuck):
            return await running.tabs.replace(tab)
        if need == "alive" and tab.has_crashed:
            raise ToolFault("The page of this tab crashed; open it again with browser_navigate.")
        return tab

    def _reason(self, tab: Tab, error: PlaywrightError) -> str:
        if is_closed(error.message) and not tab.page.is_closed():
            self._has_ended = True  # the driver died, which no event tells
        if self._has_ended:
            return "The browser ended in the middle of this; the next call starts it again."
        if tab.has_crashed:
            return "The page crashed; open it again with browser_navigate."
        return f"The browser could not do it: {gist(error.message)}"

    async def _ready(self) -> Running:
        if self._has_ended:
            self._notices.add(
                "The browser had ended unexpectedly and was started again: its tabs are gone."
            )
            await self._end()
        if self._running is None:
            self._running = await self._start()
        return self._running

    async def _start(self) -> Running:
        if not await anyio.Path(self._config.executable).exists():
            raise ToolFault(f"There is no browser at {self._config.executable}.")
        await anyio.to_thread.run_sync(self._directories.prepare)
        driver = await self._started_driver()
        try:
            context = await self._launch(driver)
        except PlaywrightError:
            # A profile that a crash left half-written keeps Chromium from starting.
            await anyio.to_thread.run_sync(self._directories.forget_profile)
            try:
                context = await self._launch(driver)
            except PlaywrightError as error:
                raise ToolFault(f"The browser did not start: {of_launch(error.message)}") from error
        return self._attach(context)

    async def _started_driver(self) -> Playwright:
        if self._driver is None:
            # Half-started it could not be ended; starting takes half a second.
            with anyio.CancelScope(shield=True):
                self._driver = await async_playwright().start()
        if self._driver is None:
            raise ToolFault("The driver of the browser did not start.")
        return self._driver

    async def _launch(self, driver: Playwright) -> BrowserContext:
        config, limits = self._config, self._config.limits
        return await driver.chromium.launch_persistent_context(
            self._directories.profile,
            executable_path=config.executable,
            headless=True,
            chromium_sandbox=config.sandbox,
            args=arguments(config.proxy_server),
            ignore_default_args=unwanted_arguments(),
            env=environment(self._directories),
            artifacts_dir=self._directories.temporary,
            downloads_path=self._directories.downloads,
            accept_downloads=True,
            service_workers="block",
            viewport={"width": limits.width, "height": limits.height},
            timeout=limits.launch_seconds * 1000,
        )

    def _attach(self, context: BrowserContext) -> Running:
        config = self._config
        workspace = WorkspacePages(context, config.read_workspace_file)
        downloads = Downloads(
            self._directories.downloads,
            workspace,
            config.save_download,
            self._notices,
            config.limits,
        )
        context.set_default_timeout(config.limits.action_seconds * 1000)
        context.on("download", downloads.began)
        context.on("close", self._ended)
        return Running(context, Tabs(context, self._notices, config.limits), workspace, downloads)

    def _ended(self, context: BrowserContext) -> None:
        """Chromium is gone; when we did not end it, the next turn says so."""
        if self._running is not None and self._running.context is context:
            self._has_ended = True

    async def _end(self) -> None:
        running, driver = self._running, self._driver
        self._running = self._driver = None
        self._has_ended = False
        seconds = self._config.limits.close_seconds
        if running is not None:
            with anyio.move_on_after(seconds, shield=True), contextlib.suppress(PlaywrightError):
                await running.context.close()  # it may be gone already
        if driver is not None:
            with anyio.move_on_after(seconds, shield=True):
                await driver.stop()
        await anyio.to_thread.run_sync(self._directories.discard)
