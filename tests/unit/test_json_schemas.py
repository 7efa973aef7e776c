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
        {"properties": {"$id": {}, "unevaluatedProperties": {}, "enum": {"enum": ["(?=x)"]}}},
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
        ({"properties": {"default": {"pattern": "(?=x)"}}}, "inputSchema", "RE2"),
        ({"$defs": {"enum": {"$ref": "https://example.com/"}}}, "inputSchema", "points out"),
        ({"$ref": "#/default", "default": {"pattern": "(?=x)"}}, "inputSchema", "RE2"),
        ({"$ref": "#/x", "x": {"type": "text"}}, "inputSchema", "'text' is not valid"),
        ({"$ref": "#/description", "description": "x"}, "inputSchema", "no schema"),
        ({"$ref": "#/required/0", "required": ["a"]}, "inputSchema", "no schema"),
        ({"items": {"$id": "x", "type": "null"}}, "inputSchema", "at the top only"),
        ({"unevaluatedProperties": False}, "inputSchema", "use additionalProperties"),
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


@pytest.mark.parametrize(
    ("items", "is_unique"),
    [
        ([1, True, "1", [1], [True], {"a": 1}, {"a": True}, None], True),
        ([1, 1.0], False),
        ([{"a": [1], "b": 2}, {"b": 2.0, "a": [1]}], False),
        ([[False], [0], [False]], False),
    ],
)
def test_items_are_unique_as_json_has_it(items: list[object], is_unique: bool) -> None:
    found = mismatch({"uniqueItems": True}, items, "input")
    assert (found is None) is is_unique


class Counted(dict[str, int]):
    """An object that counts how often somebody asks for its size, as who compares it does."""

    asked = 0

    def __len__(self) -> int:
        Counted.asked += 1
        return super().__len__()


def test_to_tell_whether_items_are_unique_does_not_compare_each_with_each() -> None:
    items = [Counted(n=number) for number in range(300)]
    assert mismatch({"uniqueItems": True}, items, "input") is None
    assert Counted.asked <= 300


def test_of_a_hundred_thousand_mistakes_the_first_hundred_are_looked_at() -> None:
    found = mismatch({"items": {"type": "string"}}, list(range(100_000)), "input")
    assert found is not None and int(found[0].removeprefix("input.")) < 100


def test_a_number_that_the_library_cannot_reckon_with_is_a_mismatch() -> None:
    found = mismatch({"multipleOf": 0.1}, 10**400, "input")
    assert found is not None and "cannot be held against the schema" in found[1]
