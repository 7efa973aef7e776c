"""Job definitions: what goes in is checked, what comes out is checked, what goes on can be watched."""

from itertools import count
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.conftest import Gate
from tests.integration.steps import ok, over, refused, status
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

REGISTER, EXECUTE, RESULT = "console_register_job", "console_execute_job", "console_get_job_result"
LIST, REMOVE = "console_list_job_definitions", "console_remove_job"
_NUMBERS = count()
GREETING: dict[str, Any] = {
    "command": """printf '{"message": "%s"}' "$WHO" > "$CONSOLE_AUTOMATION_RESULT"; echo printed""",
    "environment": {"WHO": "{name}"},
    "inputSchema": {
        "properties": {"name": {"type": "string"}, "formal": {"type": "boolean"}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "outputSchema": {"properties": {"message": {"type": "string"}}, "required": ["message"]},
}


async def defined(client: Client, **fields: Any) -> str:
    """Register a definition and return its name, which nobody else has."""
    name = f"d{id(client):x}-{next(_NUMBERS)}"
    kept = await ok(client, REGISTER, **{"name": name, **fields})
    assert kept["replaced"] is False
    return name


async def came_to(client: Client, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run a defined job to its end and return what it came to."""
    begun = await ok(client, EXECUTE, name=name, input=given)

    async def result() -> dict[str, Any] | None:
        found = await ok(client, RESULT, jobId=begun["jobId"], waitMs=1000)
        return found if found["status"] not in ("pending", "running") else None

    found = await until(result, "the result")
    assert found is not None
    return found


async def test_a_job_is_run_by_its_name_and_its_result_comes_back(client: Client) -> None:
    name = await defined(client, **GREETING)
    over = await came_to(client, name, {"name": 'Ada"s $HOME; exit 1'.replace('"', "'")})
    assert (over["status"], over["exitCode"], over["attempt"]) == ("completed", 0, 1)
    assert over["result"] == {"message": "Ada's $HOME; exit 1"}
    job = await status(client, over["jobId"])
    assert job["definition"] == name and job["tags"] == {"definition": name}
    page = await ok(client, "console_get_job_output", jobId=over["jobId"])
    assert page["output"][0]["content"] == "printed\n"


@pytest.mark.parametrize(
    ("given", "field", "word"),
    [
        ({}, "input", "'name' is a required property"),
        ({"name": 5}, "input.name", "not of type 'string'"),
        ({"name": "x", "nam": "y"}, "input", "known: name, formal"),
        ({"name": "x", "formal": "yes"}, "input.formal", "not of type 'boolean'"),
    ],
)
async def test_an_input_that_does_not_match_is_refused_before_a_job_exists(
    client: Client, given: dict[str, Any], field: str, word: str
) -> None:
    name = await defined(client, **GREETING)
    error = await refused(client, EXECUTE, name=name, input=given)
    assert error["code"] == "INVALID_ARGUMENT" and error["details"]["field"] == field
    assert word in error["error"] and name in error["error"]
    listed = await ok(client, "console_list_jobs", options={"tags": {"definition": name}})
    assert listed["total"] == 0


async def test_a_result_that_breaks_the_promise_fails_the_job_once(client: Client) -> None:
    name = await defined(
        client,
        command='echo \'{"n": "x"}\' > $CONSOLE_AUTOMATION_RESULT',
        outputSchema={"properties": {"n": {"type": "integer"}}},
        retry={"maxAttempts": 3, "backoffMs": 1},
    )
    over = await came_to(client, name, {})
    assert (over["status"], over["reason"], over["attempt"]) == ("failed", "result", 1)
    assert "result.n" in over["error"] and "result" not in over
    assert over["exitCode"] == 0


async def test_attempts_are_counted_and_their_number_is_told_to_the_job(client: Client) -> None:
    name = await defined(
        client,
        command="""tell() { echo "$1" >> $CONSOLE_AUTOMATION_PROGRESS; }
            n=$CONSOLE_AUTOMATION_ATTEMPT
            tell "{\\"log\\": \\"attempt $n\\"}"
            [ $n = 3 ] || { tell '{"error": "not yet"}'; exit 7; }
            echo $n > $CONSOLE_AUTOMATION_RESULT""",
        retry={"maxAttempts": 3, "backoffMs": 1},
    )
    over = await came_to(client, name, {})
    assert (over["status"], over["attempt"], over["result"]) == ("completed", 3, 3)
    assert (await status(client, over["jobId"]))["logs"] == ["attempt 1", "attempt 2", "attempt 3"]


async def test_progress_and_log_are_there_while_it_runs_and_after_it_failed(
    client: Client, gate: Gate
) -> None:
    name = await defined(
        client,
        command=f"""tell() {{ echo "$1" >> $CONSOLE_AUTOMATION_PROGRESS; }}
            tell '{{"log": "begun"}}'; tell '{{"progress": 1, "total": 2, "message": "half"}}'
            {gate.wait}
            tell '{{"progress": 2, "total": 2}}'; tell '{{"error": "at the end"}}'; exit 3""",
    )
    begun = await ok(client, EXECUTE, name=name, background=True)
    job_id = begun["jobId"]
    assert begun["status"] in ("pending", "running")

    async def half() -> dict[str, Any] | None:
        job = await status(client, job_id)
        return job if "progress" in job else None

    job = await until(half, "its progress")
    assert job is not None and job["status"] == "running" and job["logs"] == ["begun"]
    assert job["progress"] == {"done": 1, "total": 2, "message": "half"}
    gate.open()
    job = await over(client, job_id)
    assert (job["status"], job["error"], job["exitCode"]) == ("failed", "at the end", 3)
    assert job["progress"] == {"done": 2, "total": 2} and job["logs"] == ["begun"]


async def test_a_definition_is_listed_by_tags_labels_and_text_and_not_when_it_is_hidden(
    client: Client,
) -> None:
    mine = f"t{id(client):x}"
    open_one = await defined(
        client, command="true", description="Some Words", tags=[mine, "x"], labels={"a": "1"}
    )
    hidden = await defined(client, command="true", tags=[mine], hideFromDiscovery=True)

    async def names(**asked: Any) -> list[str]:
        found = await ok(client, LIST, **asked)
        return [each["name"] for each in found["definitions"]]

    assert await names(tags=[mine]) == [open_one]
    assert await names(tags=[mine, "other"], labels={"a": "1"}, query="some w") == [open_one]
    assert await names(tags=[mine], labels={"a": "2"}) == []
    assert await names(tags=[mine], query="nothing") == []
    assert await names(name=hidden) == [hidden]
    assert (await came_to(client, hidden, {}))["status"] == "completed"


async def test_a_definition_that_is_replaced_or_removed_leaves_its_jobs_alone(
    client: Client, gate: Gate
) -> None:
    waits = f"{gate.wait}; echo 1 > $CONSOLE_AUTOMATION_RESULT"
    name = await defined(client, command=waits, outputSchema={"type": "integer"})
    begun = await ok(client, EXECUTE, name=name, background=True)
    again = await ok(client, REGISTER, name=name, command="true", outputSchema={"type": "string"})
    assert again["replaced"] is True
    await ok(client, REMOVE, name=name)
    for tool in (EXECUTE, REMOVE, LIST):
        error = await refused(client, tool, name=name)
        assert error["code"] == "DEFINITION_NOT_FOUND" and name in error["error"]
    gate.open()
    await over(client, begun["jobId"])
    assert (await ok(client, RESULT, jobId=begun["jobId"]))["result"] == 1


async def test_the_same_key_and_input_again_is_the_first_job(client: Client) -> None:
    name = await defined(client, **GREETING)
    asked = {"name": name, "input": {"name": "x"}, "idempotencyKey": f"key-{name}"}
    first, again = [await ok(client, EXECUTE, **asked) for _ in range(2)]
    assert first["jobId"] == again["jobId"]
    error = await refused(client, EXECUTE, **{**asked, "input": {"name": "y"}})
    assert error["code"] == "CONFLICT"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"command": "cat {name}"}, "command"),
        ({"args": ["--name={name}"]}, "args.0"),
        ({"environment": {"A": "{nobody}"}}, "environment.A"),
        ({"inputSchema": {"type": "text"}}, "inputSchema.type"),
        ({"outputSchema": {"$ref": "http://localhost/x"}}, "outputSchema"),
        ({"name": "not a name"}, "name"),
        ({"retry": {"jitter": 2}}, "retry.jitter"),
    ],
)
async def test_a_definition_that_cannot_be_kept_to_is_refused(
    client: Client, fields: dict[str, Any], field: str
) -> None:
    wanted = {"name": "refused", **GREETING, **fields}
    error = await refused(client, REGISTER, **wanted)
    assert error["code"] == "INVALID_ARGUMENT" and error["details"]["field"] == field
    assert (await refused(client, LIST, name="refused"))["code"] == "DEFINITION_NOT_FOUND"


async def test_a_program_that_is_not_there_is_said_when_it_is_to_run(client: Client) -> None:
    name = await defined(client, command="no-such-program", args=[])
    error = await refused(client, EXECUTE, name=name)
    assert error["code"] == "COMMAND_NOT_FOUND"


async def test_an_input_that_no_program_can_be_given_is_refused(client: Client) -> None:
    definition = {**GREETING, "command": "echo", "args": ["{name}"], "environment": {}}
    name = await defined(client, **definition)
    error = await refused(client, EXECUTE, name=name, input={"name": "nul\0"})
    assert error["code"] == "INVALID_ARGUMENT" and error["details"]["field"] == "input"
