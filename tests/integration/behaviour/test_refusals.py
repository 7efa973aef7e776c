"""Every documented error: what is refused is refused with its code, says why, and changes nothing.

Promise 27: bad input of any kind gets a structured error (what cannot be said in JSON at all is in
`tests/integration/test_bad_input.py`).
"""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import SETTINGS, Gate
from tests.integration.steps import ok, refused, start
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASYNC = "console_execute_async"
COMMAND = "console_execute_command"
STATUS = "console_get_job_status"
OUTPUT = "console_get_job_output"
X = {"command": "true"}

INVALID: list[tuple[str, dict[str, Any], str, str]] = [
    (ASYNC, {}, "command", "missing"),
    (ASYNC, {"command": ""}, "command", "at least 1"),
    (ASYNC, {"command": 5}, "command", "(it was 5)"),
    (ASYNC, {"command": "a\0b"}, "command", "NUL"),
    (ASYNC, {**X, "args": ["a\0b"]}, "args.0", "NUL"),
    (ASYNC, {**X, "args": "not a list"}, "args", "list"),
    (ASYNC, {**X, "comand": 1}, "comand", "Did you mean 'command'?"),
    (ASYNC, {**X, "options": {"timout": 1}}, "options.timout", "Did you mean 'timeout'?"),
    (ASYNC, {**X, "options": {"retry": {"max": 1}}}, "options.retry.max", "maxAttempts"),
    (ASYNC, {**X, "options": []}, "options", "(it was a list of 0)"),
    (ASYNC, {**X, "options": {"timeout": -1}}, "options.timeout", "(it was -1)"),
    (ASYNC, {**X, "options": {"timeout": 1e308}}, "options.timeout", "(it was 1e+308)"),
    (ASYNC, {**X, "options": {"timeout": "5"}}, "options.timeout", "(it was '5')"),
    (ASYNC, {**X, "options": {"timeout": True}}, "options.timeout", "(it was True)"),
    (ASYNC, {**X, "options": {"idleTimeout": 0}}, "options.idleTimeout", "(it was 0)"),
    (ASYNC, {**X, "options": {"waitMs": -5}}, "options.waitMs", "(it was -5)"),
    (ASYNC, {**X, "options": {"priority": "5"}}, "options.priority", "(it was '5')"),
    (ASYNC, {**X, "options": {"priority": 0}}, "options.priority", "(it was 0)"),
    (ASYNC, {**X, "options": {"priority": 11}}, "options.priority", "(it was 11)"),
    (ASYNC, {**X, "options": {"priority": True}}, "options.priority", "(it was True)"),
    (ASYNC, {**X, "options": {"priority": 5.5}}, "options.priority", "(it was 5.5)"),
    (ASYNC, {**X, "options": {"name": "n" * 201}}, "options.name", "200"),
    (ASYNC, {**X, "options": {"name": ""}}, "options.name", "at least 1"),
    (ASYNC, {**X, "options": {"tags": {"a": 1}}}, "options.tags.a", "(it was 1)"),
    (ASYNC, {**X, "options": {"environment": {"A=B": "c"}}}, "options.environment", "'A=B'"),
    (ASYNC, {**X, "options": {"environment": {"": "c"}}}, "options.environment", "''"),
    (ASYNC, {**X, "options": {"environment": {"A": "b\0c"}}}, "options.environment", "NUL"),
    (ASYNC, {**X, "options": {"outputLimitBytes": 1}}, "options.outputLimitBytes", "65536"),
    (ASYNC, {**X, "options": {"onOutputLimit": "panic"}}, "options.onOutputLimit", "drop_oldest"),
    (ASYNC, {**X, "options": {"retry": {"maxAttempts": 0}}}, "options.retry.maxAttempts", "0"),
    (ASYNC, {**X, "options": {"retry": {"on": ["bad"]}}}, "options.retry.on.0", "exit_code"),
    (ASYNC, {**X, "options": {"dependsOn": ["job-no"]}}, "options.dependsOn", "'job-no'"),
    (ASYNC, {**X, "options": {"workingDirectory": "here"}}, "options.workingDirectory", "absolute"),
    (ASYNC, {**X, "args": [], "options": {"shell": True}}, "options.shell", "literally"),
    (ASYNC, {"command": "true", "args": ["x" * 140_000]}, "command", "131071"),
    (COMMAND, {"command": "x" * (1 << 20) + "y"}, "command", "1048576"),
    (COMMAND, {**X, "options": {"timeout": -1}}, "options.timeout", "(it was -1)"),
    (COMMAND, {**X, "options": {"sessionId": "s"}}, "options.sessionId", "Known"),
    (STATUS, {}, "jobId", "missing"),
    (STATUS, {"jobId": ""}, "jobId", "at least 1"),
    (STATUS, {"jobId": "j" * 101}, "jobId", "100"),
    (STATUS, {"jobId": None}, "jobId", "(it was None)"),
    (STATUS, {"jobId": "job-no", "waitMs": -1}, "waitMs", "(it was -1)"),
    (OUTPUT, {"jobId": "j", "options": {"since": -1}}, "options.since", "(it was -1)"),
    (OUTPUT, {"jobId": "j", "options": {"limit": 0}}, "options.limit", "(it was 0)"),
    (OUTPUT, {"jobId": "j", "options": {"tail": 1.5}}, "options.tail", "(it was 1.5)"),
    (OUTPUT, {"jobId": "j", "options": {"stream": "std"}}, "options.stream", "stderr"),
    (OUTPUT, {"jobId": "j", "options": {"grep": "("}}, "options.grep", "RE2"),
    (OUTPUT, {"jobId": "j", "options": {"grep": r"(a)\1"}}, "options.grep", "RE2"),
    ("console_cancel_job", {"jobId": "j", "signal": "SIGSTOP"}, "signal", "SIGTERM"),
    ("console_cancel_job", {"jobId": "j", "graceMs": -1}, "graceMs", "(it was -1)"),
    ("console_list_jobs", {"options": {"status": "ready"}}, "options.status", "pending"),
    ("console_list_jobs", {"options": {"limit": 1001}}, "options.limit", "1000"),
    ("console_get_job_metrics", {"verbose": True}, "verbose", "Known: none"),
    ("console_get_job_metrics", {"operation": "x"}, "operation", "Known: none"),
    ("console_get_job_metrics", {"self": 1}, "self", "Known: none"),
    ("console_cleanup_jobs", {"options": {"maxAge": -1}}, "options.maxAge", "(it was -1)"),
    (
        "console_cleanup_jobs",
        {"options": {"statuses": ["running"]}},
        "options.statuses.0",
        "failed",
    ),
    ("console_cleanup_jobs", {"options": {"statuses": []}}, "options.statuses", "at least 1"),
    ("console_wait_for_jobs", {"jobIds": []}, "jobIds", "at least 1"),
    ("console_wait_for_jobs", {"jobIds": "job-1"}, "jobIds", "list"),
    ("console_wait_for_jobs", {"jobIds": ["j"], "mode": "some"}, "mode", "'any'"),
    ("console_wait_for_jobs", {"jobIds": ["j"], "timeout": -1}, "timeout", "(it was -1)"),
    ("console_retry_job", {"jobId": 7}, "jobId", "(it was 7)"),
    ("console_send_job_input", {"jobId": "j"}, "input", "missing"),
    ("console_send_job_input", {"jobId": "j", "input": "x", "eof": 1}, "eof", "(it was 1)"),
    ("console_no_such_tool", {}, "name", "no tool"),
    ("console_list_job", {}, "name", "Did you mean 'console_list_jobs'?"),
]


