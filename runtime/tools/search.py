"""The tool `google_search`: web search by the provider that the operator chose."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2
from pydantic import SecretStr

from runtime.errors import AddressRefused, ToolFault
from runtime.schema.content import TextContent
from runtime.schema.model import FunctionDeclaration
from runtime.schema.settings import SearchProvider, SearchSettings
from runtime.schema.steps import ToolResult
from runtime.schema.web_results import SearchHit, search_text
from runtime.tools.dial import Dialer

MAX_QUERIES = 5
MAX_HITS = 8
"""Of one query."""
MAX_BYTES = 4 * 1024 * 1024
MAX_TITLE = 300
MAX_SNIPPET = 1000
MAX_URL = 2000

DECLARATION = FunctionDeclaration(
    name="google_search",
    description="Searches the web. Returns titles, addresses and short excerpts of pages.",
    parameters={
        "type": "object",
        "properties": {
            "queries": {
                "type": "array",
                "items": {"type": "string"},
                "minItems": 1,
                "maxItems": MAX_QUERIES,
                "description": "What to search for; each entry is a search of its own.",
            }
        },
        "required": ["queries"],
    },
)


@dataclass(frozen=True, slots=True)
class _Ask:
    """One request to a provider."""

    url: str
    method: str = "GET"
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    headers: dict[str, str] = field(default_factory=dict[str, str])
    json: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Provider:
    """How one provider is asked and how its answers are read."""

    base_url: str
    ask: Callable[[SearchSettings, str, str], _Ask]
    hits_at: tuple[str, ...]
    """The path of the list of hits in an answer."""
    url: str = "url"
    snippet: str = "content"


def _searxng(settings: SearchSettings, base: str, query: str) -> _Ask:
    headers = {"authorization": f"Bearer {_key(settings)}"} if settings.api_key else {}
    return _Ask(f"{base}/search", params={"q": query, "format": "json"}, headers=headers)


def _brave(settings: SearchSettings, base: str, query: str) -> _Ask:
    params = {"q": query[:400], "count": MAX_HITS, "text_decorations": "false"}
    headers = {"x-subscription-token": _key(settings)}
    return _Ask(f"{base}/res/v1/web/search", params=params, headers=headers)


def _tavily(settings: SearchSettings, base: str, query: str) -> _Ask:
    headers = {"authorization": f"Bearer {_key(settings)}"}
    body = {"query": query[:400], "max_results": MAX_HITS}
    return _Ask(f"{base}/search", "POST", headers=headers, json=body)


def _google(settings: SearchSettings, base: str, query: str) -> _Ask:
    params = {"q": query, "cx": settings.engine_id, "num": MAX_HITS}
    # In a header, since addresses of requests end up in logs.
    return _Ask(
        f"{base}/customsearch/v1", params=params, headers={"x-goog-api-key": _key(settings)}
    )


_PROVIDERS: Mapping[SearchProvider, _Provider] = {
    "searxng": _Provider("", _searxng, ("results",)),
    "brave": _Provider(
        "https://api.search.brave.com", _brave, ("web", "results"), snippet="description"
    ),
    "tavily": _Provider("https://api.tavily.com", _tavily, ("results",)),
    "google": _Provider(
        "https://www.googleapis.com", _google, ("items",), url="link", snippet="snippet"
    ),
}


class Search:
    """Searches with one provider. Its address is the operator's choice, so it may be private."""

    def __init__(self, settings: SearchSettings) -> None:
        self._settings = settings
        self._provider = _PROVIDERS[settings.provider]
        self._base = (settings.base_url or self._provider.base_url).rstrip("/")
        self._dialer = Dialer([httpx2.URL(self._base).raw_host.decode("ascii")])

    async def call(self, arguments: dict[str, Any]) -> ToolResult:
        """Run the queries side by side. Raises `ToolFault` when none could be answered."""
        queries = _queries(arguments)
        found: dict[str, list[SearchHit]] = {}
        problems: dict[str, str] = {}

        async def run(query: str) -> None:
            try:
                found[query] = await self._search(query)
            except ToolFault as fault:
                problems[query] = fault.message

        async with anyio.create_task_group() as tasks:
            for query in queries:
                tasks.start_soon(run, query)
        if not found:
            raise ToolFault(problems[queries[0]])
        value = [hit.model_dump() for query in queries for hit in found.get(query, [])]
        failed = [f"The search for '{query}' failed: {problems[query]}" for query in problems]
        text = "\n\n".join([search_text(value), *failed])
        return ToolResult([TextContent(text=text)], value=value)

    async def _search(self, query: str) -> list[SearchHit]:
        ask = self._provider.ask(self._settings, self._base, query)
        body = await self._fetch(ask)
        hits: list[SearchHit] = []
        for entry in _at(body, self._provider.hits_at):
            hit = _hit(query, entry, self._provider)
            if hit is not None and all(hit.url != other.url for other in hits):
                hits.append(hit)
        return hits[:MAX_HITS]

    async def _fetch(self, ask: _Ask) -> Any:
        name, seconds = self._settings.provider, self._settings.timeout_seconds
        try:
            with anyio.fail_after(seconds):
                async with self._dialer.client(max_bytes=MAX_BYTES) as client:
                    response = await client.request(
                        ask.method, ask.url, params=ask.params, headers=ask.headers, json=ask.json
                    )
                return self._read(response)
        except TimeoutError as error:
            message = f"The search provider {name} did not answer within {seconds:g} s."
            raise ToolFault(message) from error
        except (httpx2.HTTPError, httpx2.StreamError, AddressRefused) as error:
            raise ToolFault(f"The search provider {name} cannot be reached: {error}") from error

    def _read(self, response: httpx2.Response) -> Any:
        name = self._settings.provider
        if response.status_code == 403 and name == "searxng":
            raise ToolFault(
                "The search provider searxng refuses JSON. Its operator allows it with "
                "`search.formats: [html, json]` in SearXNG's settings.yml."
            )
        if response.status_code in {401, 403}:
            raise ToolFault(f"The search provider {name} does not accept the configured key.")
        if response.status_code == 429:
            raise ToolFault(f"The search provider {name} limits the rate of searches; try later.")
        if response.status_code != 200:
            raise ToolFault(f"The search provider {name} answered {response.status_code}.")
        try:
            return response.json()
        except ValueError as error:
            raise ToolFault(f"The search provider {name} did not answer with JSON.") from error


