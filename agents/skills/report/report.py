"""Builds a report as one HTML file. Standard library only; see SKILL.md."""

import base64
import html
import io
import re
from pathlib import Path

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d8dce2, #3a3f47); --soft: light-dark(#f4f6f8, #1d2127); }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  background: light-dark(#fff, #14171b); color: light-dark(#1b1f24, #e6e9ed); }
h1 { margin-bottom: .2rem; line-height: 1.2 } h2 { margin-top: 2.2rem }
.about, figcaption, caption { color: light-dark(#5a6472, #9aa4b1) }
.figures { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.5rem 0; padding: 0 }
.figures div { background: var(--soft); border-radius: .5rem; padding: .7rem 1.1rem }
.figures dd { margin: 0; font-size: 1.6rem; font-weight: 600 } .figures dt { font-size: .85rem }
figure { margin: 1.2rem 0 } figure img { max-width: 100%; background: #fff; border-radius: .4rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; padding: .3rem 0 }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: left }
th { cursor: pointer; background: var(--soft) } td.number { text-align: right }
code { background: var(--soft); padding: .1em .3em; border-radius: .2rem }
@media print { body { margin: 0; max-width: none } figure, table { break-inside: avoid } }
"""

SCRIPT = """
for (const head of document.querySelectorAll("th")) head.addEventListener("click", () => {
  const body = head.closest("table").tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b) => {
    const [x, y] = [Number(value(a)), Number(value(b))];
    return Number.isNaN(x) || Number.isNaN(y) ? value(a).localeCompare(value(b)) : x - y;
  };
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...body.rows].sort(compare);
  body.append(...(up ? rows : rows.reverse()));
});
"""


class Report:
    """A page that grows from top to bottom and is saved at the end."""

    def __init__(self, title, about="", language="en"):
        self._title, self._language = title, language
        self._parts = [f"<h1>{_escape(title)}</h1>"]
        if about:
            self._parts.append(f'<p class="about">{_inline(about)}</p>')

    def section(self, title):
        """Begin a section."""
        self._parts.append(f"<h2>{_escape(title)}</h2>")

    def text(self, text):
        """Add paragraphs, parted by blank lines."""
        paragraphs = re.split(r"\n\s*\n", text.strip())
        self._parts += [f"<p>{_inline(paragraph)}</p>" for paragraph in paragraphs]

    def figures(self, figures):
        """Add headline numbers: a mapping of label to value."""
        rows = (f"<div><dd>{_escape(v)}</dd><dt>{_escape(k)}</dt></div>" for k, v in figures.items())
        self._parts.append(f'<dl class="figures">{"".join(rows)}</dl>')

    def chart(self, figure, caption=""):
        """Add a matplotlib figure, or the picture at a path."""
        if hasattr(figure, "savefig"):
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=150, bbox_inches="tight")
            data, kind = buffer.getvalue(), "png"
        else:
            data, kind = Path(figure).read_bytes(), Path(figure).suffix.lstrip(".").lower()
        kind = {"jpg": "jpeg", "svg": "svg+xml"}.get(kind, kind)
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        label = _escape(caption)
        self._parts.append(
            f'<figure><img src="{source}" alt="{label}"><figcaption>{label}</figcaption></figure>'
        )

    def table(self, rows, caption="", decimals=2):
        """Add a DataFrame or a list of dicts as a table that sorts by a click on a column."""
        if hasattr(rows, "to_dict"):
            columns, rows = [str(name) for name in rows.columns], rows.values.tolist()
        else:
            rows = list(rows)
            columns = list(rows[0]) if rows else []
            rows = [[row.get(name) for name in columns] for row in rows]
        head = "".join(f"<th scope=col>{_escape(name)}</th>" for name in columns)
        body = "".join(f"<tr>{''.join(_cell(v, decimals) for v in row)}</tr>" for row in rows)
        self._parts.append(
            f'<div class="scroll"><table><caption>{_escape(caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        )

    def html(self):
        """The page."""
        return (
            f'<!doctype html>\n<html lang="{_escape(self._language)}"><head><meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{_escape(self._title)}</title>\n<style>{STYLE}</style></head>\n<body>\n"
            + "\n".join(self._parts)
            + f"\n<script>{SCRIPT}</script>\n</body></html>\n"
        )

    def save(self, path):
        """Write the page; missing folders are made. Returns the path."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.html(), encoding="utf-8")
        return path


def _cell(value, decimals):
    is_number = hasattr(value, "__float__") and not isinstance(value, (bool, str))
    if value is None or (is_number and value != value):
        return "<td>–</td>"
    if not is_number:
        return f"<td>{_escape(value)}</td>"
    number = float(value)
    shown = f"{number:,.{0 if number.is_integer() else decimals}f}"
    if abs(number) < 10_000:  # years, and what is read at a glance
        shown = shown.replace(",", "")
    return f'<td class="number" data-value="{number!r}">{shown}</td>'


def _escape(value):
    return html.escape(str(value), quote=True)


def _inline(text):
    escaped = _escape(text)
    escaped = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped)
    return re.sub(r"`(.+?)`", r"<code>\1</code>", escaped)