async def jobs_on_record(client: Client) -> int:
    """Return how many jobs there are."""
    figures = (await ok(client, "console_get_job_metrics"))["metrics"]
    total: int = figures["totalJobs"]
    return total


async def test_bad_arguments_are_refused_with_field_value_and_remedy(client: Client) -> None:
    before = await jobs_on_record(client)
    for tool, arguments, field, say in INVALID:
        error = await refused(client, tool, **arguments)
        where = (tool, arguments if len(str(arguments)) < 200 else "long", error)
        assert error["code"] == "INVALID_ARGUMENT", where
        assert error["details"]["field"] == field, where
        assert say in error["error"], where
        assert len(error["error"]) < 600, where
    assert await jobs_on_record(client) == before


@pytest.mark.parametrize("tool", [ASYNC, COMMAND])
async def test_what_cannot_be_run_is_refused_before_a_job_exists(
    client: Client, tool: str, tmp_path: Path
) -> None:
    plain = tmp_path / "plain"
    plain.write_text("no program")
    before = await jobs_on_record(client)
    for arguments, code, detail in (
        ({"command": "no-such-program"}, "COMMAND_NOT_FOUND", ("command", "no-such-program")),
        ({"command": "two words", "args": []}, "COMMAND_NOT_FOUND", ("command", "two words")),
        ({"command": str(plain)}, "PERMISSION_DENIED", ("command", str(plain))),
        (
            {**X, "options": {"workingDirectory": str(plain)}},
            "WORKING_DIRECTORY_NOT_FOUND",
            ("workingDirectory", str(plain)),
        ),
    ):
        error = await refused(client, tool, **arguments)  # type: ignore[arg-type]
        assert error["code"] == code
        assert error["details"][detail[0]] == detail[1]
        assert detail[1] in error["error"]
    assert await jobs_on_record(client) == before


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        (STATUS, {"jobId": "job-no"}),
        (OUTPUT, {"jobId": "job-no"}),
        ("console_cancel_job", {"jobId": "job-no"}),
        ("console_wait_for_jobs", {"jobIds": ["job-no"]}),
        ("console_retry_job", {"jobId": "job-no"}),
        ("console_send_job_input", {"jobId": "job-no", "input": "x"}),
    ],
)
async def test_an_unknown_job_is_named_and_the_way_to_the_known_ones_too(
    client: Client, tool: str, arguments: dict[str, Any]
) -> None:
    error = await refused(client, tool, **arguments)
    assert (error["code"], error["details"]["jobId"]) == ("JOB_NOT_FOUND", "job-no")
    assert "'job-no'" in error["error"] and "console_list_jobs" in error["error"]


async def test_more_waiting_jobs_than_the_limit_are_refused(client: Client, gate: Gate) -> None:
    first = await start(client, gate.wait)
    waiting: list[str] = []

    async def full() -> dict[str, Any] | None:
        answer = await client.call(ASYNC, {**X, "options": {"dependsOn": [first]}})
        waiting.extend([answer.structured["jobId"]] if not answer.is_error else [])
        return answer.structured if answer.is_error else None

    error = await until(full)
    assert error is not None and error["code"] == "LIMIT_REACHED"
    assert len(waiting) == SETTINGS["max_pending_jobs"]
    gate.open()

    async def all_over() -> bool:
        return not (await ok(client, "console_wait_for_jobs", jobIds=waiting))["unfinished"]

    await until(all_over)
