"""The expressions of workflows: what they mean, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.expression import (
    DEEPEST,
    LONGEST,
    ExpressionError,
    parse_condition,
    parse_path,
)

SCOPE: dict[str, Any] = {
    "input": {"mode": "full", "n": 3, "yes": True, "no": False, "none": None, "a b": [1, [2]]},
    "steps": {
        "extract": {"status": "completed", "result": {"rows": [{"id": 7}], "count": 1}},
        "load-2": {"status": "failed"},
    },
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("input.mode", "full"),
        ('input["a b"][1][0]', 2),
        ("input['a b'][0]", 1),
        ("steps.extract.result.rows[0].id", 7),
        ("steps.load-2.status", "failed"),
        ("input", SCOPE["input"]),
    ],
)
def test_a_path_leads_to_its_value(text: str, value: Any) -> None:
    assert parse_path(text).find(SCOPE) == value


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("input.gone", "input has no 'gone'"),
        ("input.mode.x", "input.mode has no 'x'"),
        ("steps.extract.result.rows[1]", "steps.extract.result.rows has no 1"),
        ("steps.load-2.result", "steps.load-2 has no 'result'"),
        ("input[0]", "input has no 0"),
    ],
)
def test_a_path_without_a_value_says_where_it_breaks_off(text: str, lacking: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse_path(text).find(SCOPE)
    assert str(raised.value) == f"{text} has no value: {lacking}"


@pytest.mark.parametrize(
    "text",
    [
        *("", "output.x", "input.", "input..x", " input", "input.x ", "inputs", "input[-1]"),
        *("input[x]", "input.x == 1", "steps", "steps.a", "steps.a.output", "steps.a.status2"),
        "steps[0].status",
    ],
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_path(text)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("true", True),
        ("not false and true or false", True),
        ("not (true or true)", False),
        ("false or true and false", False),
        ("input.mode == 'full'", True),
        ('input.mode in ["daily", "full"]', True),
        ("input.mode not in ['full']", False),
        ("'ul' in input.mode", True),
        ("'mode' in input", True),
        ("'gone' in input", False),
        ("input.n >= 3 and input.n < 3.5", True),
        ("input.n != 3", False),
        ("input.n == 3.0", True),
        ("input.yes == 1", False),
        ("[1] == [true]", False),
        ("input.none == null", True),
        ("input.yes", True),
        ("steps.extract.status == 'completed' and steps.extract.result.count > 0", True),
        ("steps.load-2.status == 'completed' and steps.load-2.result.count > 0", False),
        ("input.no == false or input.gone", True),
        ("'a' < 'b'", True),
        ("-1e2 < 0", True),
        ("'say \\'hi\\'' == \"say 'hi'\"", True),
    ],
)
def test_a_condition_holds_or_does_not(text: str, holds: bool) -> None:
    assert parse_condition(text).holds(SCOPE) is holds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("input.n", "the condition wants true or false, not a number"),
        ("not input.mode", "not wants true or false, not a text"),
        ("input.n and true", "and wants true or false, not a number"),
        ("input.n < input.mode", "a number and a text have no order"),
        ("input.yes < 1", "true and a number have no order"),
        ("1 in input.mode", "in cannot look for a number in a text"),
        ("input.gone == 1", "input.gone has no value: input has no 'gone'"),
    ],
)
def test_values_of_the_wrong_kind_are_errors_and_not_guesses(text: str, why: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse_condition(text).holds(SCOPE)
    assert str(raised.value) == why


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "character 1: a value was expected, not its end"),
        ("input.n = 1", "character 9: nothing known begins with '='"),
        ("input.n == 1 2", "character 14: and, or, a comparison or the end was expected, not 2"),
        ("1 < 2 < 3", "character 7: and, or, a comparison or the end was expected, not <"),
        ("(true", "character 6: ')' was expected, not its end"),
        ("and", "character 1: a value was expected, not and"),
        ("exit(1)", "character 1: a value was expected, not exit"),
        ("input.n == __import__", "character 12: a value was expected, not __import__"),
        ("1 + 1", "character 3: nothing known begins with '+'"),
        ("'open", 'character 1: nothing known begins with "\'"'),
        ("not in [1]", "character 5: a value was expected, not in"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_place(text: str, why: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse_condition(text)
    assert str(raised.value) == why


def test_a_condition_is_bounded_in_length_and_depth() -> None:
    for text in ("(" * 500 + "true" + ")" * 490, "not " * (DEEPEST + 1) + "true", "[" * 999):
        with pytest.raises(ExpressionError, match="nested more than"):
            parse_condition(text)
    with pytest.raises(ExpressionError, match=f"may have {LONGEST} characters"):
        parse_condition("true or " * 200 + "true")
    assert parse_condition("(" * DEEPEST + "true" + ")" * DEEPEST).holds({})


def test_a_condition_says_which_paths_it_mentions() -> None:
    condition = parse_condition("steps.a.status == 'failed' or input.x in steps.b.result")
    assert [path.step for path in condition.paths] == ["a", None, "b"]


@given(st.text(alphabet="input.steps ab01()[]=<>!'\"\\,andornt-", max_size=60))
def test_any_text_is_a_condition_or_refused_and_never_anything_else(text: str) -> None:
    try:
        parse_condition(text).holds(SCOPE)
    except ExpressionError:
        pass
