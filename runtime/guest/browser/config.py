"""What a browser is given: its directory, its line to the workspace, its limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

ReadFile = Callable[[str], Awaitable[tuple[bytes, str] | None]]
"""Takes an absolute path below `/workspace`; gives the bytes and the MIME type, or None when
there is no such file. Raises `ToolFault` for what may not be read."""

WriteFile = Callable[[str, bytes], Awaitable[None]]
"""Takes an absolute path and what to write there. Raises `ToolFault` when that cannot be."""

SaveFile = Callable[[str, AsyncIterator[bytes]], Awaitable[str]]
"""Takes an absolute path and the content in chunks; gives the path used, which differs when the
name was taken. Raises `ToolFault` when the file cannot be kept."""


@dataclass(frozen=True, slots=True)
class BrowserLimits:
    """How long things may take, in seconds, and how large they may be."""

    launch_seconds: float = 30
    navigation_seconds: float = 30
    """Until the document is there."""
    load_seconds: float = 5
    """For pictures and the like, once the document is there."""
    action_seconds: float = 5
    """Until an element can be acted on."""
    settle_seconds: float = 1
    """For requests that a page sent by script."""
    answer_seconds: float = 10
    """For a page to answer a question, such as for its snapshot."""
    wait_seconds: float = 60
    """The longest wait that can be asked for."""
    download_start_seconds: float = 15
    download_seconds: float = 120
    stop_seconds: float = 0.8
    """For a page to stop when a call is cancelled."""
    close_seconds: float = 5
    download_bytes: int = 100 * 1024 * 1024
    snapshot_chars: int = 20_000
    picture_bytes: int = 3_500_000
    """The most that is shown to a model; larger pictures are compressed."""
    picture_side: int = 8000
    """Pixels."""
    console_errors: int = 5
    tabs: int = 16
    width: int = 1280
    height: int = 800


@dataclass(frozen=True, slots=True)
class BrowserConfig:
    """Everything a browser needs to know.

    `directory` is the browser's own: profile, home, downloads on their way. The workspace is
    reached through the three callables alone, since the browser runs under another user id.
    Downloads are handed over in chunks, so that neither side must read the other's files.
    """

    directory: Path
    read_workspace_file: ReadFile
    write_workspace_file: WriteFile
    save_download: SaveFile
    executable: str = "/usr/bin/chromium"
    sandbox: bool = False
    """Chromium's own sandbox; it needs user namespaces, which not every host allows."""
    proxy_server: str | None = None
    """Such as `http://127.0.0.1:3128`; servers on loopback are reached without it."""
    limits: BrowserLimits = field(default_factory=BrowserLimits)
