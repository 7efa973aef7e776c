"""Workflows that could not be carried out are refused, and the message says what would be right."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.workflow import Step, Workflow, check, order
from console_automation.errors import BadRequest


def step(step_id: str, *parents: str, **fields: Any) -> Step:
    return Step(id=step_id, job="any", depends_on=parents, **fields)


@pytest.mark.parametrize(
    ("steps", "field", "why"),
    [
        ([], "steps", "steps: a workflow needs one at least."),
        (
            [step("a"), step("a")],
            "steps.1.id",
            "step 'a', id: step 0 has this id too; each needs its own.",
        ),
        (
            [step("extract"), step("b", "extrct")],
            "steps.1.dependsOn",
            "step 'b', dependsOn: there is no step 'extrct'; did you mean 'extract'?",
        ),
        ([step("a", "a")], "steps.0.dependsOn", "step 'a', dependsOn: it cannot depend on itself."),
        (
            [step("a"), step("b", "a", "a")],
            "steps.1.dependsOn",
            "step 'b', dependsOn: 'a' stands there twice.",
        ),
        (
            [step("x"), step("a", "x", "c"), step("b", "a"), step("c", "b"), step("d", "c")],
            "steps.1.dependsOn",
            "step 'a', dependsOn: steps wait for each other: a → c → b → a.",
        ),
        (
            [step("a", condition="input.x ==")],
            "steps.0.condition",
            "step 'a', condition: character 11: a value was expected, not its end.",
        ),
        (
            [step("a"), step("b", condition="steps.a.status == 'completed'")],
            "steps.1.condition",
            "step 'b', condition: steps.a.status: step 'a' need not be over by then; put it into"
            " dependsOn.",
        ),
        (
            [step("a"), step("b", "a", input={"x": [{"$from": "steps.c.result"}]})],
            "steps.1.input",
            "step 'b', input: steps.c.result: there is no step 'c'.",
        ),
        (
            [step("a", input={"x": {"$from": "input.x", "default": 1}})],
            "steps.0.input",
            "step 'a', input: an object with $from has nothing else, and a path:"
            ' {"$from": "input.x"}.',
        ),
        (
            [step("a", input={"x": {"$from": "env.HOME"}})],
            "steps.0.input",
            "step 'a', input: 'env.HOME' is no path; one begins with input, or with steps and a step's"
            " id: steps.extract.result.rows[0].",
        ),
    ],
)
def test_a_mistake_is_named_with_its_step_and_field(
    steps: list[Step], field: str, why: str
) -> None:
    with pytest.raises(BadRequest) as raised:
        check(Workflow(name="w", steps=tuple(steps)))
    assert raised.value.message == why
    assert raised.value.details["field"] == field


def test_a_step_may_speak_of_any_of_its_ancestors() -> None:
    check(
        Workflow(
            name="w",
            steps=(
                step("c", "b", condition="steps.a.result.ok", input={"$from": "steps.a.result"}),
                step("b", "a"),
                step("a"),
            ),
        )
    )


def test_a_cycle_of_any_length_is_found_and_shown_in_few_words() -> None:
    steps = [step(f"s{n}", f"s{(n + 1) % 1000}") for n in range(1000)]
    with pytest.raises(BadRequest) as raised:
        check(Workflow(name="w", steps=tuple(steps)))
    assert len(raised.value.message) < 200 and raised.value.message.endswith("… → s0.")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15))
def test_just_the_graphs_without_cycles_are_accepted(arrows: list[tuple[int, int]]) -> None:
    parents: dict[int, set[int]] = {number: set() for number in range(7)}
    for child, parent in arrows:
        parents[child].add(parent)
    steps = tuple(step(f"s{n}", *(f"s{p}" for p in sorted(above))) for n, above in parents.items())

    def reaches(start: int, goal: int, seen: frozenset[int] = frozenset()) -> bool:
        return any(
            p == goal or (p not in seen and reaches(p, goal, seen | {p})) for p in parents[start]
        )

    if any(reaches(number, number) for number in parents):
        with pytest.raises(BadRequest):
            check(Workflow(name="w", steps=steps))
    else:
        check(Workflow(name="w", steps=steps))
        place = {each.id: number for number, each in enumerate(order(steps))}
        assert len(place) == 7
        assert all(place[p] < place[each.id] for each in steps for p in each.depends_on)
