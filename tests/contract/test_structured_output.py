"""Answers by a JSON Schema, from the API to each provider's wire and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.model_servers import failure
from tests.contract.model_wires import WIRES, Wire
from tests.contract.provider_controller import output_text, provided, said

pytestmark = pytest.mark.anyio

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
FORMAT = {"type": "text", "mime_type": "application/json", "schema": SCHEMA}
GOOD = '{"city": "Lisbon", "days": 3}'
BAD = '{"city": "Lisbon", "days": "three"}'
ALL = pytest.mark.parametrize("wire", WIRES.values(), ids=lambda wire: wire.kind)


def native(wire: Wire, body: dict[str, Any]) -> Any:
    """The schema where the provider has a field for it."""
    match wire.kind:
        case "google":
            return body.get("generationConfig", {}).get("responseJsonSchema")
        case "openai":
            return body.get("text", {}).get("format", {}).get("schema")
        case "anthropic":
            return body.get("output_config", {}).get("format", {}).get("schema")
        case _:
            return body.get("response_format", {}).get("json_schema", {}).get("schema")


@ALL
async def test_a_wrong_answer_is_repaired_and_only_the_right_one_is_seen(
    wire: Wire, tmp_path: Path
) -> None:
    fenced = said(wire, f"```json\n{GOOD}\n```")
    async with provided(wire, tmp_path, said(wire, BAD), fenced) as it:
        made = await it.create(input="Plan a trip.", response_format=FORMAT)
        async with it.controller.http() as http:
            stream = await http.get(f"/v1/interactions/{made['id']}", params={"stream": "true"})

    assert made["status"] == "completed" and output_text(made) == GOOD
    assert "three" not in stream.text and "```" not in stream.text
    first, second = (asked.body for asked in it.server.asked)
    assert native(wire, first)["properties"].keys() == SCHEMA["properties"].keys()
    assert "'three' is not of type 'integer'" in json.dumps(second)
    assert native(wire, second) == native(wire, first)
    assert made["usage"]["total_tokens"] == 224, "both calls count"


@ALL
async def test_a_model_that_does_not_learn_fails_the_interaction(
    wire: Wire, tmp_path: Path
) -> None:
    async with provided(wire, tmp_path, said(wire, BAD)) as it:
        made = await it.create(input="Plan a trip.", response_format=[FORMAT])
    assert made["status"] == "failed" and len(it.server.asked) == 3
    (error,) = made["errors"]
    assert error["code"] == "response_format_mismatch"
    assert "$.days: 'three' is not of type 'integer'" in error["message"]
    assert output_text(made) == ""
    assert made["usage"]["total_tokens"] == 336


@ALL
async def test_a_provider_that_refuses_schemas_is_told_in_words(wire: Wire, tmp_path: Path) -> None:
    refusal = failure(400, wire.error("Invalid response_format: json_schema is not supported"))
    async with provided(wire, tmp_path, refusal, said(wire, GOOD)) as it:
        for _ in range(2):
            made = await it.create(input="Plan a trip.", response_format=FORMAT)
            assert made["status"] == "completed" and output_text(made) == GOOD

    natively, *in_words = (asked.body for asked in it.server.asked)
    assert native(wire, natively) is not None
    assert len(in_words) == 2, "the refusal is remembered"
    for body in in_words:
        assert native(wire, body) is None
        assert "valid by this JSON Schema" in json.dumps(body)


@ALL
async def test_any_json_will_do_without_a_schema(wire: Wire, tmp_path: Path) -> None:
    async with provided(wire, tmp_path, said(wire, "hello"), said(wire, "[1, 2]")) as it:
        made = await it.create(input="Two numbers.", response_mime_type="application/json")
    assert made["status"] == "completed" and output_text(made) == "[1, 2]"
    assert "$: is not JSON" in json.dumps(it.server.asked[1].body)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {**FORMAT, "schema": {"type": "objekt"}}}, "response_format.schema.type:"),
    (
        {"response_format": [{**FORMAT, "schema": {"items": {"$ref": "https://x.test/s"}}}]},
        "response_format[0].schema.items.$ref: 'https://x.test/s' leads to no schema",
    ),
    (
        {"response_format": [{"type": "text"}, {"type": "image"}]},
        "response_format[1].type: 'image'",
    ),
    ({"response_format": {"type": "audio"}}, "response_format.type: 'audio' is not supported"),
    ({"response_format": [FORMAT, FORMAT]}, "exactly one format"),
    ({"response_format": {**FORMAT, "mime_type": "text/plain"}}, "response_format.mime_type"),
    ({"response_format": {"type": ["object", "null"]}}, "'response_mime_type': 'application/json'"),
    ({"response_format": FORMAT, "response_mime_type": "text/plain"}, "response_mime_type: is"),
    (
        {"response_format": {"type": "strin"}, "response_mime_type": "application/json"},
        "response_format.type: 'strin' is none of",
    ),
    ({"response_modalities": ["image"]}, "response_modalities"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED)
async def test_formats_that_are_refused(body: dict[str, Any], message: str, tmp_path: Path) -> None:
    wire = WIRES["openai"]
    async with provided(wire, tmp_path, said(wire, GOOD)) as it:
        refused = await it.create(input="x", **body)
    assert refused["error"]["code"] == "invalid_request"
    assert message in refused["error"]["message"]
    assert it.server.asked == []
