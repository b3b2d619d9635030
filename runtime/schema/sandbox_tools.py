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
        "Open a page in the browser and return a snapshot of it. Files of the workspace open by "
        "their path (`/workspace/report.html`), local servers by `http://localhost:PORT`.",
        ["url"],
        url=_string("An http(s) URL, or the path of a file in the workspace."),
    ),
    _tool(
        "browser_snapshot",
        "The page as text: an accessibility tree whose elements carry refs for the other tools.",
        [],
    ),
    _tool(
        "browser_click",
        "Click an element.",
        ["ref"],
        ref=_REF,
        double=_boolean("Click twice."),
    ),
    _tool(
        "browser_type",
        "Type text into a field, replacing what it holds.",
        ["ref", "text"],
        ref=_REF,
        text=_string("What to type."),
        submit=_boolean("Press Enter afterwards."),
    ),
    _tool(
        "browser_press",
        "Press a key, such as `Enter`, `Escape`, `ArrowDown` or `Control+a`.",
        ["key"],
        key=_string("The key."),
    ),
    _tool(
        "browser_select",
        "Choose an option of a select element by its label or value.",
        ["ref", "values"],
        ref=_REF,
        values={"type": "array", "items": {"type": "string"}, "description": "What to choose."},
    ),
    _tool(
        "browser_scroll",
        "Scroll the page, or to an element.",
        [],
        direction=_string("Where to.", enum=["up", "down", "top", "bottom"]),
        ref=_REF,
    ),
    _tool("browser_back", "Go back one page.", []),
    _tool(
        "browser_wait",
        "Wait until a text shows or is gone, or for a time.",
        [],
        text=_string("Wait until this text shows."),
        text_gone=_string("Wait until this text is gone."),
        seconds={"type": "number", "description": "Wait this long (at most 60)."},
    ),
    _tool(
        "browser_screenshot",
        "A picture of the page; it is also saved as a file when `path` is given.",
        [],
        full_page=_boolean("The whole page, not only what shows."),
        ref=_REF,
        path=_string("Save it there, such as `/workspace/page.png`."),
    ),
    _tool(
        "browser_tabs",
        "List, open, choose or close tabs.",
        ["action"],
        action=_string("What to do.", enum=["list", "new", "select", "close"]),
        index=_integer("Which tab, from 0, for `select` and `close`."),
        url=_string("What to open in a new tab."),
    ),
    _tool(
        "browser_download",
        "Click an element that starts a download, and keep the file in the workspace.",
        ["ref"],
        ref=_REF,
        path=_string("Where to put it (default /workspace/downloads/)."),
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
