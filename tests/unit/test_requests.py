"""What clients ask is checked strictly, whatever it is.

Promise 27: bad input of any kind gets a structured error in bounded time. Here nothing but Python
stands between the input and the operations; what JSON lines and HTTP make of it is tested in
`tests/integration/test_bad_input.py`.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from console_automation.engine.engine import Engine
from console_automation.operations import (
    definition_requests,
    requests,
    schedule_requests,
    session_requests,
)
from console_automation.operations.operation import Answer
from console_automation.operations.submission import Call
from console_automation.operations.table import OPERATIONS, invoke
from tests.builders import engine_of
from tests.conftest import Build
from tests.waiting import until

CALL = Call(client="test", environment={"PATH": "/usr/bin:/bin"}, cwd="/")
ATTACK = hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck)
)
MODELS = [
    each
    for module in (requests, session_requests, definition_requests, schedule_requests)
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, requests.Request)
]


@pytest.fixture
async def engine(build: Build, tmp_path: Path) -> Engine:
    """The whole engine on the in-memory adapters; no call waits."""
    return engine_of(await build(max_wait_ms=0), tmp_path)


# -- anything at all -------------------------------------------------------------------------------

_TEXT = st.text(st.characters(codec=None), max_size=20)  # lone surrogates and NUL included
_NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from([10**400, -(10**400), 2**63, 1e308, 0.1, -0.0])
)
_ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_TEXT, inner, max_size=4)),
    max_leaves=10,
)


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _arguments(model: type[BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    """Arguments that have at least the right names, so that the check gets past them."""
    fields: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(_names(model), _ANYTHING)
    if "options" in fields:
        kind = model.model_fields["options"].annotation
        options = next(each for each in MODELS if each in (kind, *getattr(kind, "__args__", ())))
        several = st.dictionaries(st.sampled_from(_names(options)), _ANYTHING, max_size=4)
        fields["options"] = st.one_of(several, _ANYTHING)
    for name in ("command", "jobId", "sessionId", "input"):
        if name in fields:
            fields[name] = st.one_of(
                st.sampled_from(["exit 1", "job-0001", "session-0001", "true"]), _ANYTHING
            )
    return st.fixed_dictionaries({}, optional=fields)


@pytest.mark.parametrize("tool", OPERATIONS)
@ATTACK
@given(data=st.data())
async def test_no_arguments_whatever_break_a_tool(
    engine: Engine, tool: str, data: st.DataObject
) -> None:
    arguments = data.draw(st.one_of(_arguments(OPERATIONS[tool].request), _ANYTHING))
    _is_sound(await invoke(engine, tool, arguments, CALL), arguments)


def _is_sound(answer: Answer, arguments: Any) -> None:
    assert answer.view["success"] is not answer.is_error
    if answer.is_error:
        assert answer.view["code"] != "INTERNAL", arguments
        assert 0 < len(answer.view["error"]) < 2000, arguments
    answer.text.encode("utf-8")


@ATTACK
@given(name=st.text(st.characters(codec=None)))
async def test_no_name_whatever_is_a_tool_by_accident(engine: Engine, name: str) -> None:
    answer = await invoke(engine, name, {}, CALL)
    assert answer.is_error and answer.view["code"] == "INVALID_ARGUMENT"
    answer.text.encode("utf-8")


# -- what is too much ------------------------------------------------------------------------------


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def chained(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"options": value}
    return value


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": nested(100_000)},
        {"command": "true", "options": {"tags": {"a": nested(100_000)}}},
        {"command": "true", "args": nested(100_000)},
        chained(100_000),
        nested(100_000),
        {"command": "true", "x" * 10_000_000: 1},
        {"command": "y" * 10_000_000},
        {"command": "true", "options": {"z" * 10_000_000: 1}},
        {"command": "true", "args": ["a"] * 1_000_000},
        {"command": "true", "options": {"tags": {str(n): "" for n in range(100_000)}}},
        {"command": "true", "options": {"environment": {"e" * 10_000_000: ""}}},
        {"command": "true", "options": {"dependsOn": ["job-1"] * 100_000}},
        "y" * 10_000_000,
        {"command": "true", **{f"unknown{n}": n for n in range(300_000)}},
        {"command": "true", "options": {f"unknown{n}": n for n in range(300_000)}},
        {"command": 10**10_000},
    ],
    ids=lambda value: type(value).__name__,
)
async def test_what_is_too_deep_or_too_long_is_refused_in_few_words(
    engine: Engine, arguments: Any
) -> None:
    answer = await invoke(engine, "console_execute_async", arguments, CALL)
    assert answer.view["code"] == "INVALID_ARGUMENT"
    assert len(answer.view["error"]) < 2000 and len(str(answer.view["details"])) < 2000
    assert engine.jobs.ledger.counts.total() == 0


async def test_a_name_as_long_as_a_book_is_refused_in_few_words(engine: Engine) -> None:
    answer = await invoke(engine, "console_list_jobs" * 1_000_000, {}, CALL)
    assert answer.view["code"] == "INVALID_ARGUMENT" and len(answer.text) < 1000


# -- strictness ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_nothing_unknown_is_ignored_and_names_are_as_on_the_wire(
    model: type[requests.Request],
) -> None:
    names = _names(model)
    assert all(name.isalnum() and name[0].islower() for name in names)
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"surprise": 1})
    assert "extra_forbidden" in {error["type"] for error in caught.value.errors()}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e308, -1, "5", True])
@pytest.mark.parametrize(
    ("tool", "where"),
    [
        ("console_execute_async", "options.timeout"),
        ("console_execute_async", "options.idleTimeout"),
        ("console_execute_async", "options.waitMs"),
        ("console_execute_async", "options.retry.backoffMs"),
        ("console_execute_async", "options.retry.maxBackoffMs"),
        ("console_execute_async", "options.retry.backoffMultiplier"),
        ("console_execute_command", "options.timeout"),
        ("console_get_job_status", "waitMs"),
        ("console_get_job_output", "options.waitMs"),
        ("console_cancel_job", "graceMs"),
        ("console_wait_for_jobs", "timeout"),
        ("console_cleanup_jobs", "options.maxAge"),
    ],
)
async def test_a_duration_that_is_none_is_refused_by_name(
    engine: Engine, tool: str, where: str, value: Any
) -> None:
    answer = await invoke(engine, tool, _with(tool, where, value), CALL)
    assert answer.view["code"] == "INVALID_ARGUMENT"
    assert answer.view["details"]["field"] == where


def _with(tool: str, where: str, value: Any) -> dict[str, Any]:
    """Return good arguments of a tool with one bad value among them."""
    good: Mapping[str, Any] = {
        "console_execute_async": {"command": "true"},
        "console_execute_command": {"command": "true"},
        "console_get_job_status": {"jobId": "job-1"},
        "console_get_job_output": {"jobId": "job-1"},
        "console_cancel_job": {"jobId": "job-1"},
        "console_wait_for_jobs": {"jobIds": ["job-1"]},
        "console_cleanup_jobs": {},
    }
    arguments: dict[str, Any] = dict(good[tool])
    at = arguments
    *path, last = where.split(".")
    for name in path:
        at = at.setdefault(name, {})
    at[last] = value
    return arguments


async def test_what_was_asked_is_on_record_with_its_outcome(engine: Engine) -> None:
    await invoke(engine, "console_execute_async", {"command": "exit 1"}, CALL)
    await invoke(engine, "console_execute_async", {"command": 5}, CALL)
    await invoke(engine, "console_cancel_job", {"jobId": "job\x1b[31m\nx"}, CALL)
    await invoke(engine, "console_cancel_workflow", {"runId": "workflow-1"}, CALL)
    await invoke(engine, "console_get_job_metrics", {}, CALL)
    audit = await engine.jobs.ledger.store.audit(limit=10)
    assert [(entry.operation, entry.outcome, entry.job_id) for entry in audit] == [
        ("console_cancel_workflow", "WORKFLOW_NOT_FOUND", "workflow-1"),
        ("console_cancel_job", "JOB_NOT_FOUND", "job x"),
        ("console_execute_async", "INVALID_ARGUMENT", None),
        ("console_execute_async", "ok", "job-0001"),
    ]


async def test_what_a_client_asked_for_before_it_left_is_on_record(
    build: Build, tmp_path: Path
) -> None:
    engine = engine_of(await build(), tmp_path)
    store = engine.jobs.ledger.store
    arguments = {"command": "sleep 1", "options": {"waitMs": 45_000}}
    call = asyncio.ensure_future(invoke(engine, "console_execute_async", arguments, CALL))
    await until(lambda: engine.jobs.ledger.counts.total() == 1)
    watching = invoke(
        engine, "console_get_job_status", {"jobId": "job-0001", "waitMs": 45_000}, CALL
    )
    for task in (call, asyncio.ensure_future(watching)):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (entry,) = await store.audit(limit=10)
    assert (entry.operation, entry.outcome, entry.detail) == (
        "console_execute_async",
        "given up",
        "sleep 1",
    )
    assert engine.jobs.ledger.active("job-0001") is not None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"command": "x", "timeout": 5}, "'timeout' belongs into options"),
        ({"command": "x", "cwd": "/"}, "'workingDirectory' belongs into options"),
        ({"command": "x", "options": {"env": {}}}, "Did you mean 'environment'?"),
        ({"command": " \n"}, "must not be blank"),
        ({"command": "x", "options": {"name": "two\nlines"}}, "plain text on one line"),
        ({"command": "x", "options": {"name": "\x1b[2J"}}, "plain text on one line"),
    ],
)
async def test_a_near_miss_is_told_what_would_be_right(
    engine: Engine, arguments: dict[str, Any], said: str
) -> None:
    answer = await invoke(engine, "console_execute_async", arguments, CALL)
    assert answer.is_error and said in answer.text


async def test_what_is_wrong_with_all_of_it_is_said_to_be_wrong_with_the_arguments(
    engine: Engine,
) -> None:
    answer = await invoke(engine, "console_execute_workflow", {}, CALL)
    assert answer.text == (
        "INVALID_ARGUMENT: arguments: give name, or rerunOf (it was an object with 0 fields)."
    )


async def test_a_cursor_that_no_page_gave_is_refused(engine: Engine) -> None:
    answer = await invoke(engine, "console_list_jobs", {"options": {"cursor": "zzz"}}, CALL)
    assert answer.is_error and "must be the nextCursor of a page" in answer.text


async def test_an_unknown_tool_is_not_taken_for_a_dangerous_one(engine: Engine) -> None:
    answer = await invoke(engine, "console_nope", {}, CALL)
    assert "Did you mean" not in answer.text and "console_execute_command" in answer.text
