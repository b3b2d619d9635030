"""`sandlot image build`: the sandbox image, with progress."""

from __future__ import annotations

from rich.console import Console
from rich.live import Live
from rich.text import Text

from runtime import clock
from runtime.cli.wording import duration, one_line, size
from runtime.sandboxes.image import ensure_image, find_image
from runtime.sandboxes.image_plan import ImageProgress

_PLAIN_SECONDS = 15.0
"""How often to say something where nothing can move."""


def build_image(base: str | None) -> None:
    """Build the image unless it is there; say what goes on, how far and how long."""
    console = Console(stderr=True)
    with _Report(console) as report:
        name = ensure_image(report.progress, base=base)
    facts = find_image(name)
    about = f" ({size(facts.size_bytes)})" if facts else ""
    Console().print(Text(f"sandbox image {name}{about} is there"), soft_wrap=True)


class _Report:
    """One moving line in a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=4)
        self._said_at = -_PLAIN_SECONDS
        self._said = ""

    def __enter__(self) -> _Report:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *problem: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def progress(self, at: ImageProgress) -> None:
        """Show one step of the build."""
        if self._console.is_terminal:
            self._live.update(Text(line_of(at), style="cyan"))
            return
        moment = clock.monotonic()
        if at.what != self._said or moment - self._said_at >= _PLAIN_SECONDS:
            self._said, self._said_at = at.what, moment
            self._console.print(Text(line_of(at)), soft_wrap=True)


def line_of(at: ImageProgress) -> str:
    """A step of the build on one line."""
    how_far = f"[{at.step}/{at.total}] " if at.total else ""
    detail = f": {one_line(at.detail, 80)}" if at.detail else ""
    return f"{how_far}{at.what}, {duration(at.seconds)}{detail}"
