from __future__ import annotations

import base64
import html
import json
import re
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.egress.redaction import Replacer, masks

SECRET = "s3cr3t/Token+with&odd=<chars>'\"é"


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({min(one, len(data)) for one in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(places)]


def streamed(replacer: Replacer, chunks: list[bytes]) -> bytes:
    return b"".join([*(replacer.feed(chunk) for chunk in chunks), replacer.finish()])


@given(
    st.lists(st.sampled_from([b"canary-1", b"canary-22", b"can", b"ary-", b"c", b"\n", b"x" * 50])),
    st.lists(st.integers(0, 400)),
)
def test_a_secret_is_found_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    found = streamed(Replacer(masks(["canary-1", "canary-22"])), cut(data, cuts))
    assert b"canary-1" not in found and b"canary-22" not in found
    assert len(found) == len(data)
    assert all(new in (old, ord("*")) for new, old in zip(found, data, strict=True))


@given(
    st.lists(st.sampled_from([b"canary-1", b"2345", b"<canary-1 x>", b"<", b" x>", b"1", b"."])),
    st.lists(st.integers(0, 200)),
)
def test_a_secret_that_is_a_part_of_another_leaves_nothing_of_it(
    parts: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(parts)
    secrets = masks(["canary-1", "canary-12345", "<canary-1 x>"])
    assert streamed(Replacer(secrets), cut(data, cuts)) == Replacer(secrets).whole(data)


def test_a_whole_secret_at_the_end_is_not_kept_back() -> None:
    assert Replacer(masks(["secret-token"])).feed(b"data: secret-token") == b"data: " + b"*" * 12


@given(st.binary(max_size=500), st.lists(st.integers(0, 500)))
def test_what_holds_no_secret_passes_unchanged(data: bytes, cuts: list[int]) -> None:
    replacer = Replacer(masks(["a secret that is not in there"]))
    assert streamed(replacer, cut(data, cuts)) == data


def test_only_the_start_of_a_secret_is_kept_back() -> None:
    replacer = Replacer(masks(["secret-token"]))
    assert replacer.feed(b"data: hello\n\n") == b"data: hello\n\n"
    assert replacer.feed(b"data: secret-") == b"data: "
    assert replacer.feed(b"agent\n") == b"secret-agent\n"
    assert replacer.finish() == b""


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        re.sub("%..", lambda found: found[0].lower(), quote(SECRET, safe="")),
        quote(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps(SECRET).replace("/", "\\/"),
        html.escape(SECRET),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_a_secret_is_found_in_every_dress(form: str) -> None:
    found = Replacer(masks([SECRET])).whole(f"<{form}>".encode())
    dressed = form.strip('"').encode()
    assert found == b"<" + form.encode().replace(dressed, b"*" * len(dressed)) + b">"


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_a_secret_is_found_inside_base64(before: bytes, behind: bytes) -> None:
    secret = "a-secret-of-some-length"
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        found = Replacer(masks([secret])).whole(encode(before + secret.encode() + behind))
        assert found.count(b"*") >= len(secret)


def test_short_texts_are_not_looked_for() -> None:
    assert masks(["true", "1", ""]) == {}


def test_a_replacement_may_be_longer_or_shorter() -> None:
    pairs = {b"placeholder_1": b"x", b"placeholder_22": b"a much longer secret than that"}
    data = b"a placeholder_1 b placeholder_22 c placeholder_"
    expected = b"a x b a much longer secret than that c placeholder_"
    for size in range(1, len(data)):
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        assert streamed(Replacer(pairs), chunks) == expected
