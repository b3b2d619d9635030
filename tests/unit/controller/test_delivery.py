"""What a model is given of the media in a history, with real files and the real reader."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from runtime.controller.attachments import SOURCE_NAME
from runtime.controller.blobs import Blobs
from runtime.controller.delivery import MediaDelivery, references
from runtime.controller.media import MediaFolder
from runtime.controller.texts import DocumentTexts
from runtime.models.port import ModelInfo
from runtime.schema.content import AudioContent, Content, DocumentContent, ImageContent, TextContent
from runtime.schema.media import IMAGES
from runtime.schema.model import ModelPart, ModelRequest
from runtime.schema.steps import McpServerToolResultStep, Step, UserInputStep
from runtime.tools.documents import DocumentReader

pytestmark = pytest.mark.anyio

SEEING = ModelInfo("m", "m", "m", takes=IMAGES)
OWNER = "int_1"


class OnlyInfo:
    """A model that is looked at and never called."""

    def __init__(self, info: ModelInfo) -> None:
        self.info = info

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelPart]:
        raise AssertionError(request)
        yield


class World:
    def __init__(self, folder: Path, max_bytes: int = 1000) -> None:
        self.blobs = Blobs(folder / "files")
        self.media = MediaFolder(folder / "media", self.blobs)
        self.texts = DocumentTexts(DocumentReader())
        self.delivery = MediaDelivery(self.media, self.texts, max_bytes)

    async def picture(self, data: bytes) -> ImageContent:
        return ImageContent(uri=await self.media.put(OWNER, data), mime_type="image/png")

    async def given(
        self, *history: Step, model: ModelInfo = SEEING, granted: frozenset[str] | None = None
    ) -> list[list[Content]]:
        request = ModelRequest(model="m", history=list(history))
        allowed = references(list(history)) if granted is None else granted
        delivered = await self.delivery.deliver(request, OnlyInfo(model), allowed)
        return [_parts(step) for step in delivered.history]


def _parts(step: Step) -> list[Content]:
    assert isinstance(step, UserInputStep)
    return step.content


def said(*parts: Content) -> UserInputStep:
    return UserInputStep(content=list(parts))


def text(part: Content) -> str:
    assert isinstance(part, TextContent)
    return part.text


async def test_references_become_bytes(tmp_path: Path) -> None:
    world = World(tmp_path)
    ((picture, words),) = await world.given(
        said(await world.picture(b"pixels"), TextContent(text="x"))
    )
    assert isinstance(picture, ImageContent)
    assert picture.data == base64.b64encode(b"pixels").decode()
    assert picture.uri is None
    assert text(words) == "x"


async def test_a_history_without_media_is_the_same_object(tmp_path: Path) -> None:
    request = ModelRequest(model="m", history=[said(TextContent(text="x"))])
    delivery = World(tmp_path).delivery
    assert await delivery.deliver(request, OnlyInfo(SEEING), frozenset()) is request


@pytest.mark.parametrize(
    "uri",
    [
        "sandlot-media:int_1/" + "0" * 64,
        "sandlot-media:files/blob_1",
        "sandlot-media:int_1/../../secret",
        "sandlot-media:../secret",
        "file:///etc/passwd",
        "https://evil.example/?leak=1",
    ],
)
async def test_what_a_loop_names_by_itself_is_left_out(tmp_path: Path, uri: str) -> None:
    world = World(tmp_path)
    (tmp_path / "secret").write_bytes(b"secret")
    part = ImageContent(uri=uri, mime_type="image/png")
    ((note,),) = await world.given(said(part), granted=frozenset())
    assert text(note).startswith("[image (image/png) left out: only what the caller gave")


async def test_granted_references_stay_in_their_folders(tmp_path: Path) -> None:
    media = World(tmp_path).media
    for name in ("int_1/../../x", "../x", "files/../x", "int_1/x", "files/", "int_1"):
        assert media.path(f"sandlot-media:{name}") is None
    assert media.path("https://a.example") is None


async def test_the_oldest_is_left_out_when_there_is_too_much(tmp_path: Path) -> None:
    world = World(tmp_path, max_bytes=100)
    pictures = [await world.picture(bytes([n]) * 60) for n in range(2)]
    ((old,), (new,)) = await world.given(*(said(picture) for picture in pictures))
    assert "too much for one call" in text(old)
    assert isinstance(new, ImageContent)


async def test_a_deleted_file_is_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    part = DocumentContent(
        uri=world.media.of_file("blob_1"), mime_type="text/plain", **{SOURCE_NAME: "a.txt"}
    )
    ((note,),) = await world.given(said(part))
    expected = "[document 'a.txt' (text/plain) left out: the uploaded file has expired or was "
    assert text(note) == expected + "deleted]"


async def test_the_text_of_a_document_is_made_once_and_goes_with_the_file(tmp_path: Path) -> None:
    world = World(tmp_path)
    path = world.blobs.path("blob_1")
    path.parent.mkdir()
    path.write_bytes(b"a,b")
    part = DocumentContent(uri=world.media.of_file("blob_1"), mime_type="text/csv")
    ((first,),) = await world.given(said(part))
    assert text(first) == "<document type='text/csv'>\na,b\n</document>"
    # Read from what was kept, not from the document.
    path.write_bytes(b"c,d")
    ((second,),) = await world.given(said(part))
    assert text(second) == text(first)
    await world.blobs.remove("blob_1")
    assert list(path.parent.iterdir()) == []
    ((gone,),) = await world.given(said(part))
    assert "left out" in text(gone)


async def test_a_document_that_is_broken_later_is_a_note(tmp_path: Path) -> None:
    world = World(tmp_path)
    reference = await world.media.put(OWNER, b"no pdf")
    part = DocumentContent(uri=reference, mime_type="application/pdf")
    ((note,),) = await world.given(said(part))
    assert "left out: The PDF cannot be read" in text(note)


async def test_sounds_of_tools_are_notes_for_the_deaf(tmp_path: Path) -> None:
    sound = AudioContent(data="aGk=", mime_type="audio/wav")
    picture = ImageContent(data="aGk=", mime_type="image/png")
    step = McpServerToolResultStep(
        call_id="c", name="play", result=[sound.model_dump(), picture.model_dump()]
    )
    request = ModelRequest(model="m", history=[step])
    delivered = await World(tmp_path).delivery.deliver(request, OnlyInfo(SEEING), frozenset())
    (result,) = delivered.history
    assert isinstance(result, McpServerToolResultStep)
    note, shown = result.result
    assert note["text"] == "[audio (audio/wav) left out: this model cannot take it]"
    assert shown["data"] == "aGk="
