"""Screenshots: of what shows, of a whole page or of one element, bounded in size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from playwright.async_api import FloatRect, Locator, Page

from runtime.errors import ToolFault
from runtime.guest.browser.config import BrowserLimits

Format = Literal["png", "jpeg"]

_PAGE_SIZE = """() => {
  const root = document.documentElement, body = document.body || root;
  return [Math.max(root.scrollWidth, body.scrollWidth),
          Math.max(root.scrollHeight, body.scrollHeight), scrollX, scrollY];
}"""
_QUALITIES = (80, 45)


@dataclass(frozen=True, slots=True)
class Shot:
    """What to take a picture of: a rectangle, or what shows when there is none.

    `clip` is in pixels from the corner of the page when `is_of_page`, else of what shows.
    """

    clip: FloatRect | None = None
    is_of_page: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what it is."""

    data: bytes
    mime_type: str


def format_of(path: str | None) -> Format:
    """The format that the name of a file asks for. Raises `ToolFault` for others."""
    ending = (path or "x.png").rpartition(".")[2].lower()
    if ending in ("jpg", "jpeg"):
        return "jpeg"
    if ending == "png":
        return "png"
    raise ToolFault(f"{path} should end in .png or .jpg.")


def bounded(left: float, top: float, width: float, height: float, side: int) -> Shot:
    """A shot of a rectangle, cut at `side` pixels each way."""
    clip: FloatRect = {
        "x": left,
        "y": top,
        "width": max(1, min(width, side)),
        "height": max(1, min(height, side)),
    }
    if width <= side and height <= side:
        return Shot(clip, is_of_page=True)
    return Shot(
        clip, True, f" It is cut at {side} pixels; all of it is {width:.0f} x {height:.0f}."
    )


async def plan(page: Page, element: Locator | None, limits: BrowserLimits, *, whole: bool) -> Shot:
    """What to take. Raises `ToolFault` for an element that does not show."""
    if element is None and not whole:
        return Shot()
    size: list[Any] = await page.evaluate(_PAGE_SIZE)
    if element is None:
        return bounded(0, 0, size[0], size[1], limits.picture_side)
    return await _of_element(page, element, limits)


async def _of_element(page: Page, element: Locator, limits: BrowserLimits) -> Shot:
    await element.scroll_into_view_if_needed(timeout=limits.action_seconds * 1000)
    size: list[Any] = await page.evaluate(_PAGE_SIZE)
    box = await element.bounding_box()
    if box is None or not box["width"] or not box["height"]:
        raise ToolFault("The element does not show, so there is no picture of it.")
    if box["width"] <= limits.width and box["height"] <= limits.height:
        return Shot(box)
    left, top = box["x"] + size[2], box["y"] + size[3]
    return bounded(left, top, box["width"], box["height"], limits.picture_side)


async def take(page: Page, shot: Shot, form: Format, limits: BrowserLimits) -> Picture:
    """The picture as it is to be stored."""
    return await _take(page, shot, form, None, limits)


async def lighter(page: Page, shot: Shot, picture: Picture, limits: BrowserLimits) -> Picture:
    """`picture`, or one that is light enough to be shown. Raises `ToolFault` when none is."""
    for quality in _QUALITIES:
        if len(picture.data) <= limits.picture_bytes:
            return picture
        picture = await _take(page, shot, "jpeg", quality, limits)
    if len(picture.data) > limits.picture_bytes:
        raise ToolFault("The picture is too large to be shown; take what shows, or one element.")
    return picture


async def _take(
    page: Page, shot: Shot, form: Format, quality: int | None, limits: BrowserLimits
) -> Picture:
    data = await page.screenshot(
        type=form,
        quality=quality,
        clip=shot.clip,
        full_page=shot.is_of_page,
        timeout=limits.answer_seconds * 1000,
    )
    return Picture(data, f"image/{form}")
