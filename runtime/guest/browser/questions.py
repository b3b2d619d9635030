"""Small things asked of a page by script: the options of a select, scrolling, what shows."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import anyio
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page

from runtime.errors import ToolFault
from runtime.guest.browser.faults import cut
from runtime.guest.browser.pages import Tab

_LOOK_SECONDS = 0.1
_SHOWN_OPTIONS = 40

_OPTIONS = """(element) => element instanceof HTMLSelectElement
  ? [...element.options].map((option) => [option.label.trim(), option.value]) : null"""
# Scrolls the element, or else what scrolls in the middle of the window; says where it got to.
_SCROLL = """([element, direction]) => {
  const root = document.scrollingElement || document.documentElement;
  const scrolls = (one) => one.scrollHeight > one.clientHeight + 1 &&
    (one === root || /auto|scroll/.test(getComputedStyle(one).overflowY));
  let one = element || document.elementFromPoint(innerWidth / 2, innerHeight / 2);
  while (one && !scrolls(one)) one = one.parentElement;
  one = one || root;
  const step = 0.85 * one.clientHeight;
  const top = {up: one.scrollTop - step, down: one.scrollTop + step, top: 0,
               bottom: one.scrollHeight}[direction];
  one.scrollTo({top, behavior: 'instant'});
  return [one.scrollTop, one.scrollTop + one.clientHeight, one.scrollHeight].map(Math.round);
}"""

_FORMS = {
    "date": (r"\d{4}-\d\d-\d\d", "2026-01-31"),
    "time": (r"\d\d:\d\d(:\d\d(\.\d+)?)?", "13:45"),
    "datetime-local": (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?", "2026-01-31T13:45"),
    "month": (r"\d{4}-\d\d", "2026-01"),
    "week": (r"\d{4}-W\d\d", "2026-W05"),
    "color": (r"#[0-9a-fA-F]{6}", "#ff8800"),
}

Options = list[list[str]]


async def options_of(element: Locator) -> Options | None:
    """The label and value of each option; None for what is not a select element."""
    return await element.evaluate(_OPTIONS)


def check_options(wanted: list[str], options: Options | None, name: str) -> None:
    """Raises `ToolFault` when the element called `name` has not all `wanted` options."""
    if options is None:
        raise ToolFault(f"{name} is not a select element; click it, then the option.")
    known = {text for option in options for text in option}
    missing = [text for text in wanted if text not in known]
    if missing:
        labels = ", ".join(repr(label) for label, _ in options[:_SHOWN_OPTIONS])
        more = len(options) - _SHOWN_OPTIONS
        rest = f" and {more} more" if more > 0 else ""
        raise ToolFault(f"{name} has no option {missing[0]!r}. It has: {cut(labels, 2000)}{rest}.")


def check_value(text: str, kind: str | None, name: str) -> None:
    """Raises `ToolFault` when a field of this `type` would drop `text` for its form."""
    form = _FORMS.get(kind or "")
    if form is not None and text and not re.fullmatch(form[0], text):
        raise ToolFault(f"{name} takes a {kind} in the form {form[1]}.")


async def kind_of(element: Locator) -> str | None:
    """The `type` of an input element; None for another one."""
    return await element.evaluate("(one) => one instanceof HTMLInputElement ? one.type : null")


async def scroll(page: Page, element: Locator | None, direction: str) -> str:
    """Scroll by most of a window, or to an end; says where that is."""
    handle = await element.element_handle() if element is not None else None
    top, bottom, height = await page.evaluate(_SCROLL, [handle, direction])
    return f"Scrolled {direction}: {top} to {bottom} of {height} pixels show."


async def showing(tab: Tab, text: str | None, gone: str | None, seconds: float) -> bool:
    """Wait until `text` shows and `gone` does not, anywhere in the page; False when in vain.

    Raises `ToolFault` when the page goes away meanwhile.
    """
    with anyio.move_on_after(seconds):
        while True:
            shows = not text or await _shows(tab.page, text)
            if shows and not (gone and await _shows(tab.page, gone)):
                return True
            if tab.has_crashed or tab.page.is_closed():
                raise ToolFault("The page crashed or was closed while it was waited for.")
            await anyio.sleep(_LOOK_SECONDS)
    return False


async def _shows(page: Page, text: str) -> bool:
    for frame in page.frames:
        with contextlib.suppress(PlaywrightError):  # a frame may go away any time
            found: Any = frame.get_by_text(text).filter(visible=True)
            if await found.count() > 0:
                return True
    return False
