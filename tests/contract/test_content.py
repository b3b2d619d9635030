"""Pictures, sounds and documents on their way from a caller to a provider's wire."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import docx
import openpyxl
import pptx
import pytest
from google import genai
from google.genai import types
from pydantic import SecretStr
from reportlab.pdfgen.canvas import Canvas
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from runtime.schema.settings import (
    FilesSettings,
    ModelsSettings,
    OutboundSettings,
    ProviderSettings,
    Settings,
)
from tests.contract.model_servers import ModelServer, Reply, model_server, sse
from tests.contract.model_stories import PNG
from tests.contract.model_wires import WIRES, chat_call
from tests.support.local_controller import KEY, LocalController, local_controller
from tests.support.web import serving

pytestmark = pytest.mark.anyio

Value = TypeVar("Value")
OFFICE = "application/vnd.openxmlformats-officedocument"
WORD = f"{OFFICE}.wordprocessingml.document"
SHEET = f"{OFFICE}.spreadsheetml.sheet"
SLIDES = f"{OFFICE}.presentationml.presentation"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)


class World:
    def __init__(self, api: LocalController, server: ModelServer) -> None:
        self.api = api
        self.server = server

    async def post(self, **body: Any) -> tuple[int, dict[str, Any]]:
        async with self.api.http() as client:
            answer = await client.post("/v1/interactions", json=body)
        return answer.status_code, answer.json()

    async def ask(self, model: str, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The body that the provider got."""
        status, made = await self.post(model=f"{model}/{WIRES[model].model}", input=parts, **more)
        assert (status, made.get("status")) == (200, "completed"), made
        return self.server.asked[-1].body

    async def refused(self, model: str, *parts: dict[str, Any]) -> str:
        status, made = await self.post(model=f"{model}/{WIRES[model].model}", input=parts)
        assert status == 400, made
        assert self.server.asked == []
        return made["error"]["message"]

    async def upload(self, data: bytes, mime_type: str, name: str = "") -> dict[str, Any]:
        headers = {"content-type": mime_type, "x-goog-upload-file-name": name or "file"}
        async with self.api.http() as client:
            answer = await client.post("/upload/v1beta/files", headers=headers, content=data)
        return answer.json()["file"]


def answer(kind: str) -> Reply:
    wire = WIRES[kind]
    return sse(*wire.text("Seen."), named=wire.named, done=kind == "openai_compatible")


@asynccontextmanager
async def world_of(
    folder: Path, kind: str, *replies: Reply, files: FilesSettings | None = None, **provider: Any
) -> AsyncIterator[World]:
    async with model_server(*(replies or [answer(kind)])) as server:
        settings = ProviderSettings(
            kind=kind,  # pyright: ignore[reportArgumentType]
            base_url=server.address + WIRES[kind].base_path,
            api_key=SecretStr("k"),
            max_retries=0,
            **provider,
        )
        more = Settings(
            files=files or FilesSettings(), outbound=OutboundSettings(allow=["127.0.0.1"])
        )
        models = ModelsSettings(providers={kind: settings})
        async with local_controller(folder, settings=more, models=models) as api:
            yield World(api, server)


def inline(kind: str, data: bytes | str, mime_type: str | None = None) -> dict[str, Any]:
    text = data if isinstance(data, str) else base64.b64encode(data).decode()
    part = {"type": kind, "data": text, "mime_type": mime_type}
    return {name: value for name, value in part.items() if value is not None}


