from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.specs.mistakes import Mark
from runtime.specs.yaml_marks import MAX_BYTES, parse_document, read_document


def mistakes_of(text: str) -> list[str]:
    return [str(mistake) for mistake in parse_document(text, "f.yaml").mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("no", "no"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        ("1:30", "1:30"),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".inf", float("inf")),
        ("2024-05-01", "2024-05-01"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    document = parse_document(f"key: {text}", "f.yaml")
    assert document.mistakes == []
    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


def test_keys_are_text_as_they_stand() -> None:
    assert parse_document("on: 1\n1: 2\nnull: 3\n", "f.yaml").data == {"on": 1, "1": 2, "null": 3}


def test_every_key_and_value_has_its_place() -> None:
    document = parse_document("a:\n  b: [1, {c: 2}]\nd: >\n  text\n", "f.yaml")
    assert document.mark(()) == Mark(1, 1)
    assert document.mark(("a",)) == Mark(2, 3)
    assert document.mark(("a",), key=True) == Mark(1, 1)
    assert document.mark(("a", "b", 1, "c")) == Mark(2, 14)
    assert document.mark(("a", "b", 1, "c"), key=True) == Mark(2, 11)
    assert document.mark(("d",)) == Mark(3, 4)
    assert document.mark(("a", "b", 7, "missing")) == Mark(2, 6)


def test_a_document_in_a_larger_file_counts_from_its_first_line() -> None:
    document = parse_document("name: x\nname: y\n", "f.md", first_line=2)
    assert [str(m) for m in document.mistakes] == [
        "f.md:3:1: name: stands here twice, first in line 2"
    ]
    assert document.mark(("name",)) == Mark(2, 7)


@pytest.mark.parametrize(
    ("text", "mistakes"),
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yaml:3:1: a: stands here twice, first in line 1"]),
        (
            "x:\n  - {k: 1, k: 2}\n",
            ["f.yaml:2:12: x[0].k: stands here twice, first in line 2"],
        ),
        (
            "a: !!python/object/apply:os.system [id]\n",
            [
                "f.yaml:1:4: a: the tag `!!python/object/apply:os.system` is not allowed here",
            ],
        ),
        ("a: !secret x\n", ["f.yaml:1:4: a: the tag `!secret` is not allowed here"]),
        ("a: !!int x\n", ["f.yaml:1:4: a: `x` is not of the type `!!int`"]),
        ("a: !!map x\n", ["f.yaml:1:4: a: the tag `!!map` is not allowed here"]),
        ("? [a, b]\n: 1\n", ["f.yaml:1:3: a key must be text"]),
        ("a: &x [*x]\n", ["f.yaml:1:4: a[0]: an alias to something that contains it"]),
        ("a: " + "9" * 5000, ["f.yaml:1:4: a: a number with too many digits"]),
        ("a: b: c\n", ["f.yaml:1:5: not valid YAML: mapping values are not allowed here"]),
        (
            "a:\n\t- b\n",
            [
                "f.yaml:2:1: not valid YAML: while scanning for the next token, found character "
                "'\\t' that cannot start any token; indent with spaces"
            ],
        ),
        ("a: 1\n---\nb: 2\n", None),
        ("a: [1, 2\n", None),
        ("a: *nowhere\n", ["f.yaml:1:4: not valid YAML: found undefined alias 'nowhere'"]),
        ("a: 1\nb: x\x07y\n", ["f.yaml:2:5: the character U+0007 is not allowed in YAML"]),
        ("%YAML 3.0\n---\na: 1\n", None),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, mistakes: list[str] | None) -> None:
    found = mistakes_of(text)
    if mistakes is None:
        assert len(found) == 1
        assert found[0].startswith("f.yaml:")
    else:
        assert found == mistakes


def test_several_mistakes_are_all_found() -> None:
    assert len(mistakes_of("a: 1\na: 2\nb: !x 1\nc: {d: 1, d: 2}\n")) == 3


def test_aliases_are_followed() -> None:
    document = parse_document("a: &x {k: 1}\nb: *x\n", "f.yaml")
    assert document.data == {"a": {"k": 1}, "b": {"k": 1}}
    assert document.mark(("b", "k")) == Mark(1, 11)


def test_a_bomb_of_aliases_is_one_mistake() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    found = mistakes_of("\n".join(lines))
    assert len(found) == 1
    assert found[0].endswith("more than 20000 values, aliases followed")


def test_the_number_of_values_is_limited() -> None:
    (found,) = mistakes_of("a: [" + "1," * 100_000 + "]")
    assert found.endswith("not valid YAML: more than 20000 values")


@pytest.mark.parametrize("text", ["[" * 5000, "- " * 5000, "{a: " * 500])
def test_depth_is_limited(text: str) -> None:
    (found,) = mistakes_of(text)
    assert "more than 40 levels deep" in found


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    big, latin = tmp_path / "big.yaml", tmp_path / "latin.yaml"
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    latin.write_bytes("a: 1\nb: ä\n".encode("latin-1"))
    cases = [(big, "is larger than"), (tmp_path, "cannot be read"), (tmp_path / "no", "No such")]
    for path, words in cases:
        (mistake,) = read_document(path).mistakes
        assert str(mistake).startswith(f"{path}: ")
        assert words in str(mistake)
    assert [str(m) for m in read_document(latin).mistakes] == [f"{latin}:2:4: is not UTF-8 text"]


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_document(path).data == {"a": 1}
