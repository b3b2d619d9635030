"""Names of MCP servers: a model sees a tool as `server__tool`, so not every text will do."""

from __future__ import annotations

import re

MAX_SERVER_NAME = 40
_NAME = re.compile(r"[a-z0-9_-]+")


def wrong_server_name(name: str) -> str | None:
    """What is wrong with the name of a server, as the end of a sentence that begins with it."""
    if _NAME.fullmatch(name) is None:
        return "must be lower-case letters, digits, _ and - only"
    if "__" in name or name.endswith("_") or len(name) > MAX_SERVER_NAME:
        return (
            f"has at most {MAX_SERVER_NAME} characters, no '__' and no '_' at its end, since tools "
            "are called server__tool"
        )
    return None
