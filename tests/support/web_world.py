"""A small web on loopback: pages of several kinds, and a search engine with SearXNG's JSON."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from tests.support.web import serving

ARTICLE = """<html><head><title>Of penguins</title></head><body>
<nav><a href="/">Home</a><a href="/about">About us</a></nav>
<article><h1>Penguins</h1><p>Penguins are birds that cannot fly. They live nearly all in the
southern half of the world, and they eat fish, which they catch under water.</p>
<p>The largest of them is the emperor penguin, which is about one metre tall.</p></article>
<script>alert("no")</script><footer>All rights reserved.</footer></body></html>"""


def pdf(text: str) -> bytes:
    """A PDF with one page that says `text`."""
    writer = PdfWriter()
    page = writer.add_blank_page(300, 100)
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    fonts = DictionaryObject({NameObject("/F1"): font})
    page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    stream = DecodedStreamObject()
    stream.set_data(f"BT /F1 12 Tf 20 50 Td ({text}) Tj ET".encode("ascii"))
    page[NameObject("/Contents")] = writer._add_object(stream)
    data = io.BytesIO()
    writer.write(data)
    return data.getvalue()


async def _search(request: Request) -> Response:
    query = request.query_params["q"]
    if request.query_params.get("format") != "json" or query == "forbidden":
        return Response(status_code=403)
    if query == "busy":
        return Response(status_code=429)
    if query == "broken":
        return PlainTextResponse("<html>")
    hits = [
        {
            "title": f"About <b>{query}</b>",
            "url": f"http://a.example/{n}",
            "content": "It &amp; more",
        }
        for n in range(20)
    ]
    wrong = [{"title": "x", "url": "javascript:alert(1)"}, {"title": "y"}, "z", hits[0]]
    return JSONResponse({"query": query, "results": [*wrong, *hits] if query != "nothing" else []})


async def _redirect(request: Request) -> Response:
    return RedirectResponse(request.query_params["url"])


@asynccontextmanager
async def web() -> AsyncIterator[str]:
    """Yields where it is."""
    texts = {
        "/plain": PlainTextResponse("Grüße, plain text."),
        "/data": JSONResponse({"answer": 42}),
        "/notes": Response("# Notes\n- one", media_type="text/markdown"),
        "/article": HTMLResponse(ARTICLE),
        "/paper": Response(pdf("A paper on ice."), media_type="application/pdf"),
        "/scan": Response(pdf(""), media_type="application/pdf"),
        "/broken": Response(b"%PDF-1.7 garbage", media_type="application/pdf"),
        "/picture": Response(b"\x89PNG", media_type="image/png"),
        "/pay": Response(status_code=402),
        "/long": PlainTextResponse("w" * 200_000),
    }

    async def page(request: Request) -> Response:
        return texts.get(request.url.path, Response(status_code=404))

    routes = [
        Route("/search", _search),
        Route("/to", _redirect),
        Route("/{path:path}", page),
    ]
    async with serving(Starlette(routes=routes)) as port:
        yield f"http://127.0.0.1:{port}"
