from __future__ import annotations

from runtime.api import FixedKeys
from runtime.schema.callers import OPERATOR


def test_only_known_keys_are_accepted() -> None:
    keys = FixedKeys(["one", "two"])
    assert keys.caller("one") == OPERATOR
    assert keys.caller("two") == OPERATOR
    for wrong in ("", "on", "onee", "One", "one\udcff"):
        assert keys.caller(wrong) is None


def test_an_empty_key_opens_nothing() -> None:
    assert FixedKeys([""]).caller("") is None
