from __future__ import annotations

from typing import Any

import pytest

from runtime.controller.json_schemas import TooComplex, mismatches, schema_problem

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}


def multiplying(depth: int) -> dict[str, Any]:
    """A schema whose references double at every step."""
    names: dict[str, Any] = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)
    }
    return {"$defs": {**names, f"d{depth}": {"type": "string"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"a": {"type": "integr"}}}, "s.properties.a.type: 'integr' is none of"),
        ({"type": "OBJECT"}, "s.type: 'OBJECT' is none of"),
        ({"properties": []}, "s.properties: [] is not of type 'object'"),
        ({"pattern": "("}, "s.pattern: '(' is not a regular expression"),
        ({"patternProperties": {"(": {}}}, "s.patternProperties: '(' is not a regular"),
        ({"$ref": "http://127.0.0.1:1/x"}, "s.$ref: 'http://127.0.0.1:1/x' leads to no schema"),
        ({"$ref": "file:///etc/passwd"}, "s.$ref: 'file:///etc/passwd' leads to no schema"),
        ({"items": {"properties": {"q": {"$ref": "#/$defs/no"}}}}, "s.items.properties.q.$ref: "),
        ({"$ref": "#/x", "x": 5}, "s.$ref: '#/x' leads to no schema"),
        ({"$dynamicRef": "#q"}, "s.$dynamicRef: '#q' leads to no schema"),
        ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "s.items.$schema: may"),
        (
            {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
            "s.unevaluatedProperties: is not supported together with",
        ),
        ({"enum": ["x" * 200_000]}, "s: has more than 200000 characters"),
    ],
)
def test_a_wrong_schema_is_named_by_its_place(schema: dict[str, Any], place: str) -> None:
    problem = schema_problem(schema, "s")
    assert problem is not None and problem.startswith(place)


def test_a_dialect_cannot_be_smuggled_in_behind_a_reference() -> None:
    hidden = {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a|a)*$"}
    assert (
        schema_problem({"$ref": "#/x", "x": hidden}, "s")
        == "s.x.$schema: may stand at the top only."
    )


def test_a_schema_that_nests_too_deeply() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"items": deep}
    problem = schema_problem(deep, "s")
    assert problem is not None and "too deeply" in problem


@pytest.mark.parametrize(
    "schema",
    [
        {},
        PERSON,
        {"$defs": {"n": {"properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
        {"$id": "https://x.test/y", "$defs": {"a": {"$id": "z"}}, "$ref": "z"},
        {"properties": {"$schema": {"type": "string"}, "$ref": {"type": "string"}}},
        {"type": ["object", "null"], "format": "no such format", "x-mine": 1},
    ],
)
def test_schemas_that_are_taken(schema: dict[str, Any]) -> None:
    assert schema_problem(schema, "s") is None


def test_every_mismatch_has_its_place() -> None:
    assert mismatches(PERSON, {"name": "Ada", "age": 36}) == []
    assert mismatches({"type": "array", "items": PERSON}, [{"age": -1, "x": 0}]) == [
        "$[0].age: -1 is less than the minimum of 0",
        "$[0]: 'name' is a required property",
        "$[0]: additional properties are not allowed, such as 'x'",
    ]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"pattern": "^a+$"}, "aa", "b"),
        ({"patternProperties": {"^n": {"type": "number"}}}, {"n": 1, "x": "y"}, {"n": "1"}),
        (
            {"patternProperties": {"^n": True}, "additionalProperties": {"type": "string"}},
            {"n": 1, "x": "y"},
            {"n": 1, "x": 2},
        ),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], [{"a": 1}, {"a": 1.0}]),
        ({"multipleOf": 0.01}, 19.99, 19.999),
        ({"if": {"type": "string"}, "then": {"minLength": 2}, "else": False}, "ab", "a"),
        (
            {"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]},
            {"a": 1},
            {"b": 1},
        ),
    ],
)
def test_keywords(schema: dict[str, Any], good: Any, bad: Any) -> None:
    assert schema_problem(schema, "s") is None
    assert mismatches(schema, good) == []
    assert len(mismatches(schema, bad)) == 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a|a)*$"}, "a" * 40 + "!"),
        ({"patternProperties": {"^(a|a)*$": False}}, {"a" * 40 + "!": 1}),
        (multiplying(60), "text"),
        ({"$ref": "#"}, 1),
    ],
)
def test_what_would_take_for_ever_ends(schema: dict[str, Any], value: Any) -> None:
    assert schema_problem(schema, "s") is None
    with pytest.raises(TooComplex):
        mismatches(schema, value)


def test_problems_are_few_and_short() -> None:
    problems = mismatches({"type": "array", "items": {"type": "string"}}, [1] * 10_000)
    assert len(problems) == 10
    assert all(len(one) < 310 for one in mismatches({"type": "integer"}, "x" * 10_000))
