"""Turns raw terminal output into plain text: no escape sequences, no progress bars. Pure."""

from __future__ import annotations

import re

_ESCAPE = re.compile(
    r"\x1b(?:"
    r"\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC and other strings: titles, links
    r"|[ -/]+[0-~]"  # character sets
    r"|[0-OQ-WYZ\\`a-z{|}~]"  # single characters
    r")"
)
_OPEN_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]*)?\Z")
_CONTROL = re.compile(r"[\x00-\x06\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_BACKSPACE = re.compile(r"[^\x08]\x08")
_LONGEST_LINE = 8192


def strip_escapes(text: str) -> str:
    """The text without terminal escape sequences."""
    return _ESCAPE.sub("", text) if "\x1b" in text else text


class Cleaner:
    """Plain text out of pieces of raw output, which may be cut anywhere.

    `feed` gives what is final. The line that is still being written waits inside, because a
    carriage return may yet replace it; `flush` gives it up to the reader as it stands, after
    which a carriage return can only begin a new line.
    """

    def __init__(self) -> None:
        self._escape = ""
        self._line = ""
        self._is_continued = False

    def feed(self, raw: str) -> str:
        """The lines that became final with this piece."""
        text = self._without_escapes(raw)
        if _CONTROL.search(text):
            text = _CONTROL.sub("\ufffd", text)
        text = self._line + text.replace("\x07", "")
        complete, newline, self._line = text.rpartition("\n")
        done = self._resolve_lines(complete) + newline if newline else ""
        return done + self._shorten()

    def flush(self) -> str:
        """The unfinished line, unless it looks like progress that will be replaced."""
        if not self._line or "\r" in self._line or "\b" in self._line:
            return ""
        done, self._line = self._line, ""
        self._is_continued = True
        return done

    def finish(self) -> str:
        """The unfinished line, whatever it holds."""
        done = self._resolve(self._line)
        self._escape = self._line = ""
        self._is_continued = self._is_continued and not done.endswith("\n")
        return done

    def drop_line(self) -> None:
        """Forget the unfinished line."""
        self._escape = self._line = ""
        self._is_continued = False

    def _without_escapes(self, raw: str) -> str:
        text = self._escape + raw
        self._escape = ""
        if "\x1b" not in text:
            return text
        text = _ESCAPE.sub("", text)
        opened = _OPEN_ESCAPE.search(text)
        if opened is not None:
            self._escape = opened.group()
            text = text[: opened.start()]
        return text

    def _resolve_lines(self, text: str) -> str:
        if "\r" not in text and "\b" not in text:
            self._is_continued = False
            return text
        return "\n".join(self._resolve(line) for line in text.split("\n"))

    def _resolve(self, line: str) -> str:
        """One finished line as a terminal would show it at the end."""
        continued, self._is_continued = self._is_continued, False
        _, carriage_return, last = line.rstrip("\r").rpartition("\r")
        while "\b" in last:
            last = _BACKSPACE.sub("", last).lstrip("\b")
        return "\n" + last if carriage_return and continued else last

    def _shorten(self) -> str:
        """Keep the unfinished line bounded."""
        if len(self._line) <= _LONGEST_LINE:
            return ""
        shown, overwriting = self._line.rstrip("\r"), self._line.endswith("\r")
        _, carriage_return, last = shown.rpartition("\r")
        if carriage_return and len(last) <= _LONGEST_LINE:
            self._line = "\r" + last + "\r" * overwriting
            return ""
        done, self._line = self._resolve(self._line), "\r" * overwriting
        self._is_continued = True
        return done
