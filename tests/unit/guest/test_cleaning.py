from __future__ import annotations

import pytest

from runtime.guest.cleaning import Cleaner


def cleaned(*pieces: str) -> str:
    cleaner = Cleaner()
    return "".join(cleaner.feed(piece) for piece in pieces) + cleaner.finish()


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("plain\n", "plain\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;a title\x07text\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "textlink"),
        ("\x1b(Bone\x1b7two\x1b=", "onetwo"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("10%\r50%\r100%\ndone\n", "100%\ndone\n"),
        ("\r10%\r\x1b[K20%", "20%"),
        ("wait\r\r\n", "wait\n"),
        ("spin|\b/\b-\bx\n", "spinx\n"),
        ("\b\b", ""),
        ("nul\x00 bell\x07 half \ud83d\n", "nul\ufffd bell half \ufffd\n"),
        ("日本 🙂\n", "日本 🙂\n"),
    ],
)
def test_what_a_terminal_would_show(raw: str, plain: str) -> None:
    assert cleaned(raw) == plain


@pytest.mark.parametrize(
    "raw", ["\x1b[31mred\x1b[0m\n", "a\r\nb\r\n", "\x1b]0;title\x07x\n", "1%\r2%\r3%\nend"]
)
def test_the_cut_between_pieces_does_not_matter(raw: str) -> None:
    whole = cleaned(raw)
    assert all(cleaned(raw[:at], raw[at:]) == whole for at in range(len(raw)))
    assert cleaned(*raw) == whole


def test_an_unfinished_line_waits_until_it_is_final() -> None:
    cleaner = Cleaner()
    assert cleaner.feed("half") == ""
    assert cleaner.feed(" line\nnext") == "half line\n"
    assert cleaner.finish() == "next"


def test_a_line_that_was_given_up_is_not_replaced() -> None:
    cleaner = Cleaner()
    cleaner.feed("working...")
    assert cleaner.flush() == "working..."
    assert cleaner.feed("\rdone\n") == "\ndone\n"


def test_progress_is_not_given_up() -> None:
    cleaner = Cleaner()
    cleaner.feed("10%\r20%")
    assert cleaner.flush() == ""
    assert cleaner.feed("\r30%\n") == "30%\n"


def test_a_line_without_end_does_not_pile_up() -> None:
    cleaner = Cleaner()
    given = sum(len(cleaner.feed("x" * 1000)) for _ in range(100))
    assert given > 80_000
    assert given + len(cleaner.finish()) == 100_000


def test_endless_progress_does_not_pile_up() -> None:
    cleaner = Cleaner()
    assert "".join(cleaner.feed(f"\r{n:06}%") for n in range(100_000)) == ""
    assert cleaner.finish() == "099999%"