def _queries(arguments: dict[str, Any]) -> list[str]:
    asked = arguments.get("queries")
    asked = [asked] if isinstance(asked, str) else asked
    if not isinstance(asked, list) or not all(isinstance(query, str) for query in asked):
        raise ToolFault("google_search needs `queries`, a list of texts.")
    queries = list(dict.fromkeys(query.strip() for query in asked if query.strip()))
    if not 1 <= len(queries) <= MAX_QUERIES:
        raise ToolFault(f"google_search takes 1 to {MAX_QUERIES} queries at once.")
    return queries


def _at(body: Any, path: tuple[str, ...]) -> list[Any]:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, list) else []


def _hit(query: str, entry: Any, provider: _Provider) -> SearchHit | None:
    if not isinstance(entry, dict):
        return None
    url = entry.get(provider.url)
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return None
    title = _clean(entry.get("title"), MAX_TITLE)
    snippet = _clean(entry.get(provider.snippet), MAX_SNIPPET)
    return SearchHit(query=query, title=title, url=url[:MAX_URL], snippet=snippet)


def _clean(text: Any, limit: int) -> str:
    if not isinstance(text, str):
        return ""
    bare = html.unescape(re.sub(r"</?(b|strong|em|br)\s*/?>", "", text[: 4 * limit]))
    return " ".join(bare.split())[:limit]


def _key(settings: SearchSettings) -> str:
    return (settings.api_key or SecretStr("")).get_secret_value()
