"""Pictures of a run, saved where a person can open them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runtime.cli.transcript import Picture
from runtime.cli.wording import one_line, size

_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/svg+xml": ".svg",
}

PictureSink = Callable[[Picture], str]
"""Does something with a picture and says what was done."""


class PictureFolder:
    """Saves the pictures of one run as `01.png`, `02.png`, … in a folder made with the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __call__(self, picture: Picture) -> str:
        """Save the picture and say where."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._count += 1
        suffix = _SUFFIXES.get(picture.mime_type, ".bin")
        path = self._folder / f"{self._count:02d}{suffix}"
        path.write_bytes(picture.data)
        return f"picture saved: {path} ({size(len(picture.data))})"


def unsaved(picture: Picture) -> str:
    """Say that there is a picture."""
    return f"picture: {one_line(picture.mime_type)}, {size(len(picture.data))}"
