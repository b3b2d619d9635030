from __future__ import annotations

import pytest

from runtime.errors import ModelRefused
from runtime.models.script_blocks import blocks_of, turns_of
from runtime.models.script_play import ScriptedCall, ScriptedTurn, Utterance


def code(text: str, language: str = "python") -> ScriptedCall:
    return ScriptedCall("code_execution", {"code": text, "language": language})


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("no blocks", []),
        ("```python\nx = 1\n```", [("python", "x = 1")]),
        ("~~~ bash\nls\n~~~~", [("bash", "ls")]),
        ("text\n```say\n```\nmore", [("say", "")]),
        ("````say\n```python\nx\n```\n````", [("say", "```python\nx\n```")]),
        ("```say\n~~~\n```", [("say", "~~~")]),
        ("  ```python\n  if x:\n      y\n z\n  ```", [("python", "if x:\n    y\nz")]),
        ("1. do\n\n    ```bash\n    ls\n    ```", [("bash", "ls")]),
        ("```python\r\nx\r\ny\r\n```\r\n", [("python", "x\ny")]),
        ("```python\ns = '''\n     ```\n'''\n```", [("python", "s = '''\n     ```\n'''")]),
        ("```python\nx\n``` y\n```", [("python", "x\n``` y")]),
        ("`` ` ``` inline ```", []),
        ("```a`b\ntext", []),
        ("```say\na\u2028b\x0bc\n```", [("say", "a\u2028b\x0bc")]),
        ("```say\na\n```\n```think\nb\n```", [("say", "a"), ("think", "b")]),
    ],
)
def test_which_blocks_a_text_has(text: str, blocks: list[tuple[str, str]]) -> None:
    assert [(block.info, block.text) for block in blocks_of(text)] == blocks
    assert all(block.is_closed for block in blocks_of(text))


def test_a_prompt_without_blocks_says_itself() -> None:
    assert turns_of("Hello.") == [ScriptedTurn([Utterance("Hello.")])]


def test_each_call_is_a_turn_and_what_is_said_before_it_belongs_to_it() -> None:
    prompt = """
```think
hm
```
```say
first
```
```python
x = 1
```
```bash
ls
```
```tool view_file
{"AbsolutePath": "/x"}
```
```tool list_dir
```
```tools
[{"name": "a", "arguments": {"n": 1}}, {"name": "b"}]
```
```say
that is all
```
"""
    assert turns_of(prompt) == [
        ScriptedTurn([Utterance("hm", is_thought=True), Utterance("first")], [code("x = 1")]),
        ScriptedTurn([], [code("ls", "bash")]),
        ScriptedTurn([], [ScriptedCall("view_file", {"AbsolutePath": "/x"})]),
        ScriptedTurn([], [ScriptedCall("list_dir", {})]),
        ScriptedTurn([], [ScriptedCall("a", {"n": 1}), ScriptedCall("b", {})]),
        ScriptedTurn([Utterance("that is all")]),
    ]


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("```python\nx", r"Block 1 \(python\) .*closing fence is missing"),
        ("```say\nx\n```\n```json\n{}\n```", r"Block 2 \(json\) .*one of python, bash, tool NAME"),
        ("```\nx\n```", r"Block 1 \(no language\) .*one of python"),
        ("```python\n \n```", "no code"),
        ("```python main.py\nx\n```", r"nothing may stand behind 'python', but 'main\.py' does"),
        ("```tool\n{}\n```", "one tool name"),
        ("```tool a b\n{}\n```", "one tool name"),
        ("```tool a\n{x}\n```", r"Block 1 \(tool a\) .*not JSON: .* line 1, column 2"),
        ("```tool a\n[1]\n```", "it must be a JSON object"),
        ("```tools\n{}\n```", "JSON list"),
        ("```tools\n[]\n```", "at least one call"),
        ('```tools\n[{"name": "a"}, "b"]\n```', "call 2 must be"),
        ('```tools\n[{"name": "a", "args": {}}]\n```', "call 1 has unknown fields: args"),
        ('```tools\n[{"name": "a", "arguments": []}]\n```', "`arguments` of call 1 must be"),
        ("```tool a\n" + "[" * 100_000 + "\n```", "nested too deeply|not JSON"),
    ],
)
def test_a_block_that_cannot_be_read_is_named(prompt: str, message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        turns_of(prompt)
