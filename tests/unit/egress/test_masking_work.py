"""How much masking does for an answer that was made to be much work: counted, not timed."""

from __future__ import annotations

import base64
import gc
import sys
from collections.abc import Callable

from pydantic import SecretStr

from runtime.egress.redaction import Replacer, masks
from runtime.egress.rules import HeaderInjection
from runtime.egress.treatment import Treatment

SECRET = "k" + "abcdefghij" * 90
HEADER = HeaderInjection(name="Authorization", value=SecretStr(f"Bearer {SECRET}"))


def calls_of(work: Callable[[], object]) -> int:
    """How many functions `work` calls, those written in C as well."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    # What earlier tests left is not the work of this one.
    gc.collect()
    gc.disable()
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def test_the_first_byte_of_a_secret_without_end_is_no_more_work_than_others() -> None:
    needles = masks([SECRET])
    usual = calls_of(lambda: Replacer(needles).feed(b"~" * 16_384))
    assert calls_of(lambda: Replacer(needles).feed(b"k" * 16_384)) < 2 * usual


def test_a_great_many_headers_are_searched_in_one_go() -> None:
    treatment = Treatment((HEADER,))
    few, many = ([(b"a", b"")] * count for count in (10, 10_000))
    assert treatment.redacted(many) == many
    usual = calls_of(lambda: treatment.redacted(few))
    assert calls_of(lambda: treatment.redacted(many)) < 2 * usual


def test_headers_keep_their_places_when_some_are_masked() -> None:
    treatment = Treatment((HEADER,))
    answered = [(b"a", b""), (b"b", SECRET.encode()), (SECRET.encode(), b"c"), (b"d", b"e")]
    stars = b"*" * len(SECRET)
    assert treatment.redacted(answered) == [(b"a", b""), (b"b", stars), (stars, b"c"), (b"d", b"e")]
    assert treatment.redacted([]) == []


def test_a_secret_with_a_line_end_is_not_found_across_headers() -> None:
    basic = base64.b64encode(b"user:first\nsecond").decode()
    treatment = Treatment(
        (HeaderInjection(name="Authorization", value=SecretStr(f"Basic {basic}")),)
    )
    answered = [(b"a", b"user:first"), (b"b", b"second"), (b"c", b"\xff"), (b"d", b"\xff")]
    assert treatment.redacted(answered) == answered
