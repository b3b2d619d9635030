from __future__ import annotations

import pytest

from bench.prompts import TURNS, answer, kept, prompt


@pytest.mark.parametrize(
    ("earlier", "later", "share"),
    [("abcd", "abcdef", 100.0), ("abcd", "abxd", 50.0), ("ab", "a", 50.0)],
)
def test_what_is_kept_of_a_prompt(earlier: str, later: str, share: float) -> None:
    assert kept(earlier, later) == share


def test_a_prompt_is_tools_first() -> None:
    assert prompt({"messages": [{"role": "user"}], "tools": [1]}) == '[1]\n{"role": "user"}'


def test_the_model_calls_so_often_and_then_answers() -> None:
    messages = [{"role": "system"}, {"role": "user"}]
    for _ in range(TURNS):
        assert "tool_calls" in answer({"messages": messages})[0]["choices"][0]["delta"]
        messages += [{"role": "assistant"}, {"role": "tool"}]
    assert answer({"messages": messages})[0]["choices"][0]["delta"] == {"content": "Done."}
