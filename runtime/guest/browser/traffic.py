"""What the pages of a browser are waiting for: navigations and requests sent by script."""

from __future__ import annotations

from types import TracebackType

import anyio
from playwright.async_api import BrowserContext, Frame, Page, Request
from playwright.async_api import Error as PlaywrightError

_BY_SCRIPT = frozenset({"fetch", "xhr", "script"})


class Traffic:
    """Knows, from `with` to the end of it, what began since and is not over yet.

    Listening costs some work for each request, so it is done while a tool acts, not always.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._by_script: dict[Request, Page] = {}
        self._navigating: dict[Page, Request] = {}
        self._arrived: set[Page] = set()
        self._lost: dict[Page, str] = {}
        self._changed = anyio.Event()

    def __enter__(self) -> Traffic:
        self._context.on("request", self._began)
        self._context.on("requestfinished", self._finished)
        self._context.on("requestfailed", self._failed)
        self._context.on("framenavigated", self._committed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._context.remove_listener("request", self._began)
        self._context.remove_listener("requestfinished", self._finished)
        self._context.remove_listener("requestfailed", self._failed)
        self._context.remove_listener("framenavigated", self._committed)

    def is_navigating(self, page: Page) -> bool:
        """Whether `page` is on its way to another document."""
        return page in self._navigating

    def has_arrived(self, page: Page) -> bool:
        """Whether `page` got a new document."""
        return page in self._arrived

    def is_busy(self, page: Page) -> bool:
        """Whether scripts of `page` wait for an answer."""
        return page in self._by_script.values()

    def lost(self, page: Page) -> str | None:
        """The address of the last document that `page` did not get, redirects followed."""
        return self._lost.get(page)

    async def change(self) -> None:
        """Wait until something began or ended."""
        await self._changed.wait()

    def _began(self, request: Request) -> None:
        try:
            frame = request.frame
        except PlaywrightError:
            return  # the first document of a page that is not known yet
        if request.is_navigation_request():
            if frame.parent_frame is None:
                self._navigating[frame.page] = request
        elif request.resource_type in _BY_SCRIPT:
            self._by_script[request] = frame.page
        self._tell()

    def _finished(self, request: Request) -> None:
        self._by_script.pop(request, None)
        self._tell()

    def _failed(self, request: Request) -> None:
        self._by_script.pop(request, None)
        for page, navigation in list(self._navigating.items()):
            if navigation is request:
                del self._navigating[page]
                self._lost[page] = request.url
        self._tell()

    def _committed(self, frame: Frame) -> None:
        if frame.parent_frame is None and self._navigating.pop(frame.page, None) is not None:
            self._arrived.add(frame.page)
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