def said(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def pdf(text: str) -> bytes:
    made = io.BytesIO()
    canvas = Canvas(made)
    canvas.drawString(72, 720, text)
    canvas.save()
    return made.getvalue()


def word() -> bytes:
    made, document = io.BytesIO(), docx.Document()
    document.add_heading("Minutes", 1)
    document.add_paragraph("We meet in Lisbon.")
    table = document.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "who", "Ana, Rui"
    document.save(made)
    return made.getvalue()


def sheet() -> bytes:
    made, book = io.BytesIO(), openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "Sales"
    book.active.append(["city", "sold"])
    book.active.append(["Porto", 17])
    book.active.append(["all", "=SUM(B2:B2)"])
    book.save(made)
    return made.getvalue()


def slides() -> bytes:
    made, show = io.BytesIO(), pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Plan"
    slide.placeholders[1].text = "Win"
    slide.notes_slide.notes_text_frame.text = "smile"
    show.save(made)
    return made.getvalue()


def gemini_blob(part: dict[str, Any]) -> tuple[str, bytes]:
    blob = part["inlineData"]
    return blob["mime_type"], base64.urlsafe_b64decode(blob["data"])


def texts(body: dict[str, Any]) -> str:
    """All that the last message of a chat completion says as text."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if part["type"] == "text")


NATIVE: list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], Any], Any]] = [
    (
        "google",
        inline("image", PNG, "image/png"),
        lambda body: gemini_blob(body["contents"][-1]["parts"][1]),
        ("image/png", base64.b64decode(PNG)),
    ),
    (
        "google",
        inline("audio", WAV, "audio/x-wav"),
        lambda body: gemini_blob(body["contents"][-1]["parts"][1])[0],
        "audio/wav",
    ),
    (
        "google",
        inline("video", b"film", "video/quicktime"),
        lambda body: gemini_blob(body["contents"][-1]["parts"][1])[0],
        "video/mov",
    ),
    (
        "google",
        inline("document", pdf("Ice"), None),
        lambda body: gemini_blob(body["contents"][-1]["parts"][1])[0],
        "application/pdf",
    ),
    (
        "openai",
        inline("image", PNG, "image/png"),
        lambda body: body["input"][-1]["content"][1]["image_url"],
        f"data:image/png;base64,{PNG}",
    ),
    (
        "openai",
        inline("document", pdf("Ice"), "application/pdf"),
        lambda body: body["input"][-1]["content"][1]["type"],
        "input_file",
    ),
    (
        "anthropic",
        inline("image", PNG, "image/png"),
        lambda body: body["messages"][-1]["content"][1]["source"]["media_type"],
        "image/png",
    ),
    (
        "anthropic",
        inline("document", pdf("Ice"), "application/pdf"),
        lambda body: body["messages"][-1]["content"][1]["source"]["media_type"],
        "application/pdf",
    ),
    (
        "openai_compatible",
        inline("image", PNG, "image/png"),
        lambda body: body["messages"][-1]["content"][1]["image_url"]["url"],
        f"data:image/png;base64,{PNG}",
    ),
]


@pytest.mark.parametrize(("kind", "part", "find", "expected"), NATIVE)
async def test_media_reach_a_model_that_takes_them(
    tmp_path: Path, kind: str, part: dict[str, Any], find: Callable[[Any], Any], expected: Any
) -> None:
    async with world_of(tmp_path, kind) as world:
        assert find(await world.ask(kind, said("What is this?"), part)) == expected


@pytest.mark.parametrize(
    ("data", "mime_type", "lines"),
    [
        (pdf("A paper on ice."), "application/pdf", ["A paper on ice."]),
        (word(), WORD, ["# Minutes", "We meet in Lisbon.", 'who,"Ana, Rui"']),
        (sheet(), SHEET, ["## Sheet Sales", "city,sold", "Porto,17", "all,=SUM(B2:B2)"]),
        (slides(), SLIDES, ["## Slide 1", "Plan", "Win", "Notes: smile"]),
        (b"<h1>Ice</h1><p>It is cold.</p>", "text/html", ["# Ice", "It is cold."]),
        ("Grüße".encode("utf-16"), "text/plain; charset=utf-16", ["Grüße"]),
        (b"a;b\n1;2\n", "text/csv", ["a;b", "1;2"]),
        (b"# Notes", "text/markdown", ["# Notes"]),
        (b'{"a": 1}', "application/json", ['{"a": 1}']),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_documents_become_text_for_a_model_that_takes_none(
    tmp_path: Path, data: bytes, mime_type: str, lines: list[str]
) -> None:
    async with world_of(tmp_path, "openai_compatible") as world:
        file = await world.upload(data, mime_type, "paper")
        for part in (
            inline("document", data, mime_type),
            {"type": "document", "uri": file["uri"]},
            {"type": "document", "uri": file["name"]},
        ):
            text = texts(await world.ask("openai_compatible", said("Sum it up."), part))
            found = text.splitlines()
            assert [line for line in lines if line not in found] == []
            assert "<document type=" in text
        assert "name='paper'" in text


async def test_an_office_document_becomes_text_for_every_provider(tmp_path: Path) -> None:
    for kind in ("google", "openai", "anthropic"):
        async with world_of(tmp_path / kind, kind) as world:
            body = await world.ask(kind, inline("document", word(), WORD))
            assert "We meet in Lisbon." in str(body)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (inline("audio", WAV, "audio/wav"), ["does not hear sounds", "environment"]),
        (inline("video", b"film", "video/mp4"), ["does not watch films"]),
        (inline("image", PNG, "image/png"), ["does not see pictures"]),
        (inline("image", "@@@", "image/png"), ["data", "base64"]),
        (inline("image", PNG[:-3], "image/png"), ["data", "base64"]),
        (inline("image", PNG + "\n", "image/png"), ["data", "base64"]),
        (inline("image", ""), ["data: is empty"]),
        (inline("image", b"?"), ["mime_type: is missing"]),
        (inline("image", PNG, "image/svg+xml"), ["mime_type", "is a document"]),
        (inline("image", PNG, "image/xyz"), ["mime_type: 'image/xyz' is not known", "image/webp"]),
        (inline("image", PNG, "image/jpeg"), ["data: is of type 'image/png'"]),
        (inline("image", PNG, "audio/wav"), ["is an audio"]),
        (inline("audio", WAV, "audio/mp3"), ["data: is of type 'audio/wav'"]),
        (inline("document", b"x", "application/zip"), ["'application/zip' is not known"]),
        (inline("document", b"x", "application/msword"), ["save it as DOCX or PDF"]),
        (inline("document", b"x", "application/pdf"), ["cannot be turned into text"]),
        (inline("document", b"PK", WORD), ["cannot be turned into text", "no ZIP"]),
        (inline("document", pdf(""), "application/pdf"), ["it may be a scan"]),
        (inline("document", bytes(range(256)), "text/plain"), ["It is not text"]),
        ({"type": "image"}, ["data: is missing"]),
        ({"type": "image", "uri": ""}, ["uri: is empty"]),
        ({**inline("image", PNG), "uri": "files/x"}, ["one of `data` and `uri`"]),
        ({"type": "image", "uri": "gs://bucket/x.png"}, ["uri: must be"]),
        ({"type": "image", "uri": "file:///etc/passwd"}, ["uri: must be"]),
        ({"type": "image", "uri": "sandlot-media:files/x"}, ["uri: must be"]),
        ({"type": "image", "uri": "http://169.254.169.254/x"}, ["uri: ", "not public"]),
        ({"type": "image", "uri": "http://[::1/x"}, ["uri: "]),
        ({"type": "image", "uri": "data:image/png,abc"}, ["uri: a data: URI"]),
        ({**inline("image", PNG), "source_uri": "x"}, ["Unknown parameter 'source_uri'"]),
    ],
)
async def test_what_cannot_be_delivered_is_refused(
    tmp_path: Path, part: dict[str, Any], words: list[str]
) -> None:
    async with world_of(tmp_path, "openai_compatible", vision=False) as world:
        message = await world.refused("openai_compatible", said("x"), part)
        assert [word for word in ["input[1]", *words] if word not in message] == [], message
        assert list((tmp_path / "state" / "media").glob("*/*")) == []


async def test_a_model_that_hears_is_configured(tmp_path: Path) -> None:
    async with world_of(tmp_path, "openai_compatible", audio=True) as world:
        body = await world.ask("openai_compatible", inline("audio", WAV, "audio/wav"))
        assert body["messages"][-1]["content"][0]["input_audio"]["format"] == "wav"
        status, made = await world.post(
            model="openai_compatible/qwen3", input=inline("audio", b"x", "audio/flac")
        )
        assert status == 400
        assert "takes no audio of type 'audio/flac', only audio/mp3" in made["error"]["message"]


async def test_too_much_at_once_is_refused(tmp_path: Path) -> None:
    limits = FilesSettings(inline_size_bytes=1024)
    async with world_of(tmp_path, "google", files=limits) as world:
        half = inline("audio", b"x" * 600, "audio/mp3")
        message = await world.refused("google", half, half)
        assert "1200 bytes together" in message and "files.inline_size" in message


async def test_an_unknown_and_an_expired_file_are_not_found(tmp_path: Path) -> None:
    async with world_of(tmp_path, "google", files=FilesSettings(retention_seconds=1e-6)) as world:
        file = await world.upload(b"x", "text/plain")
        for uri in ("files/nothing", file["uri"], file["name"]):
            status, made = await world.post(
                model="google/gemini-3.8-flash", input={"type": "document", "uri": uri}
            )
            assert (status, made["error"]["code"]) == (404, "not_found")
            assert made["error"]["message"].startswith("input.uri: ")
            assert "expire" in made["error"]["message"]


async def test_addresses_are_fetched_through_the_guarded_door(tmp_path: Path) -> None:
    async def page(request: Request) -> Response:
        if request.url.path == "/away":
            return RedirectResponse("http://169.254.169.254/secret")
        if request.url.path == "/large":
            return Response(b"x" * 5000, media_type="image/png")
        if request.url.path == "/missing":
            return Response(status_code=404)
        if request.url.path == "/login":
            return Response("<h1>Log in</h1>", media_type="text/html")
        return Response(base64.b64decode(PNG), media_type="image/png; x=y")

    limits = FilesSettings(inline_size_bytes=4000)
    async with (
        serving(Starlette(routes=[Route("/{path:path}", page)])) as port,
        world_of(tmp_path, "google", files=limits) as world,
    ):
        site = f"http://127.0.0.1:{port}"
        for name, words in {
            "away": "not public",
            "large": "larger than 4000",
            "missing": "the server answered 404",
            "login": "'text/html' is a document",
        }.items():
            message = await world.refused("google", {"type": "image", "uri": f"{site}/{name}"})
            assert words in message, message
        body = await world.ask("google", {"type": "image", "uri": f"{site}/pixel"})
        blob = gemini_blob(body["contents"][0]["parts"][0])
        assert blob == ("image/png", base64.b64decode(PNG))


async def test_what_was_sent_is_shown_again_and_kept_apart(tmp_path: Path) -> None:
    async with world_of(tmp_path, "google") as world, world.api.http() as client:
        small, large = base64.b64decode(PNG), b"x" * 100_000
        file = await world.upload(b"hello", "text/plain")
        parts = [
            said("Look."),
            inline("image", small, "image/png"),
            inline("audio", large, "audio/mp3"),
            {"type": "document", "uri": file["uri"], "mime_type": "text/plain"},
        ]
        _, made = await world.post(model="google/gemini-3.8-flash", input=parts)
        plain = (await client.get(f"/v1/interactions/{made['id']}")).json()
        (step, _) = plain["steps"]
        assert step["content"][1] == parts[1]
        assert step["content"][2] == {
            "type": "audio",
            "mime_type": "audio/mp3",
            "size_bytes": "100000",
        }
        assert step["content"][3] == parts[3]
        whole = (await client.get(f"/v1/interactions/{made['id']}?include_input=true")).json()
        assert whole["input"] == parts
        assert whole["steps"][0]["content"] == parts
        record = await world.api.store.interactions.get("default", made["id"])
        assert record is not None and len(str(record.request)) < 2000
        assert len(list((tmp_path / "state" / "media" / made["id"]).iterdir())) == 2
        await client.delete(f"/v1/interactions/{made['id']}")
        assert not (tmp_path / "state" / "media" / made["id"]).exists()


async def test_a_conversation_goes_on_with_its_media_and_without_a_deleted_file(
    tmp_path: Path,
) -> None:
    async with world_of(tmp_path, "google") as world, world.api.http() as client:
        model = "google/gemini-3.8-flash"
        file = await world.upload(pdf("Ice"), "application/pdf", "ice.pdf")
        parts = [inline("image", PNG), {"type": "document", "uri": file["uri"]}]
        _, first = await world.post(model=model, input=parts)
        _, second = await world.post(
            model=model, input="And now?", previous_interaction_id=first["id"]
        )
        blobs = [gemini_blob(p) for p in world.server.asked[-1].body["contents"][0]["parts"]]
        assert [kind for kind, _ in blobs] == ["image/png", "application/pdf"]
        await client.delete(f"/v1/{file['name']}")
        _, third = await world.post(
            model=model, input="Again.", previous_interaction_id=second["id"]
        )
        assert third["status"] == "completed"
        (picture, note) = world.server.asked[-1].body["contents"][0]["parts"]
        assert gemini_blob(picture)[1] == base64.b64decode(PNG)
        assert note["text"].startswith("[document 'ice.pdf' (application/pdf) left out: ")


async def test_a_model_that_sees_nothing_is_told_of_what_others_saw(tmp_path: Path) -> None:
    """A picture in a function's result, and one of an earlier turn with another model."""
    call = sse(*chat_call("call_1", "photo", {}), done=True)
    world = world_of(tmp_path, "openai_compatible", call, answer("openai_compatible"), vision=False)
    async with world as world:
        model = "openai_compatible/qwen3"
        tools = [{"type": "function", "name": "photo", "parameters": {"type": "object"}}]
        _, first = await world.post(
            model="script/inline", input=[said("x"), inline("image", PNG, "image/png")]
        )
        _, asked = await world.post(
            model=model, input="Take one.", tools=tools, previous_interaction_id=first["id"]
        )
        note = "[image (image/png) left out: this model cannot take it]"
        assert note in str(world.server.asked[-1].body["messages"])
        (pending,) = [step for step in asked["steps"] if step["type"] == "function_call"]
        result = {
            "type": "function_result",
            "call_id": pending["id"],
            "result": [said("Here."), inline("image", PNG, "image/png")],
        }
        _, done = await world.post(
            model=model, input=[result], tools=tools, previous_interaction_id=asked["id"]
        )
        assert done["status"] == "completed"
        tool = [m for m in world.server.asked[-1].body["messages"] if m["role"] == "tool"]
        assert tool[-1]["content"].splitlines() == ["Here." + note] or note in tool[-1]["content"]


async def test_the_official_sdk_uploads_and_asks(tmp_path: Path) -> None:
    async with world_of(tmp_path, "openai_compatible") as world:
        http = types.HttpOptions(base_url=world.api.url)
        client = genai.Client(api_key=KEY, http_options=http)
        path = tmp_path / "minutes.docx"
        path.write_bytes(word())

        def talk() -> Any:
            file = client.files.upload(file=path)
            part = {"type": "document", "uri": file.uri, "mime_type": file.mime_type}
            return client.interactions.create(
                model="openai_compatible/qwen3",
                input=[{"type": "text", "text": "Where do we meet?"}, part],
            )

        with anyio.fail_after(60):
            done = await anyio.to_thread.run_sync(talk)
        client.close()
        assert done.output_text == "Seen."
        assert "We meet in Lisbon." in texts(world.server.asked[-1].body)


async def test_the_openai_dialect_names_content_by_address_and_by_file(tmp_path: Path) -> None:
    async with world_of(tmp_path, "openai_compatible") as world, world.api.http() as client:
        file = await world.upload(b"a,b", "text/csv")
        parts = [
            {"type": "input_text", "text": "Look."},
            {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
            {"type": "input_file", "file_id": file["name"]},
            {"type": "input_file", "file_url": file["uri"]},
        ]
        answer = await client.post(
            "/openai/v1/responses",
            json={
                "model": "openai_compatible/qwen3",
                "input": [{"role": "user", "content": parts}],
            },
        )
        assert answer.status_code == 200, answer.text
        assert texts(world.server.asked[-1].body).count("a,b") == 2


async def test_media_whose_interaction_is_gone_are_swept(tmp_path: Path) -> None:
    async with world_of(tmp_path, "google") as world:
        _, made = await world.post(
            model="google/gemini-3.8-flash", input=inline("image", PNG, "image/png")
        )
        orphan = tmp_path / "state" / "media" / "int_0"
        orphan.mkdir()
        (orphan / "x").write_bytes(b"x")
        await world.api.contents.sweep(world.api.store)
        assert [path.name for path in orphan.parent.iterdir()] == [made["id"]]
