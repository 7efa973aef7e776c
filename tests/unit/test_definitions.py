"""Definitions: where an input may go, and what becomes of it there."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.adapters.memory import MemoryDefinitions, MemoryStore
from console_automation.core.access import LOCAL, Principal
from console_automation.core.definition import (
    JobDefinition,
    check,
    filled_args,
    filled_environment,
    with_defaults,
)
from console_automation.engine.definitions import Definitions
from console_automation.errors import AccessDenied, BadRequest
from tests.builders import definitions_of
from tests.conftest import Build
from tests.waiting import until

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


# -- the registry ----------------------------------------------------------------------------------


class SlowDefinitions(MemoryDefinitions):
    """Definitions whose writes end when a test says so."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store._done)
        self.begun = 0
        self.gate = asyncio.Event()

    def save(self, definition: JobDefinition) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._slowly(super().save, definition))

    def delete(self, name: str) -> asyncio.Future[None]:
        return asyncio.ensure_future(self._slowly(super().delete, name))

    async def _slowly(self, write: Any, what: Any) -> None:
        self.begun += 1
        await self.gate.wait()
        await write(what)


Registry = tuple[Definitions, SlowDefinitions]


@pytest.fixture
async def registry(build: Build, tmp_path: Path) -> Registry:
    store = MemoryStore()
    slow = store.definitions = SlowDefinitions(store)
    return definitions_of(await build(store=store), tmp_path), slow


async def test_what_its_client_does_not_wait_for_is_kept_and_forgotten_all_the_same(
    registry: Registry,
) -> None:
    definitions, slow = registry

    async def given_up(change: Coroutine[Any, Any, object]) -> None:
        slow.begun = 0
        slow.gate.clear()
        task = asyncio.create_task(change)
        await until(lambda: slow.begun, "the write")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        slow.gate.set()
        await definitions.register(definition(name="after"), LOCAL)

    async def kept() -> list[str]:
        known = [each.name for each in definitions.listed("/", LOCAL)]
        assert known == [each.name for each in await slow.all()]
        return known

    await given_up(definitions.register(definition(), LOCAL))
    assert await kept() == ["after", "d"]
    await given_up(definitions.remove("d", LOCAL))
    assert await kept() == ["after"]


async def test_of_two_who_define_one_name_at_once_the_second_replaces_nothing(
    registry: Registry,
) -> None:
    definitions, slow = registry
    both = [
        asyncio.ensure_future(
            definitions.register(
                definition(command=name),
                Principal(name=name, scopes=frozenset({"definitions:create"})),
            )
        )
        for name in ("a", "b")
    ]
    await until(lambda: slow.begun, "the first write")
    slow.gate.set()
    first, second = await asyncio.gather(*both, return_exceptions=True)
    assert first is False and isinstance(second, AccessDenied)
    assert definitions.find("d", "/", LOCAL).command == "a"
