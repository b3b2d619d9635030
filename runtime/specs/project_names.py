"""What projects may be called."""

from __future__ import annotations

import re

NAME_RULE = "a name has 1 to 40 lower-case letters, digits and dashes, and no dash at its ends"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def is_project_name(text: str) -> bool:
    """Whether a project can have this name."""
    return _NAME.fullmatch(text) is not None
