"""The tools that live in a sandbox: their names, what models are told, and their arguments.

Names and argument spellings are those of the Interactions API's `antigravity-preview-09-2026`.
"""

from __future__ import annotations

from typing import Any

from runtime.schema.model import FunctionDeclaration


def _tool(
    name: str, description: str, required: list[str], **properties: Any
) -> FunctionDeclaration:
    return FunctionDeclaration(
        name=name,
        description=description,
        parameters={"type": "object", "properties": properties, "required": required},
    )


def _string(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _integer(description: str) -> dict[str, Any]:
    return {"type": "integer", "description": description}


def _boolean(description: str) -> dict[str, Any]:
    return {"type": "boolean", "description": description}


_REF = _string("Element ref from the last snapshot, such as `e12`.")

CODE_TOOLS = [
    _tool(
        "code_execution",
        "Run code in the sandbox. `python` runs in a persistent Jupyter kernel: variables, imports "
        "and open figures stay. `bash` runs in a persistent shell: the directory and variables "
        "stay. Output, plots and the value of the last expression come back.",
        ["code"],
        code=_string("The code to run."),
        language=_string("`python` (default) or `bash`.", enum=["python", "bash"]),
        timeout_seconds=_integer("Give up after this many seconds (default 300)."),
    )
]

FILE_TOOLS = [
    _tool(
        "view_file",
        "Read a file: text with line numbers, or a picture as a picture.",
        ["AbsolutePath"],
        AbsolutePath=_string("The file; a relative path starts at /workspace."),
        StartLine=_integer("First line, from 1."),
        EndLine=_integer("Last line, included."),
        ContentOffset=_integer("Skip this many characters first, for very long lines."),
    ),
    _tool(
        "write_to_file",
        "Write a text file; missing folders are made.",
        ["TargetFile", "CodeContent"],
        TargetFile=_string("The file; a relative path starts at /workspace."),
        CodeContent=_string("The whole content."),
        Overwrite=_boolean(
            "Replace an existing file (default false: an existing one is an error)."
        ),
        Description=_string("Why, in a few words."),
    ),
    _tool(
        "replace_file_content",
        "Replace a piece of a text file.",
        ["TargetFile", "TargetContent", "ReplacementContent"],
        TargetFile=_string("The file; a relative path starts at /workspace."),
        StartLine=_integer("Look only from this line on, from 1."),
        EndLine=_integer("Look only up to this line, included."),
        TargetContent=_string(
            "The exact text to replace; it must stand exactly once in the range."
        ),
        ReplacementContent=_string("What to put in its place."),
    ),
    _tool(
        "list_dir",
        "List a folder: names, kinds, sizes.",
        ["DirectoryPath"],
        DirectoryPath=_string("The folder; a relative path starts at /workspace."),
    ),
    _tool(
        "find_by_name",
        "Find files and folders whose name matches a glob pattern.",
        ["SearchDirectory", "Pattern"],
        SearchDirectory=_string("Where to start."),
        Pattern=_string("Glob pattern of the name, such as `*.csv`."),
        MaxDepth=_integer("How many levels deep at most."),
    ),
    _tool(
        "grep_search",
        "Search the text of files below a path.",
        ["SearchPath", "Query"],
        SearchPath=_string("A file, or a folder to search whole."),
        Query=_string("The text to look for."),
        IsRegex=_boolean("Take the query as a regular expression (default false)."),
    ),
]

BROWSER_TOOLS = [
    _tool(
        "browser_navigate",
        "Open a page in the active tab of a real browser and return a snapshot of it: the page as "
        "an accessibility tree, whose elements carry refs for the other tools. Files of the "
        "workspace open by their path (`/workspace/report.html`), servers in the sandbox by "
        "`http://localhost:PORT`.",
        ["url"],
        url=_string("An http(s) URL, or the path of a file in the workspace."),
    ),
    _tool(
        "browser_snapshot",
        "The active tab as text: its address, errors on its console, and an accessibility tree "
        "with refs. Tools that act return one by themselves. Refs hold until the page changes.",
        [],
        start_line=_integer("Start at this line, to read on where a long snapshot was cut."),
    ),
    _tool(
        "browser_click",
        "Click an element; returns the page after it settled. A new tab becomes the active one, "
        "dialogs are accepted, a download is stored in /workspace/downloads: the result says so.",
        ["ref"],
        ref=_REF,
        double=_boolean("Click twice."),
    ),
    _tool(
        "browser_type",
        "Type text into a field, replacing what it holds. Date fields take `2026-01-31`.",
        ["ref", "text"],
        ref=_REF,
        text=_string("What to type; empty to clear the field."),
        submit=_boolean("Press Enter afterwards."),
    ),
    _tool(
        "browser_press",
        "Press a key in the element that has the focus, such as `Enter`, `Escape`, `Tab`, "
        "`ArrowDown` or `Control+a`.",
        ["key"],
        key=_string("The key, with modifiers joined by `+`."),
    ),
    _tool(
        "browser_select",
        "Choose options of a select element (a `combobox` or `listbox` with options).",
        ["ref", "values"],
        ref=_REF,
        values={
            "type": "array",
            "items": {"type": "string"},
            "description": "The labels or values to choose; several only where several may be.",
        },
    ),
    _tool(
        "browser_scroll",
        "Scroll by most of a window, or to an end, or to an element. Snapshots hold the whole page "
        "already: scroll for screenshots, and where a page loads more when scrolled.",
        [],
        direction=_string("Where to (default down).", enum=["up", "down", "top", "bottom"]),
        ref=_string("Scroll to this element; with `direction`, scroll what it scrolls in."),
    ),
    _tool("browser_back", "Go back one page in the active tab.", []),
    _tool(
        "browser_wait",
        "Wait until a text shows or is gone, or for a time; returns the page then.",
        [],
        text=_string("Wait until this text shows."),
        text_gone=_string("Wait until this text is gone."),
        seconds={
            "type": "number",
            "description": "How long: exactly, or at most where a text is given (then default 30). "
            "At most 60.",
        },
    ),
    _tool(
        "browser_screenshot",
        "A picture of what shows of the page; also saved as a file when `path` is given.",
        [],
        full_page=_boolean("The whole page, not only what shows."),
        ref=_string("Only this element."),
        path=_string("Save it there, such as `/workspace/page.png` (.png or .jpg)."),
    ),
    _tool(
        "browser_tabs",
        "List, open, choose or close tabs. The other tools act on the active one.",
        ["action"],
        action=_string("What to do.", enum=["list", "new", "select", "close"]),
        index=_integer("Which tab, from 0, for `select` and `close` (default: active)."),
        url=_string("What to open in a new tab."),
    ),
    _tool(
        "browser_download",
        "Click an element that starts a download, wait for the file and keep it.",
        ["ref"],
        ref=_REF,
        path=_string(
            "Where to put it: a file, or a folder with `/` at the end (default "
            "/workspace/downloads/)."
        ),
    ),
]

SANDBOX_TOOLS = {tool.name: tool for tool in [*CODE_TOOLS, *FILE_TOOLS, *BROWSER_TOOLS]}
"""Every tool that a sandbox can run, by name."""

TOOL_GROUPS = {
    "code_execution": [tool.name for tool in CODE_TOOLS],
    "filesystem": [tool.name for tool in FILE_TOOLS],
    "browser": [tool.name for tool in BROWSER_TOOLS],
}
"""The names by which agents and calls ask for several tools at once."""
