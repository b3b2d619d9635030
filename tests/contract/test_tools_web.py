"""Search and pages behind `ControllerTools`, over real HTTP on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.errors import InvalidRequest, ToolFault
from runtime.schema.settings import OutboundSettings, SearchProvider, SearchSettings, Settings
from runtime.schema.steps import ToolCall, as_result, result_step
from runtime.tools.relay import ControllerTools
from tests.support.web import serving
from tests.support.web_world import web

pytestmark = pytest.mark.anyio


@pytest.fixture
async def site() -> AsyncIterator[str]:
    async with web() as url:
        yield url


@pytest.fixture
async def tools(site: str) -> AsyncIterator[ControllerTools]:
    settings = Settings(
        search=SearchSettings(provider="searxng", base_url=site),
        outbound=OutboundSettings(allow=["127.0.0.1"]),
    )
    made = ControllerTools(settings)
    async with made.open():
        await made.offer("i", {"type": "google_search"})
        await made.offer("i", {"type": "url_context"})
        yield made


async def test_pages_of_every_kind_are_read(tools: ControllerTools, site: str) -> None:
    names = ["plain", "data", "notes", "article", "paper"]
    answer = await tools.call("i", "url_context", {"urls": [f"{site}/{name}" for name in names]})
    assert [page["status"] for page in answer.value] == ["success"] * 5
    assert [page["url"] for page in answer.value] == [f"{site}/{name}" for name in names]
    plain, data, notes, article, paper = (page["text"] for page in answer.value)
    assert plain == "Grüße, plain text."
    assert data == '{"answer":42}'
    assert notes == "# Notes\n- one"
    assert "emperor penguin" in article
    assert "alert" not in article
    assert "About us" not in article
    assert paper == "A paper on ice."
    assert "Title: Penguins" in answer.text
    assert not answer.is_error


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/missing", "error", "404"),
        ("/pay", "paywall", "402"),
        ("/picture", "error", "image/png"),
        ("/scan", "error", "no text"),
        ("/broken", "error", "cannot be read"),
        ("/to?url=http://169.254.169.254/", "unsafe", "not public"),
        ("/to?url=http://localhost:1/", "unsafe", "private network"),
    ],
)
async def test_a_page_that_cannot_be_read_says_why(
    tools: ControllerTools, site: str, path: str, status: str, words: str
) -> None:
    answer = await tools.call("i", "url_context", {"urls": [f"{site}{path}", f"{site}/plain"]})
    first, second = answer.value
    assert (first["status"], second["status"]) == (status, "success")
    assert words in first["text"]
    assert not answer.is_error


@pytest.mark.parametrize(
    "url",
    ["http://10.0.0.1/", "file:///etc/passwd", "http://2130706433/", "http://[::1]/", "nonsense"],
)
async def test_an_unsafe_address_is_not_fetched(tools: ControllerTools, url: str) -> None:
    answer = await tools.call("i", "url_context", {"urls": [url]})
    assert answer.value[0]["status"] == "unsafe"
    assert answer.is_error


async def test_a_long_page_is_cut(tools: ControllerTools, site: str) -> None:
    answer = await tools.call("i", "url_context", {"urls": [f"{site}/long"]})
    assert answer.value[0]["text"].endswith("[The page goes on: 140000 more characters.]")
    assert len(answer.text) < 61_000


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("url_context", {}),
        ("url_context", {"urls": []}),
        ("url_context", {"urls": [1]}),
        ("url_context", {"urls": [f"http://a.example/{n}" for n in range(21)]}),
        ("url_context", {"urls": ["http://a.example/" + "x" * 3000]}),
        ("google_search", {"queries": [" "]}),
        ("google_search", {"query": "x"}),
        ("google_search", {"queries": [str(n) for n in range(6)]}),
    ],
)
async def test_arguments_that_are_wrong_are_a_fault(
    tools: ControllerTools, name: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ToolFault):
        await tools.call("i", name, arguments)


async def test_a_search_gives_titles_addresses_and_snippets(tools: ControllerTools) -> None:
    answer = await tools.call("i", "google_search", {"queries": ["penguins", "ice"]})
    assert len(answer.value) == 16
    assert answer.value[0] == {
        "query": "penguins",
        "title": "About penguins",
        "url": "http://a.example/0",
        "snippet": "It & more",
    }
    assert "Results for 'ice':\n1. About ice\n   http://a.example/0\n   It & more" in answer.text
    call = ToolCall("c", "google_search", {"queries": ["penguins", "ice"]})
    again = as_result(result_step(call, answer))
    assert again is not None
    assert again[1].text == answer.text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("forbidden", "settings.yml"),
        ("busy", "limits the rate"),
        ("broken", "did not answer with JSON"),
    ],
)
async def test_a_search_that_fails(tools: ControllerTools, query: str, words: str) -> None:
    with pytest.raises(ToolFault, match=words):
        await tools.call("i", "google_search", {"queries": [query]})
    answer = await tools.call("i", "google_search", {"queries": [query, "ice"]})
    assert f"The search for '{query}' failed" in answer.text
    assert len(answer.value) == 8


async def test_nothing_found_is_no_error(tools: ControllerTools) -> None:
    answer = await tools.call("i", "google_search", {"queries": ["nothing"]})
    assert answer.text == "Nothing was found."
    assert not answer.is_error


async def test_search_without_a_provider_is_not_offered() -> None:
    made = ControllerTools(Settings())
    async with made.open():
        assert await made.offer("i", {"type": "google_search"}) is None
        with pytest.raises(InvalidRequest, match="image_search"):
            await made.offer("i", {"type": "google_search", "search_types": ["image_search"]})


HIT = {"title": "T", "url": "http://a.example/", "content": "S", "description": "S"}


@pytest.mark.parametrize(
    ("provider", "path", "header", "body"),
    [
        ("brave", "/res/v1/web/search", "x-subscription-token", {"web": {"results": [HIT]}}),
        ("tavily", "/search", "authorization", {"results": [HIT]}),
        (
            "google",
            "/customsearch/v1",
            "x-goog-api-key",
            {"items": [{"title": "T", "link": "http://a.example/", "snippet": "S"}]},
        ),
    ],
)
async def test_each_provider_is_asked_in_its_own_words(
    provider: SearchProvider, path: str, header: str, body: dict[str, Any]
) -> None:
    asked: list[Request] = []

    async def answer(request: Request) -> Response:
        asked.append(request)
        await request.body()
        return JSONResponse(body)

    routes = [Route("/{rest:path}", answer, methods=["GET", "POST"])]
    async with serving(Starlette(routes=routes)) as port:
        search = SearchSettings(
            provider=provider,
            base_url=f"http://127.0.0.1:{port}",
            api_key=SecretStr("key-123"),
            engine_id="engine-9",
        )
        made = ControllerTools(Settings(search=search))
        async with made.open():
            await made.offer("i", {"type": "google_search"})
            with anyio.fail_after(10):
                found = await made.call("i", "google_search", {"queries": ["ice"]})
    assert found.value == [
        {"query": "ice", "title": "T", "url": "http://a.example/", "snippet": "S"}
    ]
    assert asked[0].url.path == path
    assert asked[0].headers[header].removeprefix("Bearer ") == "key-123"
    assert "key-123" not in str(asked[0].url)


async def test_an_address_of_the_configuration_that_cannot_be_read_is_named() -> None:
    with pytest.raises(InvalidRequest, match=r"outbound\.allow: 'a b'"):
        ControllerTools(Settings(outbound=OutboundSettings(allow=["a b"])))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("url_context", {"urls": ["http://127.0.0.1/\ud83d"]}),
        ("google_search", {"queries": ["\ud83d"]}),
    ],
)
async def test_half_a_character_is_refused(
    tools: ControllerTools, name: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ToolFault, match=r"U\+D83D alone"):
        await tools.call("i", name, arguments)
