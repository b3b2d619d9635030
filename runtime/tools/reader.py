"""Turns a document into text, as a process of its own: `python -m runtime.tools.reader`.

Parsers of documents from anywhere crash, hang and use up memory; here that harms nobody. It gets
the document on standard input, the kind and the URL as arguments, and prints one JSON object:
`title` and `text`, or `problem`.
"""

from __future__ import annotations

import json
import resource
import sys

from runtime.tools.formats import read

MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 20


def main() -> None:
    """Read the document within bounds of memory and time."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    kind, url = sys.argv[1], sys.argv[2]
    try:
        found = read(kind, sys.stdin.buffer.read(), url)
    except Exception as error:  # noqa: BLE001 - parsers raise anything
        # Whatever a parser made of what it could not read; nothing but this process ends with it.
        found = {"problem": f"It cannot be read: {type(error).__name__}: {str(error)[:200]}"}
    sys.stdout.buffer.write(json.dumps(found).encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
