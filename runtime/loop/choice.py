"""Which tool calls of a model are run, whatever the model makes of its tool choice. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from runtime.loop.turn import AskedCall
from runtime.schema.model import ToolChoice


def allows_nothing(choice: ToolChoice) -> bool:
    """Whether no tool may be called; then the model is not told of any."""
    return choice.mode == "none" or choice.names == []


def judged(asked: AskedCall, choice: ToolChoice, offered: Sequence[str]) -> AskedCall:
    """The call; one that may not be made has the reason as its problem."""
    if asked.problem is not None:
        return asked
    call = asked.call
    name = f"{call.server}__{call.name}" if call.server else call.name
    problem = _problem(name, choice, offered)
    return asked if problem is None else AskedCall(call, problem)


def _problem(name: str, choice: ToolChoice, offered: Sequence[str]) -> str | None:
    if allows_nothing(choice):
        return "No tool may be called here. Answer in text."
    if name not in offered:
        close = difflib.get_close_matches(name, offered, 1)
        hint = f" Did you mean `{close[0]}`?" if close else ""
        return f"There is no tool `{name}`.{hint} The tools are: {', '.join(offered) or 'none'}."
    if choice.names is None or name in choice.names:
        return None
    return f"{name} may not be called here. What may be called: {', '.join(choice.names)}."
