"""What is wrong with the `search` of a configuration beyond the types of its values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from runtime.schema.settings import SearchSettings
from runtime.specs.mistakes import Loc, Mistake
from runtime.specs.yaml_marks import Document


def search_mistakes(document: Document, search: SearchSettings | None) -> Iterator[Mistake]:
    """The mistakes of `search`, which was read from `document`."""
    loc: Loc = ("search",)
    if search is None:
        return
    if search.provider == "searxng":
        if search.base_url is None:
            message = "needs a `base_url`, such as http://localhost:8888"
            yield document.mistake(loc, message, key=True)
    elif search.api_key is None:
        yield document.mistake(loc, "needs an `api_key`, such as ${env:SEARCH_API_KEY}", key=True)
    if search.provider == "google" and search.engine_id is None:
        message = "needs an `engine_id`, the id of a Programmable Search Engine"
        yield document.mistake(loc, message, key=True)
    if search.base_url is not None and not re.fullmatch(r"https?://[^\s/]+\S*", search.base_url):
        yield document.mistake((*loc, "base_url"), "must be an http:// or https:// URL")
