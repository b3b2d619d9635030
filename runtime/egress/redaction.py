"""Replaces texts in a stream, also where they are split over chunks; masks secrets. Pure."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote, quote_plus

MIN_SECRET_BYTES = 6
"""Shorter texts are not looked for: they stand in every answer by chance."""
_TAIL_BYTES = 4


class Replacer:
    """Replaces needles in bytes that come in chunks."""

    def __init__(self, pairs: Mapping[bytes, bytes]) -> None:
        """`pairs` are needle and replacement; of two needles the longer one is replaced first."""
        self._held = b""
        self._look_for(pairs)

    def feed(self, chunk: bytes) -> bytes:
        """What can be passed on; the start of a needle at the end is kept back."""
        data = self._held + chunk
        split = self._start_of_needle(data)
        if not self._may_become_longer(data, split):
            data = self._replaced(data)
            split = self._start_of_needle(data)
            self._held = data[split:]
            return data[:split]
        self._held = data[split:]
        return self._replaced(data[:split])

    def finish(self) -> bytes:
        """What was kept back, when no more comes."""
        held, self._held = self._held, b""
        return self._replaced(held)

    def whole(self, data: bytes) -> bytes:
        """`data` that is complete, with its needles replaced."""
        return self._replaced(data)

    def _look_for(self, pairs: Mapping[bytes, bytes]) -> None:
        self._pairs = sorted(pairs.items(), key=lambda pair: -len(pair[0]))

    def _replaced(self, data: bytes) -> bytes:
        for needle, replacement in self._pairs:
            data = data.replace(needle, replacement)
        return data

    def _may_become_longer(self, data: bytes, split: int) -> bool:
        """Whether a needle in `data[split:]` may be a part of a longer one that is not complete.

        Not where another needle lies across `split`: that one is complete, and must be replaced.
        """
        if not any(needle in data[split:] for needle, _ in self._pairs):
            return False
        return not any(
            needle in data[max(0, split - len(needle) + 1) : split + len(needle) - 1]
            for needle, _ in self._pairs
        )

    def _start_of_needle(self, data: bytes) -> int:
        starts = (self._partial(data, needle) for needle, _ in self._pairs)
        return min(starts, default=len(data))

    @staticmethod
    def _partial(data: bytes, needle: bytes) -> int:
        """Where in `data` the longest start of `needle` is that `data` ends with.

        Looked for by the last bytes of `data`: who knows a needle may send its first byte without
        end, and each would have to be tried.
        """
        most, tail = min(len(needle) - 1, len(data)), data[-_TAIL_BYTES:]
        found = needle.rfind(tail, 0, most)
        while found != -1:
            size = found + len(tail)
            if data.endswith(needle[:size]):
                return len(data) - size
            found = needle.rfind(tail, 0, size - 1)
        for size in range(min(most, len(tail) - 1), 0, -1):
            if data.endswith(needle[:size]):
                return len(data) - size
        return len(data)


class Following(Replacer):
    """Replaces what is to be replaced when a chunk comes: rules may change in a stream."""

    def __init__(self, pairs: Callable[[], Mapping[bytes, bytes]]) -> None:
        self._asked = pairs
        self._known = pairs()
        super().__init__(self._known)

    def feed(self, chunk: bytes) -> bytes:
        """The same, with the pairs of this moment."""
        pairs = self._asked()
        if pairs != self._known:
            self._known = pairs
            self._look_for(pairs)
        return super().feed(chunk)


def masks(secrets: Iterable[str]) -> dict[bytes, bytes]:
    """Each form in which a secret may come back, with asterisks of the same length.

    The length stays, so that announced lengths and frames stay true.
    """
    long_enough = [secret for secret in secrets if len(secret.encode()) >= MIN_SECRET_BYTES]
    forms = {form for secret in long_enough for form in _forms(secret)}
    return {form: b"*" * len(form) for form in forms if len(form) >= MIN_SECRET_BYTES}


def _forms(secret: str) -> set[bytes]:
    raw = secret.encode()
    escaped = json.dumps(secret)[1:-1]
    texts = {
        escaped,
        escaped.replace("/", "\\/"),
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        html.escape(secret).replace("&#x27;", "&#39;"),
        raw.hex(),
        raw.hex().upper(),
    }
    for quoted in (quote(secret, safe=""), quote_plus(secret), quote(secret)):
        texts |= {quoted, _lower_escapes(quoted)}
    return {raw} | {text.encode() for text in texts} | set(_base64_forms(raw))


def _lower_escapes(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(part[:2].lower() + part[2:] for part in rest)])


def _base64_forms(raw: bytes) -> Iterable[bytes]:
    """What is the same of `raw` in base64 whatever stands before and behind it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw)
        start = (0, 2, 3)[before]
        end = len(encoded) - (0, 4, 4)[(before + len(raw)) % 3] if encoded.endswith(b"=") else None
        stable = encoded[start:end]
        yield stable
        yield stable.replace(b"+", b"-").replace(b"/", b"_")
