"""A tool call and its result on one line: what was done, to what, with which outcome."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from runtime.cli.wording import one_line, plural
from runtime.schema.steps import CODE_EXECUTION, ToolCall, ToolResult

_TARGETS: dict[str, tuple[str, ...]] = {
    "view_file": ("AbsolutePath",),
    "write_to_file": ("TargetFile",),
    "replace_file_content": ("TargetFile",),
    "list_dir": ("DirectoryPath",),
    "find_by_name": ("SearchDirectory", "Pattern"),
    "grep_search": ("SearchPath", "Query"),
    "browser_navigate": ("url",),
    "browser_snapshot": (),
    "browser_click": ("ref",),
    "browser_type": ("ref", "text"),
    "browser_press": ("key",),
    "browser_select": ("ref", "values"),
    "browser_scroll": ("direction", "ref"),
    "browser_back": (),
    "browser_wait": ("text", "text_gone", "seconds"),
    "browser_screenshot": ("ref", "path"),
    "browser_tabs": ("action", "url"),
    "browser_download": ("ref", "path"),
}
_PAGE = re.compile(r"^Page: (\S.*)$", re.MULTILINE)
"""How the browser tools name the page that they leave."""


@dataclass(frozen=True, slots=True)
class Act:
    """One call of a tool, done."""

    name: str
    target: str
    outcome: str
    is_error: bool


def act_of(call: ToolCall, result: ToolResult) -> Act:
    """The line for a call and its result."""
    return Act(
        one_line(call.name, 60),
        target_of(call),
        _failure(result.text) if result.is_error else _outcome(call.name, result.text),
        result.is_error,
    )


def doing(call: ToolCall) -> str:
    """What a call that runs just now does, in a few words."""
    if call.name == CODE_EXECUTION:
        return f"running {one_line(str(call.arguments.get('language') or 'python'), 20)}"
    return f"{one_line(call.name, 60)} {target_of(call)}".strip()


def target_of(call: ToolCall) -> str:
    """What the call is about, from its arguments."""
    fields = _TARGETS.get(call.name)
    if fields is None:
        return one_line(_compact(call.arguments), 80) if call.arguments else ""
    values = [call.arguments[field] for field in fields if field in call.arguments]
    return one_line(" ".join(_word(value) for value in values), 80)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _outcome(name: str, text: str) -> str:
    if name.startswith("browser_") and (page := _PAGE.search(text)):
        return one_line(page.group(1), 140)
    lines = text.strip().split("\n")
    if len(lines) > 1:
        return plural(len(lines), "line")
    return one_line(lines[0])


def _failure(text: str) -> str:
    """The last line: tracebacks end with what went wrong, and one-line errors are all last."""
    lines = [line for line in text.strip().split("\n") if line.strip()]
    return one_line(lines[-1] if lines else "failed")
