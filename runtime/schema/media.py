"""Which pictures, sounds, films and documents there are, by MIME type. Pure."""

from __future__ import annotations

from typing import Literal

MediaKind = Literal["image", "audio", "video", "document"]

IMAGES = frozenset(
    f"image/{name}" for name in ("png", "jpeg", "webp", "heic", "heif", "gif", "bmp", "tiff")
)
SOUNDS = frozenset(
    f"audio/{name}"
    for name in (
        *("wav", "mp3", "aiff", "aac", "ogg", "flac", "mpeg", "m4a", "l16", "opus"),
        *("alaw", "mulaw", "webm"),
    )
)
FILMS = frozenset(
    f"video/{name}" for name in ("mp4", "mpeg", "mpg", "mov", "avi", "x-flv", "webm", "wmv", "3gpp")
)
PDF = "application/pdf"

_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"
_READERS = {
    PDF: "pdf",
    f"{_OFFICE}.wordprocessingml.document": "docx",
    f"{_OFFICE}.wordprocessingml.template": "docx",
    f"{_OFFICE}.presentationml.presentation": "pptx",
    f"{_OFFICE}.spreadsheetml.sheet": "xlsx",
    f"{_OPEN}.text": "odf",
    f"{_OPEN}.presentation": "odf",
    f"{_OPEN}.spreadsheet": "odf",
    "text/html": "html",
    "application/xhtml+xml": "html",
}
_TEXTS = frozenset(
    f"application/{name}"
    for name in (
        *("json", "xml", "yaml", "x-yaml", "toml", "javascript", "x-javascript", "typescript"),
        *("x-typescript", "x-ndjson", "jsonl", "sql", "x-sql", "x-sh", "x-python", "x-python-code"),
        *("graphql", "x-httpd-php", "x-tex", "x-latex"),
    )
)
_FROM_BEFORE_2007 = {
    "application/msword": "DOCX",
    "application/vnd.ms-excel": "XLSX",
    "application/vnd.ms-powerpoint": "PPTX",
}
_ALIASES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/x-png": "image/png",
    "image/x-ms-bmp": "image/bmp",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
    "audio/x-aac": "audio/aac",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/m4a",
    "audio/mp4": "audio/m4a",
    "audio/mp4a-latm": "audio/m4a",
    "audio/basic": "audio/mulaw",
    "video/quicktime": "video/mov",
    "video/x-msvideo": "video/avi",
    "video/x-ms-wmv": "video/wmv",
    "application/x-pdf": PDF,
}
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"%PDF-": PDF,
}
TYPES: dict[str, frozenset[str]] = {
    "image": IMAGES,
    "audio": SOUNDS,
    "video": FILMS,
    "document": frozenset({*_READERS, *_FROM_BEFORE_2007}),
}
"""The canonical MIME types of each kind; of documents without the many that are text."""
SNIFFED_BYTES = 1024
"""How many bytes of the beginning tell what a file is."""


def canonical(mime_type: str) -> str:
    """A MIME type as the wire lists it: lower-case, without parameters, not an alias."""
    plain = mime_type.partition(";")[0].strip().lower()
    return _ALIASES.get(plain, plain)


def kind_of(mime_type: str) -> MediaKind | None:
    """What kind of content a canonical MIME type is; None for an unknown one."""
    if mime_type in IMAGES:
        return "image"
    if mime_type in SOUNDS:
        return "audio"
    if mime_type in FILMS:
        return "video"
    known = reader_of(mime_type) is not None or mime_type in _FROM_BEFORE_2007
    return "document" if known else None


def reader_of(mime_type: str) -> str | None:
    """How a document of that type is turned into text: a key of `runtime.tools.formats.READERS`."""
    if mime_type in _READERS:
        return _READERS[mime_type]
    is_text = mime_type.startswith("text/") and len(mime_type) > len("text/")
    is_text = is_text or mime_type in _TEXTS or mime_type.endswith(("+json", "+xml"))
    return "text" if is_text else None


def newer_format(mime_type: str) -> str | None:
    """What a document in an old binary format has to be saved as, to be read."""
    return _FROM_BEFORE_2007.get(mime_type)


def sniffed(start: bytes) -> str | None:
    """The MIME type that the first bytes of a file give away, where it is a common one."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    if start[:4] == b"RIFF" and start[8:12] == b"WAVE":
        return "audio/wav"
    return next((mime for mark, mime in _STARTS.items() if start.startswith(mark)), None)
