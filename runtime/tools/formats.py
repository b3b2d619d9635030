"""Text out of documents: HTML, PDF, Office and OpenDocument files, plain text.

Only `runtime.tools.reader`, a process of its own with limits, may call this: what comes in is
from anywhere, and parsers crash, hang and use up memory.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

MAX_PAGES = 300
MAX_CHARACTERS = 400_000
MAX_UNPACKED_BYTES = 512 * 1024**2
MAX_ENTRIES = 20_000
MAX_ROWS = 50_000
"""Of one sheet, blank ones included."""
_LEVELS = frozenset("123456")
MAX_REPEATED = 1000
"""How often a cell or row of an OpenDocument table may say that it stands there again."""

_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
_DRAW = "urn:oasis:names:tc:opendocument:xmlns:drawing:1.0"
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"

_TEMPLATE = "application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml"

Found = dict[str, str]
"""`title` and `text`, or `problem`."""


class UnreadableError(Exception):
    """The document cannot be read, for a reason that a person understands."""


def read(kind: str, data: bytes, url: str) -> Found:
    """The title and the text of a document of one of `READERS`."""
    try:
        title, pieces = READERS[kind](data, url)
        text = _joined(pieces)
    except UnreadableError as error:
        return {"problem": str(error)}
    except zipfile.BadZipFile:
        return {"problem": f"It is not a {kind.upper()} file: it is no ZIP archive."}
    if not text:
        return {"problem": _EMPTY.get(kind, "It has no text.")}
    return {"title": title[:300], "text": text}


_EMPTY = {
    "pdf": "The PDF has no text; it may be a scan.",
    "page": "The page has no text.",
}


def _joined(pieces: Iterable[str]) -> str:
    """The pieces, one below the other, up to the largest text that is read."""
    found: list[str] = []
    length = 0
    for piece in pieces:
        found.append(piece)
        length += len(piece) + 1
        if length > MAX_CHARACTERS:
            cut = "\n".join(found)[:MAX_CHARACTERS]
            return f"{cut}\n\n[The document goes on; it was cut after {MAX_CHARACTERS} characters.]"
    return "\n".join(found).strip()


def read_page(data: bytes, url: str) -> tuple[str, Iterable[str]]:
    """The main text of a web page, as markdown."""
    import trafilatura

    tree = trafilatura.load_html(data)
    if tree is None:
        raise UnreadableError("The page is not HTML.")
    title = trafilatura.extract_metadata(tree).title or ""
    text = trafilatura.extract(
        data, url=url, output_format="markdown", include_links=True, include_comments=False
    )
    return title, [text or trafilatura.html2txt(data)]


def read_html(data: bytes, url: str) -> tuple[str, Iterable[str]]:
    """The whole text of an HTML file, as markdown unless that would leave much of it out."""
    import trafilatura

    title, (main, *_) = read_page(data, url)
    whole = trafilatura.html2txt(data)
    return title, [main if len(main) >= 0.8 * len(whole) else whole]


def read_pdf(data: bytes, _: str) -> tuple[str, Iterable[str]]:
    """The text of a PDF, page after page."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("The PDF cannot be read: it is protected by a password.")
        pages: list[str] = []
        for page in reader.pages[:MAX_PAGES]:
            pages.append(page.extract_text().strip())
            if sum(map(len, pages)) > MAX_CHARACTERS:
                break
        count = len(reader.pages)
        title = (reader.metadata.title if reader.metadata else None) or ""
    except (PyPdfError, DependencyError) as error:
        raise UnreadableError(f"The PDF cannot be read: {str(error)[:200]}.") from error
    texts = [f"{text}\n" for text in pages if text]
    if texts and count > MAX_PAGES:
        texts.append(f"[{count - MAX_PAGES} more pages were left out.]")
    return str(title), texts


def read_docx(data: bytes, _: str) -> tuple[str, Iterable[str]]:
    """Paragraphs and tables of a Word document, in order; headings as markdown."""
    from docx.opc.part import PartFactory
    from docx.package import Package
    from docx.parts.document import DocumentPart

    _check_archive(data)
    PartFactory.part_type_for[_TEMPLATE] = DocumentPart
    part = Package.open(io.BytesIO(data)).main_document_part
    if not isinstance(part, DocumentPart):
        raise UnreadableError("It is no Word document.")
    document = part.document
    return document.core_properties.title or "", _blocks(document.iter_inner_content())


def _blocks(items: Iterable[Any]) -> Iterator[str]:
    for item in items:
        rows = getattr(item, "rows", None)
        if rows is not None:
            yield from _table([cell.text for cell in row.cells] for row in rows)
            yield ""
        elif item.text.strip():
            yield _heading(item) + item.text + "\n"


def _heading(paragraph: Any) -> str:
    name = (paragraph.style.name if paragraph.style else None) or ""
    level = name.removeprefix("Heading ")
    if name == "Title":
        return "# "
    return "#" * int(level) + " " if name.startswith("Heading ") and level in _LEVELS else ""


