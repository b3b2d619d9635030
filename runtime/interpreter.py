"""How this program starts Python again."""

from __future__ import annotations

import sys


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` with this interpreter.

    Without `-P` Python would import from the current folder first, and that may hold what an agent
    wrote: whoever copied it out of an environment would run it.
    """
    return [sys.executable, "-P", "-m", module, *arguments]
