"""Pieces of a conversation with a terminal or a command, on a byte stream that goes both ways.

A piece is one byte for its kind, a 4-byte big-endian length, and that many bytes. To the guest go
input, sizes and the end of input; back come output and, as the last piece, the exit status. Either
side that hangs up without it has gone away: then the command is ended.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum

MAX_PIECE_BYTES = 1024 * 1024
_HEADER = struct.Struct(">BI")


class PieceKind(IntEnum):
    """What a piece carries."""

    INPUT = 0
    """To the guest: bytes for the command's standard input, or keys."""
    OUTPUT = 1
    """From the guest: standard output, or all that a terminal shows."""
    ERRORS = 2
    """From the guest: standard error of a command."""
    STATUS = 3
    """From the guest, the last piece: the exit status in decimal; 128 + n for signal n."""
    SIZE = 4
    """To the guest: a terminal's new size, `[rows, columns]` in JSON."""
    END = 5
    """To the guest: no more input comes."""


class PieceError(Exception):
    """The peer sent something that is not a piece."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One piece."""

    kind: PieceKind
    data: bytes = b""

    def encode(self) -> bytes:
        """Its bytes on the stream."""
        return _HEADER.pack(self.kind, len(self.data)) + self.data


def size_piece(rows: int, columns: int) -> Piece:
    """The piece that says how large a terminal is now."""
    return Piece(PieceKind.SIZE, json.dumps([rows, columns]).encode())


def status_piece(status: int) -> Piece:
    """The last piece of a command, from an exit status that is negative for a signal."""
    return Piece(PieceKind.STATUS, str(status if status >= 0 else 128 - status).encode())


class PieceReader:
    """Finds the pieces in bytes that come cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Piece]:
        """The pieces that became whole. Raises `PieceError`."""
        self._buffer += data
        pieces: list[Piece] = []
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if kind not in PieceKind._value2member_map_ or length > MAX_PIECE_BYTES:
                raise PieceError(f"a piece of kind {kind} and {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            pieces.append(Piece(PieceKind(kind), bytes(self._buffer[_HEADER.size : end])))
            del self._buffer[:end]
        return pieces