def _table(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """The rows of a table as CSV; empty cells at the end are left out."""
    for row in rows:
        cells = ["" if cell is None else str(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            line = io.StringIO()
            csv.writer(line, lineterminator="").writerow(cells)
            yield line.getvalue()


def read_pptx(data: bytes, _: str) -> tuple[str, Iterable[str]]:
    """The texts, tables and notes of a presentation, slide after slide."""
    import pptx

    _check_archive(data)
    show = pptx.Presentation(io.BytesIO(data))

    def pieces() -> Iterator[str]:
        for number, slide in enumerate(show.slides, 1):
            yield f"## Slide {number}\n"
            yield from _shapes(slide.shapes)
            if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                notes = slide.notes_slide.notes_text_frame.text.strip()
                yield f"Notes: {notes}\n" if notes else ""

    return show.core_properties.title or "", pieces()


def _shapes(shapes: Any) -> Iterator[str]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        elif shape.has_text_frame and shape.text_frame.text.strip():
            yield shape.text_frame.text + "\n"
        elif getattr(shape, "has_table", False):
            yield from _table([cell.text for cell in row.cells] for row in shape.table.rows)
            yield ""


def read_xlsx(data: bytes, _: str) -> tuple[str, Iterable[str]]:
    """The values of a workbook, sheet after sheet, as CSV."""
    import openpyxl

    _check_archive(data)
    values, formulas = (
        openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=only)
        for only in (True, False)
    )

    def pieces() -> Iterator[str]:
        for sheet, written in zip(values.worksheets, formulas.worksheets, strict=True):
            yield f"## Sheet {sheet.title}\n"
            rows = _sheet_rows(sheet, written)
            yield from _table(islice(rows, MAX_ROWS))
            if next(rows, None) is not None:
                yield f"[Rows below {MAX_ROWS} were left out.]"
            yield ""

    return values.properties.title or "", pieces()


def _sheet_rows(sheet: Any, written: Any) -> Iterator[list[Any]]:
    """The values; a formula where the file does not say what came of it."""
    rows = (one.iter_rows(values_only=True, max_row=MAX_ROWS + 1) for one in (sheet, written))
    for values, formulas in zip(*rows, strict=True):
        pairs = zip(values, formulas, strict=True)
        yield [formula if value is None else value for value, formula in pairs]


def read_odf(data: bytes, _: str) -> tuple[str, Iterable[str]]:
    """The text of an OpenDocument text, presentation or spreadsheet."""
    import lxml.etree as etree

    archive = _check_archive(data)
    if "content.xml" not in archive.namelist():
        raise UnreadableError("It is no OpenDocument file: it has no content.xml.")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        root = etree.fromstring(archive.read("content.xml"), parser)
    except etree.XMLSyntaxError as error:
        raise UnreadableError(f"The content is not XML: {str(error)[:200]}.") from error
    body = root.find(f"{{{_OFFICE}}}body")
    return "", [] if body is None else _odf_blocks(body)


def _odf_blocks(parent: Any) -> Iterator[str]:
    for element in parent:
        match element.tag:
            case tag if tag == f"{{{_TEXT}}}h":
                level = int(element.get(f"{{{_TEXT}}}outline-level", "1"))
                yield "#" * min(level, 6) + " " + _odf_text(element) + "\n"
            case tag if tag == f"{{{_TEXT}}}p":
                yield _odf_text(element) + "\n"
            case tag if tag == f"{{{_TABLE}}}table":
                name = element.get(f"{{{_TABLE}}}name")
                yield f"## {name}\n" if name else ""
                yield from _table(_odf_rows(element))
                yield ""
            case tag if tag == f"{{{_DRAW}}}page":
                yield f"## {element.get(f'{{{_DRAW}}}name', 'Slide')}\n"
                yield from _odf_blocks(element)
            case _:
                yield from _odf_blocks(element)


def _odf_rows(table: Any) -> Iterator[list[str]]:
    for row in table.iter(f"{{{_TABLE}}}table-row"):
        cells: list[str] = []
        for cell in row.iterchildren(f"{{{_TABLE}}}table-cell", f"{{{_TABLE}}}covered-table-cell"):
            text = "\n".join(_odf_text(part) for part in cell.iterchildren(f"{{{_TEXT}}}p"))
            cells += [text] * _repeats(cell, "columns", text)
        for _ in range(_repeats(row, "rows", "".join(cells))):
            yield cells


def _repeats(element: Any, kind: str, text: str) -> int:
    """How often it stands there; an empty one, which fills up a sheet, fewer times."""
    asked = int(element.get(f"{{{_TABLE}}}number-{kind}-repeated", "1"))
    return max(1, min(asked, MAX_REPEATED if text else 64))


def _odf_text(element: Any) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag == f"{{{_TEXT}}}tab":
            parts.append("\t")
        elif child.tag == f"{{{_TEXT}}}line-break":
            parts.append("\n")
        elif child.tag == f"{{{_TEXT}}}s":
            parts.append(" " * min(int(child.get(f"{{{_TEXT}}}c", "1")), 100))
        else:
            parts.append(_odf_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def read_text(data: bytes, _: str) -> tuple[str, Iterable[str]]:
    """Text in UTF-8, in what its byte-order mark says, or in the likeliest encoding."""
    from charset_normalizer import from_bytes

    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "", [data.decode("utf-16", "replace")]
    try:
        return "", [data.decode("utf-8-sig")]
    except UnicodeDecodeError:
        if b"\0" in data:
            raise UnreadableError("It is not text.") from None
        found = from_bytes(data).best()
        # Without words of a language to go by, what is left is a guess; this one is the usual one.
        is_known = found is not None and found.coherence > 0
        return "", [str(found) if is_known else data.decode("cp1252", "replace")]


def _check_archive(data: bytes) -> zipfile.ZipFile:
    """The archive, whose contents are not too large. Raises `UnreadableError`, `BadZipFile`."""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnreadableError("It is protected by a password, or in the format from before 2007.")
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES or sum(e.file_size for e in entries) > MAX_UNPACKED_BYTES:
        raise UnreadableError("It unpacks to more than is read of a document.")
    return archive


READERS: dict[str, Callable[[bytes, str], tuple[str, Iterable[str]]]] = {
    "page": read_page,
    "html": read_html,
    "pdf": read_pdf,
    "docx": read_docx,
    "pptx": read_pptx,
    "xlsx": read_xlsx,
    "odf": read_odf,
    "text": read_text,
}
"""How documents are read, by kind; `page` gives the main text of a web page only."""
