from __future__ import annotations

from runtime.api import FixedKeys


def test_only_known_keys_are_accepted() -> None:
    keys = FixedKeys(["one", "two"])
    assert keys.accepts("one")
    assert keys.accepts("two")
    for wrong in ("", "on", "onee", "One", "one\udcff"):
        assert not keys.accepts(wrong)


def test_an_empty_key_opens_nothing() -> None:
    assert not FixedKeys([""]).accepts("")
