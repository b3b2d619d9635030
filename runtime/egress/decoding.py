"""Unpacks the bodies of answers in which secrets are looked for. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

from runtime.egress.refusals import Broken

_STEP_BYTES = 256 * 1024


class Decoder(Protocol):
    """Turns what comes in into what is meant."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes of `chunk`, in bounded pieces. Raises `Broken`."""
        ...


class Plain:
    """Nothing to unpack."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """`chunk`."""
        yield chunk


class Packed:
    """gzip, also of several members, and deflate."""

    def __init__(self, coding: str) -> None:
        self._bits = (16 if coding != "deflate" else 0) + zlib.MAX_WBITS
        self._stream = zlib.decompressobj(self._bits)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes of `chunk`, one piece at a time however much is packed in it."""
        try:
            while True:
                piece = self._stream.decompress(chunk, _STEP_BYTES)
                if piece:
                    yield piece
                chunk = self._stream.unconsumed_tail
                if self._stream.eof and self._stream.unused_data:
                    chunk = self._stream.unused_data
                    self._stream = zlib.decompressobj(self._bits)
                elif not piece and not chunk:
                    return
        except zlib.error as error:
            raise Broken("the server's answer cannot be unpacked") from error


def decoder(coding: str) -> Decoder:
    """What unpacks a `Content-Encoding`. Raises `Broken` for one that cannot be unpacked."""
    named = [one.strip().lower() for one in coding.split(",")]
    coding = ", ".join(one for one in named if one not in {"", "identity"})
    if not coding:
        return Plain()
    if coding in {"gzip", "x-gzip", "deflate"}:
        return Packed(coding)
    raise Broken(f"the server packed its answer with {coding[:40]!a}, though none was asked for")
