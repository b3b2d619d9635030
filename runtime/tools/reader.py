"""Turns an HTML page or a PDF into text, as a process of its own: `python -m runtime.tools.reader`.

Parsers of documents from anywhere crash, hang and use up memory; here that harms nobody. It gets
the document on standard input, the kind and the URL as arguments, and prints one JSON object:
`title` and `text`, or `problem`.
"""

from __future__ import annotations

import io
import json
import resource
import sys

MEMORY_BYTES = 2 * 1024**3
CPU_SECONDS = 20
MAX_PAGES = 300
MAX_CHARACTERS = 400_000


def read_html(data: bytes, url: str) -> dict[str, str]:
    """The title and the main text of a page, as markdown."""
    import trafilatura

    tree = trafilatura.load_html(data)
    if tree is None:
        return {"problem": "The page is not HTML."}
    title = trafilatura.extract_metadata(tree).title or ""
    text = trafilatura.extract(
        data, url=url, output_format="markdown", include_links=True, include_comments=False
    )
    text = text or trafilatura.html2txt(data)
    if not text:
        return {"problem": "The page has no text."}
    return {"title": title[:300], "text": text[:MAX_CHARACTERS]}


def read_pdf(data: bytes) -> dict[str, str]:
    """The title and the text of a PDF, page after page."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        pages: list[str] = []
        for page in reader.pages[:MAX_PAGES]:
            pages.append(page.extract_text())
            if sum(map(len, pages)) > MAX_CHARACTERS:
                break
        title = (reader.metadata.title if reader.metadata else None) or ""
    except PyPdfError as error:
        return {"problem": f"The PDF cannot be read: {str(error)[:200]}."}
    text = "\n\n".join(text.strip() for text in pages if text.strip())
    if not text:
        return {"problem": "The PDF has no text; it may be a scan."}
    return {"title": str(title)[:300], "text": text[:MAX_CHARACTERS]}


def main() -> None:
    """Read the document within bounds of memory and time."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    kind, url = sys.argv[1], sys.argv[2]
    data = sys.stdin.buffer.read()
    found = read_pdf(data) if kind == "pdf" else read_html(data, url)
    sys.stdout.buffer.write(json.dumps(found).encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
