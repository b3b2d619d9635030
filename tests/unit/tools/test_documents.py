"""Reading documents that are large, broken or made to do harm, with the real process."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import openpyxl
import pytest
from pypdf import PdfReader, PdfWriter
from reportlab.pdfgen.canvas import Canvas

from runtime.schema import media
from runtime.tools import formats
from runtime.tools.documents import DocumentReader, UnreadableError

pytestmark = pytest.mark.anyio

ODF_NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
    for name in ("office", "text", "table")
)
ODF = f"""<?xml version="1.0"?>
<office:document-content {ODF_NAMES}><office:body><office:text>
<text:h text:outline-level="2">Head</text:h>
<text:p>Two<text:s text:c="2"/>words<text:line-break/><text:span>here</text:span>.</text:p>
<table:table table:name="T">
<table:table-row table:number-rows-repeated="1048576"><table:table-cell/></table:table-row>
<table:table-row><table:table-cell table:number-columns-repeated="2"><text:p>1</text:p>
</table:table-cell></table:table-row></table:table>
</office:text></office:body></office:document-content>"""


def archive(**entries: bytes | str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in entries.items():
            file.writestr(name.replace("_", "."), data)
    return made.getvalue()


async def read(kind: str, document: bytes | Path) -> str:
    return (await DocumentReader().read(kind, document))[1]


async def test_an_opendocument_text() -> None:
    text = await read("odf", archive(content_xml=ODF))
    assert text == "## Head\n\nTwo  words\nhere.\n\n## T\n\n1,1"


async def test_a_file_is_read_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("Grüße".encode())
    assert await read("text", path) == "Grüße"
    with pytest.raises(FileNotFoundError):
        await read("text", tmp_path / "none")


async def test_a_long_text_is_cut() -> None:
    text = await read("text", b"w" * 500_000)
    assert len(text) < 400_200
    assert text.endswith("[The document goes on; it was cut after 400000 characters.]")


async def test_a_large_sheet_is_cut() -> None:
    made, book = io.BytesIO(), openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Large")
    for number in range(formats.MAX_ROWS + 5):
        sheet.append([number])
    book.save(made)
    text = await read("xlsx", made.getvalue())
    assert text.endswith(f"{formats.MAX_ROWS - 1}\n[Rows below {formats.MAX_ROWS} were left out.]")


def locked_pdf() -> bytes:
    plain, made = io.BytesIO(), io.BytesIO()
    canvas = Canvas(plain)
    canvas.drawString(72, 720, "secret")
    canvas.save()
    writer = PdfWriter(clone_from=PdfReader(plain))
    writer.encrypt("password", algorithm="RC4-128")
    writer.write(made)
    return made.getvalue()


def bomb() -> bytes:
    """An archive that says of its entry that it unpacks to 600 MiB."""
    made = bytearray(archive(content_xml="<a/>"))
    struct.pack_into("<I", made, made.index(b"PK\x01\x02") + 24, 600 * 1024**2)
    return bytes(made)


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY x "ha">'
    + "".join(f'<!ENTITY x{n} "{f"&x{n - 1 or str()};" * 50}">' for n in range(1, 8))
    + "]><a>&x7;</a>"
)
LEAK = f"""<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<office:document-content {ODF_NAMES}><office:body><office:text><text:p>see &x;</text:p>
</office:text></office:body></office:document-content>"""


@pytest.mark.parametrize(
    ("kind", "document", "words"),
    [
        ("pdf", locked_pdf(), "protected by a password"),
        ("pdf", b"%PDF-1.7 garbage", "cannot be read"),
        ("docx", b"\xd0\xcf\x11\xe0" + bytes(600), "protected by a password, or in the format"),
        ("docx", archive(word_xml="<x/>"), "cannot be read"),
        ("pptx", b"plain", "no ZIP"),
        ("xlsx", archive(a_xml="<a/>"), "cannot be read"),
        ("odf", archive(other_xml="<a/>"), "no content.xml"),
        ("odf", archive(content_xml="<a>"), "not XML"),
        ("odf", bomb(), "unpacks to more"),
        ("xlsx", bomb(), "unpacks to more"),
        ("odf", archive(content_xml=LAUGHS), "text|XML"),
        ("text", b"a\0b\xff", "not text"),
        ("text", b"", "no text"),
    ],
    ids=str,
)
async def test_what_cannot_be_read_says_why(kind: str, document: bytes, words: str) -> None:
    with pytest.raises(UnreadableError, match=words):
        await read(kind, document)


async def test_a_document_cannot_read_files_of_the_host() -> None:
    assert "root:" not in await read("odf", archive(content_xml=LEAK))


def test_every_type_that_can_be_read_has_a_reader() -> None:
    for kind, types in media.TYPES.items():
        for mime_type in types:
            assert media.kind_of(mime_type) == kind
            assert media.canonical(mime_type) == mime_type
    readers = {media.reader_of(mime_type) for mime_type in media.TYPES["document"]}
    assert readers - {None} <= set(formats.READERS)


@pytest.mark.parametrize(
    ("written", "kind", "reader"),
    [
        ("Text/Markdown; charset=utf-8", "document", "text"),
        ("image/JPG", "image", None),
        ("audio/x-wav", "audio", None),
        ("video/quicktime", "video", None),
        ("application/ld+json", "document", "text"),
        ("application/xhtml+xml", "document", "html"),
        ("application/msword", "document", None),
        ("text/", None, None),
        ("", None, None),
    ],
)
def test_types_are_known_by_many_names(written: str, kind: str | None, reader: str | None) -> None:
    mime_type = media.canonical(written)
    assert (media.kind_of(mime_type), media.reader_of(mime_type)) == (kind, reader)
