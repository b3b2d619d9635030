from __future__ import annotations

import pytest

from runtime.schema.conversation import (
    MAX_PIECE_BYTES,
    Piece,
    PieceError,
    PieceKind,
    PieceReader,
    size_piece,
    status_piece,
)

PIECES = [Piece(PieceKind.INPUT, b"keys"), Piece(PieceKind.END), size_piece(50, 200)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_pieces_are_found_however_they_are_cut(size: int) -> None:
    data = b"".join(piece.encode() for piece in PIECES)
    reader = PieceReader()
    found = [
        piece for at in range(0, len(data), size) for piece in reader.feed(data[at : at + size])
    ]
    assert found == PIECES
    assert found[2].data == b"[50, 200]"


@pytest.mark.parametrize(("status", "told"), [(0, b"0"), (3, b"3"), (-9, b"137")])
def test_a_signal_is_a_status_as_in_a_shell(status: int, told: bytes) -> None:
    assert status_piece(status) == Piece(PieceKind.STATUS, told)


@pytest.mark.parametrize(
    "data", [b"\x63\0\0\0\0", b"\1" + (MAX_PIECE_BYTES + 1).to_bytes(4, "big")]
)
def test_what_is_no_piece_is_refused(data: bytes) -> None:
    with pytest.raises(PieceError):
        PieceReader().feed(data)
