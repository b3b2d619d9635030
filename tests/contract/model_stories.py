"""Histories that the contract tests send: a task, two calls at once, their results, a picture."""

from __future__ import annotations

from runtime.schema.content import ImageContent, TextContent
from runtime.schema.model import FunctionDeclaration
from runtime.schema.steps import (
    CodeExecutionCallStep,
    CodeExecutionResultStep,
    FunctionCallStep,
    FunctionResultStep,
    ModelOutputStep,
    Step,
    ThoughtStep,
    UserInputStep,
)

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

TOOLS = [
    FunctionDeclaration(
        name="code_execution",
        description="Runs code.",
        parameters={"type": "object", "properties": {"code": {"type": "string"}}},
    ),
    FunctionDeclaration(name="view_file", description="Shows a file."),
]


def user(text: str) -> Step:
    return UserInputStep(content=[TextContent(text=text)])


def two_calls_and_their_results(signature: str | None) -> list[Step]:
    """What a model with `signature` thought, said and called, and what came of it."""
    return [
        user("Look at the file."),
        ThoughtStep(signature=signature, summary=[TextContent(text="Two things at once.")]),
        ModelOutputStep(content=[TextContent(text="I look.")]),
        CodeExecutionCallStep(id="call_1", arguments={"code": "1/0", "language": "python"}),
        FunctionCallStep(id="call_2", name="view_file", arguments={"AbsolutePath": "/x.png"}),
        CodeExecutionResultStep(call_id="call_1", result="ZeroDivisionError", is_error=True),
        FunctionResultStep(
            call_id="call_2",
            name="view_file",
            result=[
                TextContent(text="a picture").model_dump(exclude_none=True),
                ImageContent(data=PNG, mime_type="image/png").model_dump(exclude_none=True),
            ],
        ),
    ]
