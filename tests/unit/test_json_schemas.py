"""JSON Schema from outside: checked before it is kept, and harmless when it is used."""

from typing import Any

import pytest

from console_automation.engine.json_schemas import check_schema, mismatch
from console_automation.errors import BadRequest


@pytest.mark.parametrize(
    ("schema", "value", "where", "what"),
    [
        ({"type": "string"}, 5, "input", "5 is not of type 'string'"),
        ({"properties": {"a": {"minimum": 3}}}, {"a": 1}, "input.a", "less than the minimum"),
        ({"items": {"pattern": "^a+$"}}, ["aa", "b"], "input.1", "does not match '^a+$'"),
        ({"required": ["a"]}, {}, "input", "'a' is a required property"),
        ({"additionalProperties": False, "properties": {"a": {}}}, {"b": 1}, "input", "known: a"),
        ({"additionalProperties": {"type": "null"}}, {"b": 1}, "input.b", "type 'null'"),
        ({"patternProperties": {"^n": {"type": "null"}}}, {"n": 1}, "input.n", "type 'null'"),
        (
            {"$defs": {"n": {"type": "null"}}, "properties": {"a": {"$ref": "#/$defs/n"}}},
            {"a": 1},
            "input.a",
            "type 'null'",
        ),
    ],
)
def test_a_mismatch_is_said_with_its_place(
    schema: dict[str, Any], value: object, where: str, what: str
) -> None:
    check_schema(schema, "inputSchema")
    found = mismatch(schema, value, "input")
    assert found is not None and found[0] == where and what in found[1]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"additionalProperties": False, "patternProperties": {"^x": {}}, "properties": {"a": {}}},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}},
    ],
)
def test_what_matches_is_no_mismatch(schema: dict[str, Any]) -> None:
    check_schema(schema, "inputSchema")
    assert mismatch(schema, {"a": 1, "xy": 2} if "patternProperties" in schema else {}, "i") is None


@pytest.mark.parametrize(
    ("schema", "field", "what"),
    [
        ({"type": "text"}, "inputSchema.type", "'text' is not valid"),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "inputSchema", "RE2"),
        ({"patternProperties": {"(?!x)": {}}}, "inputSchema", "RE2"),
        ({"$ref": "https://example.com/schema"}, "inputSchema", "points out of the schema"),
        ({"items": [{"$ref": "file:///etc/passwd"}]}, "inputSchema", ""),
        ({"description": "x" * 200_000}, "inputSchema", "100000"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(
    schema: dict[str, Any], field: str, what: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        check_schema(schema, "inputSchema")
    assert what in refused.value.message
    assert refused.value.details["field"].startswith(field)


def test_a_pattern_that_would_take_for_ever_takes_no_time() -> None:
    schema = {"pattern": "^(a+)+$"}
    check_schema(schema, "inputSchema")
    assert mismatch(schema, "a" * 50_000 + "!", "input") is not None


def test_a_schema_that_goes_round_in_circles_is_a_mismatch() -> None:
    schema = {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}
    check_schema(schema, "inputSchema")
    found = mismatch(schema, {}, "input")
    assert found is not None and "nests too deeply" in found[1]


def test_a_reference_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"#/\$defs/none"):
        check_schema({"properties": {"a": {"$ref": "#/$defs/none"}}}, "inputSchema")
