"""The main programs of the service processes.

Each imports what only it needs after the fork, so that no other process holds it.
"""

from __future__ import annotations

import socket
from pathlib import Path

import anyio

from runtime.guest.channel import Ends
from runtime.guest.relay import Relay


def hands_main(ends: Ends) -> None:
    """The whole life of the hands' process."""
    from runtime.guest.hands_service import serve_hands

    anyio.run(serve_hands, ends)


def relay_main(proxy: Path, listening: socket.socket) -> None:
    """The whole life of the relay's process; `proxy` is the egress proxy's socket."""
    Relay(listening, proxy).run()


def browser_main(ends: Ends) -> None:
    """The whole life of the browser's process."""
    from runtime.guest.browser.service import serve_browser

    anyio.run(serve_browser, ends)
