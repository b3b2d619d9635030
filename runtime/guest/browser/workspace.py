"""Files of the workspace as pages: an origin that answers from the workspace, to itself only."""

from __future__ import annotations

import contextlib

from playwright.async_api import BrowserContext, Frame, Request, Route
from playwright.async_api import Error as PlaywrightError

from runtime.errors import SandlotError
from runtime.guest.browser.address import (
    WORKSPACE_ORIGIN,
    WORKSPACE_PATTERN,
    is_workspace,
    workspace_path,
)
from runtime.guest.browser.config import ReadFile

_SHOWN_AS_TEXT = frozenset(
    {"application/javascript", "application/x-sh", "application/x-yaml", "application/yaml"}
    | {"application/toml", "application/sql", "application/x-python"}
)
_MARKUP = frozenset({"text/html", "text/xml"})


class WorkspacePages:
    """Serves the workspace to the pages of one context, once a page of it was asked for."""

    def __init__(self, context: BrowserContext, read: ReadFile) -> None:
        self._context = context
        self._read = read
        self._is_open = False

    async def open(self) -> None:
        """Begin to serve. Until then, other pages are spared the detour of interception."""
        if not self._is_open:
            # So that a page can talk to a server that runs in the sandbox.
            await self._context.grant_permissions(["local-network-access"], origin=WORKSPACE_ORIGIN)
            await self._context.route(WORKSPACE_PATTERN, self._serve)
            self._is_open = True

    async def read(self, url: str) -> tuple[bytes, str] | None:
        """What stands behind a URL of the origin; a folder is its `index.html`."""
        path = workspace_path(url)
        if path is None:
            return None
        return await self._read(f"{path}index.html" if path.endswith("/") else path)

    async def _serve(self, route: Route) -> None:
        # The page may be gone by the time the answer is there.
        with contextlib.suppress(PlaywrightError):
            if not _may_read(route.request):
                await route.abort("accessdenied")
            elif route.request.method not in ("GET", "HEAD"):
                await _refuse(route, 405, "Files of the workspace can be read only.")
            else:
                await self._answer(route)

    async def _answer(self, route: Route) -> None:
        try:
            found = await self.read(route.request.url)
        except (SandlotError, OSError) as error:
            await _refuse(route, 403, str(error))
            return
        if found is None:
            await _refuse(route, 404, "There is no such file in the workspace.")
            return
        body, mime_type = found
        is_page = route.request.is_navigation_request()
        headers = {
            "content-type": content_type(body, mime_type, is_page=is_page),
            "cache-control": "no-store",
        }
        await route.fulfill(status=200, headers=headers, body=body)


def content_type(body: bytes, mime_type: str, *, is_page: bool) -> str:
    """The content type to send: text that is not markup shows as plain text when it is the page."""
    essence = mime_type.partition(";")[0].strip().lower()
    if "charset" in mime_type:
        return mime_type
    is_text = essence.startswith("text/") or essence in _SHOWN_AS_TEXT
    if is_page and is_text and essence not in _MARKUP:
        essence = "text/plain"
    if is_text and _is_utf8(body):
        return f"{essence}; charset=utf-8"
    return essence


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _may_read(request: Request) -> bool:
    """Whoever opens a file as a page of its own sees it; else only pages of the workspace do."""
    try:
        frame: Frame | None = request.frame
    except PlaywrightError:
        return True  # the first document of a new tab
    if request.is_navigation_request():
        frame = request.frame.parent_frame
        if frame is None:
            return True
    while frame is not None and frame.url.startswith("about:"):
        frame = frame.parent_frame  # about:blank and about:srcdoc belong to the page around them
    return frame is not None and is_workspace(frame.url)


async def _refuse(route: Route, status: int, reason: str) -> None:
    await route.fulfill(status=status, content_type="text/plain; charset=utf-8", body=reason)
