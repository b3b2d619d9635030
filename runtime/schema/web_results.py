"""Results of the web tools: their form on the wire, and as a model reads them."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import ValidationError

from runtime.schema.base import Open

PageStatus = Literal["success", "error", "paywall", "unsafe"]


class SearchHit(Open):
    """One thing that a search found."""

    query: str = ""
    title: str = ""
    url: str
    snippet: str = ""


class PageRead(Open):
    """A page that was read, or why it was not."""

    url: str
    status: PageStatus
    title: str = ""
    text: str = ""
    """The page's text, or what went wrong."""


def search_text(value: Any) -> str:
    """The result of a search as a model reads it; other forms than ours as JSON."""
    try:
        hits = [SearchHit.model_validate(entry) for entry in value]
    except (ValidationError, TypeError):
        return as_json(value)
    if not hits:
        return "Nothing was found."
    queries = list(dict.fromkeys(hit.query for hit in hits))
    return "\n\n".join(
        _query_text(query, [hit for hit in hits if hit.query == query]) for query in queries
    )


def _query_text(query: str, hits: list[SearchHit]) -> str:
    rows = [f"{n}. {hit.title}\n   {hit.url}\n   {hit.snippet}" for n, hit in enumerate(hits, 1)]
    return "\n".join([f"Results for '{query}':", *rows] if query else rows)


def pages_text(value: Any) -> str:
    """Pages as a model reads them; other forms than ours as JSON."""
    try:
        pages = [PageRead.model_validate(entry) for entry in value]
    except (ValidationError, TypeError):
        return as_json(value)
    return "\n\n".join(_page_text(page) for page in pages)


def _page_text(page: PageRead) -> str:
    if page.status != "success":
        return f"# {page.url}\nNot read ({page.status}): {page.text}"
    title = f"\nTitle: {page.title}" if page.title else ""
    return f"# {page.url}{title}\n\n{page.text}"


def as_json(value: Any) -> str:
    """A value of a foreign form, as text."""
    return json.dumps(value, ensure_ascii=False, default=str)
