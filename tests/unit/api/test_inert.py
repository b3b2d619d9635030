"""Heads of answers that carry foreign bytes."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from runtime.api.inert import disposition, inert_type, served

NAMES = {
    "report.csv": "report.csv",
    'a"b.txt': 'a"b.txt',
    "x\r\nSet-Cookie: a=b": "x\r\nSet-Cookie: a=b",
    "übung \u202etxt.exe": "übung \u202etxt.exe",
    "../../etc/passwd": "passwd",
    "..\\..\\boot.ini": "boot.ini",
    "<img src=x onerror=alert(1)>": "<img src=x onerror=alert(1)>",
    "%41;filename=evil.html": "%41;filename=evil.html",
    "😀" * 60: "😀" * 60,
    "lone \ud800 half": "lone ? half",
    "-rf": "-rf",
    "": "file",
    "folder/": "file",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_cannot_leave_its_place(name: str) -> None:
    value = disposition(name)
    assert value.isascii() and value.isprintable() and value.startswith("attachment; ")
    plain, _, exact = value.removeprefix('attachment; filename="').partition(
        "\"; filename*=UTF-8''"
    )
    assert not set(plain) & set('"%;/') and not set(exact) & set("\"'; /\\")
    assert unquote(exact) == NAMES[name]


@pytest.mark.parametrize("claimed", ["image/png", "text/plain", "video/mp4", "application/pdf"])
def test_passive_types_are_kept(claimed: str) -> None:
    assert inert_type(claimed) == claimed
    assert inert_type(f"{claimed.upper()}; charset=utf-7") == claimed


@pytest.mark.parametrize(
    "claimed",
    [
        "text/html",
        "TEXT/HTML; charset=utf-8",
        "application/xhtml+xml",
        "image/svg+xml",
        "image/svg",
        "text/xml",
        "application/xml",
        "text/javascript",
        "application/x-javascript",
        "text/css",
        "multipart/x-mixed-replace",
        "message/rfc822",
        "application/wasm",
        "text/html\r\nSet-Cookie: a=b",
        "image/png\r\nSet-Cookie: a=b",
        "image/\xff",
        "",
        None,
        7,
    ],
)
def test_everything_else_is_bytes(claimed: object) -> None:
    assert inert_type(claimed) == "application/octet-stream"


def test_nothing_of_the_content_may_run_or_be_embedded() -> None:
    headers = served("x")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
