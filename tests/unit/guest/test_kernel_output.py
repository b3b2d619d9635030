from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.session import Session

from runtime.guest.kernel_output import MAX_PICTURES, CellOutput, describe
from runtime.guest.kernel_wire import Message, read_message
from runtime.guest.output import OutputFolder, OutputLimits, Transcript
from runtime.schema.content import ImageContent

pytestmark = pytest.mark.anyio

PNG = base64.b64encode(b"\x89PNG a picture").decode()


@pytest.fixture
async def output(tmp_path: Path) -> CellOutput:
    return CellOutput(Transcript(OutputFolder(tmp_path, OutputLimits()), "python"))


def shown(data: dict[str, Any], display_id: str = "", kind: str = "display_data") -> Message:
    transient = {"display_id": display_id} if display_id else {}
    return Message(kind, "cell", {"data": data, "metadata": {}, "transient": transient})


def printed(text: str) -> Message:
    return Message("stream", "cell", {"name": "stdout", "text": text})


def cleared(*, wait: bool) -> Message:
    return Message("clear_output", "cell", {"wait": wait})


def pictures(output: CellOutput) -> list[str | None]:
    return [part.data for part in output.result().content if isinstance(part, ImageContent)]


async def test_pictures_follow_the_text_that_names_them(output: CellOutput) -> None:
    output.take(printed("before\n"))
    output.take(shown({"image/png": PNG + "\n", "text/plain": "<Figure size 640x480>"}))
    output.take(shown({"image/jpeg": "anBlZw==", "text/plain": "<Image>"}))
    output.take(printed("after"))
    result = output.result()
    assert result.text == "before\n[picture 1]\n[picture 2]\nafter"
    kinds = [
        (part.mime_type, part.data) for part in result.content if isinstance(part, ImageContent)
    ]
    assert kinds == [("image/png", PNG), ("image/jpeg", "anBlZw==")]


async def test_too_many_pictures_are_left_out(output: CellOutput) -> None:
    for _ in range(MAX_PICTURES + 3):
        output.take(shown({"image/png": PNG}))
    result = output.result()
    assert len(result.content) == MAX_PICTURES + 1
    assert result.text.endswith(
        "[3 more pictures left out: at most 20 pictures and 8 MB a cell; save further ones to "
        "files]\n"
    )


async def test_too_large_pictures_are_left_out(output: CellOutput) -> None:
    large = base64.b64encode(b"x" * 5 * 1024**2).decode()
    output.take(shown({"image/png": large}))
    output.take(shown({"image/png": large}))
    output.take(shown({"image/png": PNG}))
    assert pictures(output) == [large, PNG]


async def test_an_updated_picture_takes_the_place_of_the_old_one(output: CellOutput) -> None:
    output.take(shown({"image/png": "b2xk"}, "plot"))
    output.take(shown({"image/png": PNG}))
    output.take(shown({"image/png": "bmV3"}, "plot", "update_display_data"))
    assert pictures(output) == ["bmV3", PNG]


async def test_an_updated_text_is_shown_once_at_the_end(output: CellOutput) -> None:
    output.take(shown({"text/plain": "0%"}, "bar"))
    for percent in range(1, 101):
        output.take(shown({"text/plain": f"{percent}%"}, "bar", "update_display_data"))
    output.take(printed("done\n"))
    assert output.result().text == "0%\ndone\n100%\n"


async def test_clearing_drops_what_was_there(output: CellOutput) -> None:
    output.take(printed("frame 1\n"))
    output.take(shown({"image/png": PNG}))
    output.take(cleared(wait=True))
    output.take(printed("frame 2\n"))
    assert output.result().text == "frame 2\n"
    assert pictures(output) == []


async def test_clearing_waits_for_new_output(output: CellOutput) -> None:
    output.take(printed("last frame\n"))
    output.take(cleared(wait=True))
    assert output.result().text == "last frame\n"


async def test_clearing_at_once(output: CellOutput) -> None:
    output.take(printed("gone\n"))
    output.take(cleared(wait=False))
    assert output.result().text == ""


async def test_an_error_is_a_plain_traceback(output: CellOutput) -> None:
    traceback = ["\x1b[31mTraceback\x1b[0m (most recent call last):", "", "ValueError: no"]
    content = {"ename": "ValueError", "evalue": "no", "traceback": traceback}
    output.take(printed("so far"))
    output.take(Message("error", "cell", content))
    result = output.result()
    assert result.is_error
    assert result.text == "so far\nTraceback (most recent call last):\n\nValueError: no\n"


@pytest.mark.parametrize(
    ("bundle", "text"),
    [
        ({"text/plain": "   a\n0  1", "text/html": "<table>"}, "   a\n0  1"),
        (
            {"text/plain": "<IPython.core.display.Markdown object>", "text/markdown": "**x**"},
            "**x**",
        ),
        ({"text/plain": "<IPython.core.display.HTML object>", "text/html": "<b>x</b>"}, "<b>x</b>"),
        (
            {"text/plain": "<IPython.core.display.HTML object>", "text/html": "x" * 5000},
            "<IPython.core.display.HTML object> [5,000 characters of HTML, not shown]",
        ),
        (
            {"text/plain": "<IPython.core.display.JSON object>", "application/json": {"a": "é"}},
            '{"a": "é"}',
        ),
        (
            {"text/plain": "<Figure>", "image/svg+xml": "<svg/>"},
            "<Figure>\n[an SVG picture, not shown here: save it to a file]",
        ),
        ({"text/html": ["<i>", "x</i>"]}, "<i>x</i>"),
        ({}, ""),
    ],
)
def test_the_best_text_for_something_shown(bundle: dict[str, Any], text: str) -> None:
    assert describe(bundle) == text


@pytest.mark.parametrize(
    "message",
    [
        Message("stream", "cell", {}),
        Message("stream", "cell", {"text": 5}),
        Message("display_data", "cell", {"data": [1, 2], "transient": "x"}),
        Message("error", "cell", {"traceback": "not a list"}),
        Message("execute_reply", "cell", {"payload": [None, {"source": "page"}], "status": "ok"}),
        Message("no such kind", "cell", {}),
    ],
)
async def test_odd_messages_do_no_harm(output: CellOutput, message: Message) -> None:
    output.take(message)
    output.take(printed("fine"))
    assert output.result().text.endswith("fine")


SESSION = Session(key=b"the key of a kernel")


def signed(*parts: bytes) -> list[bytes]:
    return [b"<IDS|MSG>", SESSION.sign(list(parts)), *parts]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b"<IDS|MSG>"],
        signed(b"{", b"{}", b"{}", b"{}"),
        signed(b"[]", b"{}", b"{}", b"{}"),
        signed(b"{}", b"{}", b"{}", b'"text"'),
        signed(b"[" * 100_000, b"{}", b"{}", b"{}"),
        [b"<IDS|MSG>", b"forged", b'{"msg_type": "status"}', b"{}", b"{}", b"{}"],
    ],
)
def test_what_is_not_a_message_is_passed_over(frames: list[bytes]) -> None:
    assert read_message(SESSION, frames) is None


def test_a_signed_message_is_read() -> None:
    frames = SESSION.serialize(SESSION.msg("stream", {"text": "hi"}, parent={"msg_id": "cell"}))
    assert read_message(SESSION, frames) == Message("stream", "cell", {"text": "hi"})
