"""Schedules over every front end: made, looked at, changed, run now, forgotten; and what is refused."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, pages, refused, status
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CREATE, LIST, GET = "console_create_schedule", "console_list_schedules", "console_get_schedule"
UPDATE, RUN, DELETE = (
    "console_update_schedule",
    "console_trigger_schedule",
    "console_delete_schedule",
)
YEARLY = {"cron": "0 0 29 2 *", "timezone": "Asia/Kathmandu"}
NUMBERS = itertools.count()


async def make(client: Client, where: Path, **fields: Any) -> dict[str, Any]:
    """Make a schedule that does not fire while the test runs, unless it is told to."""
    options = {"workingDirectory": str(where), **fields.pop("options", {})}
    wanted = {"name": f"n{next(NUMBERS)}", "command": "true", "trigger": YEARLY, **fields}
    schedule: dict[str, Any] = (await ok(client, CREATE, options=options, **wanted))["schedule"]
    return schedule


async def details(client: Client, schedule: dict[str, Any]) -> dict[str, Any]:
    return await ok(client, GET, scheduleId=schedule["scheduleId"])


async def test_a_schedule_is_shown_as_it_was_made(client: Client, tmp_path: Path) -> None:
    made = await make(
        client,
        tmp_path,
        name="all of it",
        command="/bin/echo",
        args=["a", ""],
        options={"timeout": 5_000, "retry": {"maxAttempts": 4}, "tags": {"t": "v"}},
        metadata={"n": [1, {"deep": None}]},
        missed="all",
        overlap="queue",
        jitterMs=1500,
    )
    shown = {name: value for name, value in made.items() if name not in ("createdAt", "createdBy")}
    assert shown == {
        "scheduleId": made["scheduleId"],
        "name": "all of it",
        "project": str(tmp_path.resolve()),
        "active": True,
        "trigger": YEARLY,
        "version": 1,
        "command": "/bin/echo",
        "args": ["a", ""],
        "workingDirectory": str(tmp_path),
        "timeout": 5_000,
        "maxAttempts": 4,
        "missed": "all",
        "overlap": "queue",
        "jitterMs": 1500,
        "metadata": {"n": [1, {"deep": None}]},
        "nextRun": made["nextRun"],
    }
    assert made["nextRun"].startswith("2028-02-28T18:15:0")
    found = await details(client, made)
    assert found["schedule"] == made
    assert found["history"] == []
    listed = await ok(client, LIST, project=str(tmp_path))
    assert (listed["schedules"], listed["total"]) == ([made], 1)
    await ok(client, DELETE, scheduleId=made["scheduleId"])
    assert (await ok(client, LIST, project=str(tmp_path)))["schedules"] == []


async def test_an_interval_makes_jobs_until_it_is_deactivated(
    client: Client, tmp_path: Path
) -> None:
    command = 'echo "$CONSOLE_AUTOMATION_METADATA in $PWD"'
    made = await make(
        client, tmp_path, command=command, trigger={"everyMs": 1000}, metadata={"n": 1}
    )

    async def fired() -> list[dict[str, Any]]:
        return [e for e in (await details(client, made))["history"] if "endedAt" in e]

    await until(fired)
    stopped = await ok(client, UPDATE, scheduleId=made["scheduleId"], active=False)
    assert stopped["schedule"]["active"] is False and "nextRun" not in stopped["schedule"]
    job_id = (await fired())[-1]["jobId"]
    job = await status(client, job_id)
    assert (job["status"], job["tags"]) == ("completed", {"schedule": made["name"]})
    assert "name" not in job
    (page,) = await pages(client, job_id)
    assert page["output"][0]["content"] == f'{{"n": 1}} in {tmp_path}\n'
    tagged = await ok(client, "console_list_jobs", options={"tags": {"schedule": made["name"]}})
    assert job_id in [each["id"] for each in tagged["jobs"]]


async def test_what_is_run_now_fails_and_is_retried_as_any_job(
    client: Client, tmp_path: Path
) -> None:
    made = await make(
        client,
        tmp_path,
        command="test -e tried || { touch tried; exit 3; }",
        options={"retry": {"maxAttempts": 2, "backoffMs": 1}},
        active=False,
    )
    run = await ok(client, RUN, scheduleId=made["scheduleId"], idempotencyKey="k")
    job = await over(client, run["jobId"])
    assert (job["status"], job["attempt"]) == ("completed", 2)
    again = await ok(client, RUN, scheduleId=made["scheduleId"], idempotencyKey="k")
    assert again["jobId"] == run["jobId"]

    async def ended() -> bool:
        return "endedAt" in (await details(client, made))["history"][0]

    await until(ended)
    found = await details(client, made)
    (execution,) = found["history"]
    assert (execution["status"], execution["version"]) == ("completed", 1)
    assert found["schedule"]["lastJobId"] == run["jobId"]
    assert found["schedule"]["lastRun"] == execution["at"]
    assert found["schedule"]["active"] is False


async def test_overlap_is_obeyed_by_who_runs_it_now(
    client: Client, gate: Gate, tmp_path: Path
) -> None:
    made = await make(client, tmp_path, command=gate.wait)
    of = {"scheduleId": made["scheduleId"]}
    first = await ok(client, RUN, **of)
    no = await refused(client, RUN, **of)
    assert no["code"] == "CONFLICT" and no["details"]["jobId"] == first["jobId"]
    await ok(client, UPDATE, **of, overlap="queue")
    second = await ok(client, RUN, **of)
    assert (await status(client, second["jobId"]))["dependsOn"] == [first["jobId"]]
    await ok(client, DELETE, **of)
    gate.open()
    for run in (first, second):
        assert (await over(client, run["jobId"]))["status"] == "completed"


async def test_what_runs_and_when_are_versions_and_one_can_go_back(
    client: Client, tmp_path: Path
) -> None:
    made = await make(client, tmp_path, command="echo one")
    of = {"scheduleId": made["scheduleId"]}
    for changes in (
        {"command": "/bin/echo", "args": ["two"]},
        {"trigger": {"everyMs": 3_600_000}},
        {"timeout": 1234},
        {"retry": {"maxAttempts": 7}},
        {"timeout": 1234},  # as it is
        {"metadata": {"n": 1}, "missed": "skip", "name": f"n{next(NUMBERS)}"},  # no version
    ):
        changed = (await ok(client, UPDATE, **of, **changes))["schedule"]
    assert (changed["version"], changed["command"], changed["args"]) == (5, "/bin/echo", ["two"])
    assert (changed["timeout"], changed["maxAttempts"]) == (1234, 7)
    assert changed["trigger"] == {"everyMs": 3_600_000}
    versions = (await details(client, made))["versions"]
    assert [each["version"] for each in versions] == [5, 4, 3, 2, 1]
    assert [each["command"] for each in versions] == [*["/bin/echo"] * 4, "echo one"]
    back = (await ok(client, UPDATE, **of, version=1))["schedule"]
    assert (back["version"], back["command"], back["trigger"]) == (1, "echo one", YEARLY)
    assert back["nextRun"] == made["nextRun"] and back["metadata"] == {"n": 1}
    job = await over(client, (await ok(client, RUN, **of))["jobId"])
    assert job["command"] == "echo one"
    newer = (await ok(client, UPDATE, **of, timeout=9))["schedule"]
    assert newer["version"] == 6
    no = await refused(client, UPDATE, **of, version=17)
    assert no["details"]["field"] == "version" and "6, 5, 4, 3, 2, 1" in no["error"]


async def test_metadata_is_merged_and_null_removes(client: Client, tmp_path: Path) -> None:
    made = await make(client, tmp_path, metadata={"a": 1, "b": {"c": 2}})
    of = {"scheduleId": made["scheduleId"]}
    changed = await ok(client, UPDATE, **of, metadata={"b": None, "d": ["x"]})
    assert changed["schedule"]["metadata"] == {"a": 1, "d": ["x"]}
    large = {"large": "x" * 40_000}
    await ok(client, UPDATE, **of, metadata=large)
    no = await refused(client, UPDATE, **of, metadata={"larger": "x" * 40_000})
    assert "65536" in no["error"] and no["details"]["field"] == "metadata"
    assert (await details(client, made))["schedule"]["metadata"] == {"a": 1, "d": ["x"], **large}


async def test_a_name_means_the_schedule_and_is_that_of_one(client: Client, tmp_path: Path) -> None:
    made = await make(client, tmp_path, name="the only one of this name")
    assert (await ok(client, GET, scheduleId=made["name"]))["schedule"] == made
    wanted = {"name": made["name"], "command": "true", "trigger": YEARLY}
    here = {"options": {"workingDirectory": str(tmp_path)}}
    no = await refused(client, CREATE, **wanted, **here)
    assert no["code"] == "CONFLICT" and no["details"]["scheduleId"] == made["scheduleId"]
    other = await make(client, tmp_path)
    no = await refused(client, UPDATE, scheduleId=other["scheduleId"], name=made["name"])
    assert no["code"] == "CONFLICT"
    await ok(client, DELETE, scheduleId=made["name"])
    assert (await refused(client, GET, scheduleId=made["name"]))["code"] == "SCHEDULE_NOT_FOUND"
    await ok(client, CREATE, **wanted, **here)
    await ok(client, DELETE, scheduleId=made["name"])


async def test_pages_of_schedules_follow_each_other(client: Client, tmp_path: Path) -> None:
    made = [await make(client, tmp_path) for _ in range(3)]
    first = await ok(client, LIST, project=str(tmp_path), limit=2)
    assert [each["name"] for each in first["schedules"]] == [each["name"] for each in made[:2]]
    second = await ok(client, LIST, project=str(tmp_path), limit=2, cursor=first["nextCursor"])
    assert [each["name"] for each in second["schedules"]] == [made[2]["name"]]
    assert "nextCursor" not in second and second["total"] == 3


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"trigger": {}}, "trigger", ["'at', 'everyMs' and 'cron'"]),
        ({"trigger": {"everyMs": 1000, "cron": "* * * * *"}}, "trigger", ["one of"]),
        ({"trigger": {"everyMs": 999}}, "trigger.everyMs", ["1000", "999"]),
        ({"trigger": {"cron": "* * * *"}}, "trigger.cron", ["4 fields", "five"]),
        ({"trigger": {"cron": "* * * * * *"}}, "trigger.cron", ["6 fields"]),
        ({"trigger": {"cron": "61 * * * *"}}, "trigger.cron", ["minute", "61"]),
        ({"trigger": {"cron": "0 0 30 2 */2"}}, "trigger.cron", ["day-of-month"]),
        ({"trigger": {"cron": "* * */20 * 1L"}}, "trigger", ["no fire to come"]),
        ({"trigger": {"cron": "* * * * *", "timezone": "Moon"}}, "trigger.timezone", ["'Moon'"]),
        ({"trigger": {"at": "tomorrow"}}, "trigger.at", ["'tomorrow'", "2026-12-24T18:00"]),
        ({"trigger": {"at": "2020-01-01T00:00:00Z"}}, "trigger.at", ["over"]),
        ({"trigger": {"at": "9999-12-31T23:59:59Z"}}, "trigger.at", ["100 years"]),
        ({"trigger": {"everyMs": 1000}, "jitterMs": 1000}, "jitterMs", ["1000", "between"]),
        ({"metadata": {"large": "x" * 70_000}}, "metadata", ["65536"]),
        ({"metadata": [1]}, "metadata", ["object"]),
        ({"missed": "never"}, "missed", ["'never'"]),
        ({"overlap": "kill"}, "overlap", ["'kill'"]),
        ({"name": ""}, "name", []),
        ({"name": "two\nlines"}, "name", ["one line"]),
        ({"options": {"dependsOn": []}}, "options.dependsOn", []),
        ({"options": {"workingDirectory": "relative"}}, "options.workingDirectory", ["relative"]),
    ],
    ids=lambda value: json.dumps(value)[:50] if isinstance(value, dict) else "",
)
async def test_what_makes_no_sense_is_refused_and_makes_no_schedule(
    client: Client, tmp_path: Path, fields: dict[str, Any], field: str, words: list[str]
) -> None:
    options = {"workingDirectory": str(tmp_path)}
    wanted = {"name": "x", "command": "true", "trigger": YEARLY, "options": options, **fields}
    no = await refused(client, CREATE, **wanted)
    assert no["code"] == "INVALID_ARGUMENT"
    assert no["details"].get("field", field) == field, no
    assert all(word in no["error"] for word in words), no["error"]
    assert (await ok(client, LIST, project=str(tmp_path)))["total"] == 0


async def test_a_program_that_is_not_there_is_the_answer_of_the_call(
    client: Client, tmp_path: Path
) -> None:
    wanted = {"name": "x", "command": "no-such-program", "trigger": YEARLY}
    assert (await refused(client, CREATE, **wanted))["code"] == "COMMAND_NOT_FOUND"
    made = await make(client, tmp_path)
    of = {"scheduleId": made["scheduleId"]}
    assert (await refused(client, UPDATE, **of, command="no-such-program"))["code"] == (
        "COMMAND_NOT_FOUND"
    )
    assert (await refused(client, UPDATE, **of, args=["x"]))["code"] == "INVALID_ARGUMENT"
    mixed = await refused(client, UPDATE, **of, version=1, timeout=5)
    assert mixed["code"] == "INVALID_ARGUMENT" and "'version'" in mixed["error"]
    assert (await details(client, made))["schedule"] == made


async def test_a_typed_job_runs_with_its_input_and_its_result_is_there(
    client: Client, tmp_path: Path
) -> None:
    name = f"typed-{next(NUMBERS)}"
    properties: dict[str, Any] = {"n": {"type": "integer"}, "more": {"default": 0}}
    schema = {"type": "object", "properties": properties, "required": ["n"]}
    defined = {
        "name": name,
        "command": "sh",
        "args": ["-c", 'printf %s "$CONSOLE_AUTOMATION_INPUT" > "$CONSOLE_AUTOMATION_RESULT"'],
        "inputSchema": schema,
        "workingDirectory": str(tmp_path),
    }
    await ok(client, "console_register_job", **defined)
    wanted = {"name": name, "job": name, "trigger": YEARLY}
    no = await refused(client, CREATE, **wanted, input={"n": "x"})
    assert no["code"] == "INVALID_ARGUMENT" and no["details"]["field"].startswith("input")
    made = (await ok(client, CREATE, **wanted, input={"n": 7}))["schedule"]
    assert (made["job"], made["input"]) == (name, {"n": 7})
    of = {"scheduleId": made["scheduleId"]}
    for default in (1, 2):  # what was not given is as the definition says when it fires
        properties["more"] = {"default": default}
        await ok(client, "console_register_job", **defined)
        run = await ok(client, RUN, **of)
        assert (await over(client, run["jobId"]))["status"] == "completed"
        result = await ok(client, "console_get_job_result", jobId=run["jobId"])
        assert result["result"] == {"n": 7, "more": default}
    no = await refused(client, UPDATE, **of, timeout=5)
    assert no["details"]["field"] == "timeout" and "definition" in no["error"]
    await ok(client, "console_remove_job", name=name)
    assert (await refused(client, RUN, **of))["code"] == "DEFINITION_NOT_FOUND"
    await ok(client, DELETE, **of)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"command": "true", "job": "x"},
        {"command": "true", "input": {}},
        {"job": "x", "args": []},
        {"job": "x", "options": {}},
    ],
    ids=str,
)
async def test_a_schedule_has_either_a_command_or_a_job(
    client: Client, fields: dict[str, Any]
) -> None:
    no = await refused(client, CREATE, name="x", trigger=YEARLY, **fields)
    assert (no["code"] == "INVALID_ARGUMENT" and "'job'" in no["error"]) or "'command'" in no[
        "error"
    ]


@pytest.mark.parametrize("tool", [GET, UPDATE, RUN, DELETE])
async def test_a_schedule_that_is_not_there_is_not_found(client: Client, tool: str) -> None:
    no = await refused(client, tool, scheduleId="nobody")
    assert no["code"] == "SCHEDULE_NOT_FOUND" and no["details"]["scheduleId"] == "nobody"
    assert "console_list_schedules" in no["error"]
