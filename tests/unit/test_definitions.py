"""Definitions: where an input may go, and what becomes of it there."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.definition import (
    JobDefinition,
    check,
    filled_args,
    filled_environment,
    with_defaults,
)
from console_automation.errors import BadRequest

SCHEMA = {"properties": {"file": {"type": "string"}, "n": {"default": 3}, "all": {}}}


def definition(**fields: Any) -> JobDefinition:
    return JobDefinition(**{"name": "d", "command": "c", "input_schema": SCHEMA, **fields})


def test_an_input_takes_the_place_of_a_whole_argument() -> None:
    each = definition(args=("-n", "{n}", "--", "{file}", "{other}"))
    given = {"n": 5, "file": "; rm -rf / {n}"}
    assert filled_args(each, given) == ("-n", "5", "--", "; rm -rf / {n}", "{other}")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["a b", 1, None], ("a b", "1", "null")),
        ([], ()),
        (None, ()),
        (True, ("true",)),
        (1.5, ("1.5",)),
        ({"ä": 1}, ('{"ä": 1}',)),
        ("", ("",)),
    ],
)
def test_a_list_takes_as_many_places_as_it_has_elements_and_null_takes_none(
    value: object, words: tuple[str, ...]
) -> None:
    assert filled_args(definition(args=("x", "{all}")), {"all": value}) == ("x", *words)


def test_what_was_not_given_takes_no_place_and_sets_no_variable() -> None:
    each = definition(args=("{file}",), environment={"FILE": "{file}", "FIX": "{x}y"})
    assert filled_args(each, {}) == ()
    assert filled_environment(each, {}) == {"FIX": "{x}y", "CONSOLE_AUTOMATION_INPUT": "{}"}


def test_a_variable_has_its_input_and_one_has_all_of_it() -> None:
    each = definition(environment={"FILE": "{file}", "ALL": "{all}"})
    given = {"file": "$(x)", "all": [1, "b"]}
    variables = filled_environment(each, given)
    assert variables["FILE"] == "$(x)" and variables["ALL"] == '[1, "b"]'
    assert json.loads(variables["CONSOLE_AUTOMATION_INPUT"]) == given


@given(st.dictionaries(st.sampled_from(["file", "n", "all"]), st.text()))
def test_no_text_is_ever_read_as_a_place_again(given: dict[str, str]) -> None:
    each = definition(args=("{file}", "{n}", "{all}"))
    assert filled_args(each, given) == tuple(given[n] for n in ("file", "n", "all") if n in given)


def test_defaults_are_filled_in_where_nothing_was_given() -> None:
    assert with_defaults(definition(), {"file": "f"}) == {"file": "f", "n": 3}
    assert with_defaults(definition(), {"n": None}) == {"n": None}


@pytest.mark.parametrize(
    ("fields", "field", "fix"),
    [
        ({"command": "cat {file} | wc"}, "command", '"$FILE"'),
        ({"args": ("--file={file}",)}, "args.0", '"{file}"'),
        ({"args": ("-x", "{fil}")}, "args.1", "known: file, n, all"),
        ({"environment": {"A": "{file}/x"}}, "environment.A", "a place of its own"),
        ({"environment": {"A": "{b}"}}, "environment.A", "inputSchema.properties"),
    ],
)
def test_an_input_that_could_not_get_there_whole_is_refused(
    fields: dict[str, Any], field: str, fix: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        check(definition(**fields))
    assert refused.value.details["field"] == field
    assert fix in refused.value.message


def test_braces_that_name_no_input_are_left_alone() -> None:
    check(definition(command="awk '{print}'", args=None))
    check(definition(args=('{"a": 1}', "{}", "{a b}", "x{y}")))


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ({}, True),
        ({"tags": ["x", "text"]}, True),
        ({"tags": ["x"]}, False),
        ({"labels": {"a": "1"}}, True),
        ({"labels": {"a": "1", "c": "3"}}, False),
        ({"query": "COUNT"}, True),
        ({"query": "nothing"}, False),
    ],
)
def test_any_tag_all_labels_and_the_text_have_to_match(
    wanted: dict[str, Any], matches: bool
) -> None:
    each = definition(
        name="lines", description="Count them.", tags=("text",), labels={"a": "1", "b": "2"}
    )
    assert each.matches(**{"tags": [], "labels": {}, "query": "", **wanted}) is matches
