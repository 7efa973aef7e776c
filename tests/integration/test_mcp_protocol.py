"""MCP as real clients speak it: both protocol eras over both transports, with the official SDK.

The era is the client's choice: `legacy` opens with the handshake of 2025, `auto` probes for the
stateless protocol of 2026 and finds it.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import mcp
import mcp_types as types
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from mcp import MCPError

from console_automation import __version__
from console_automation.operations.table import OPERATIONS
from tests.integration.clients import Connected, in_one_task, over_http, over_stdio
from tests.integration.conftest import Gate
from tests.integration.servers import Server
from tests.integration.steps import ok, over, printed, running, start
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRANSPORTS = {"stdio": over_stdio, "http": over_http}
VERSIONS = {"legacy": "2025-11-25", "auto": "2026-07-28"}

#: All but those of the cluster, which there is none of here.
OFFERED = {each.name for each in OPERATIONS.values() if each.toolset != "cluster"}


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=itertools.product(TRANSPORTS, VERSIONS),
    ids="-".join,
)
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[mcp.Client]:
    """A connected client of either era over either transport."""
    transport, era = request.param
    async with in_one_task(TRANSPORTS[transport](server, mode=era)) as connected:
        yield connected


async def test_each_client_gets_the_era_it_asks_for(
    client: mcp.Client, request: pytest.FixtureRequest
) -> None:
    era = request.node.callspec.id.rpartition("-")[2]
    assert client.protocol_version == VERSIONS[era]
    assert client.server_info is not None
    assert (client.server_info.name, client.server_info.version) == (
        "console-automation",
        __version__,
    )
    assert client.instructions is not None and 200 < len(client.instructions) < 2_048
    offered = client.server_capabilities.model_dump(exclude_none=True)
    assert {"tools", "resources", "prompts"} <= set(offered)


async def test_the_list_of_tools_is_small_and_complete(client: mcp.Client) -> None:
    listed = await client.list_tools()
    assert {tool.name for tool in listed.tools} == OFFERED
    told = {"by_alias": True, "exclude_unset": True, "exclude_none": True}
    wire = listed.model_dump_json(include={"tools"}, **told)
    # Jobs and sessions; definitions; schedules.
    assert len(wire.encode()) < 26_000 + 3 * 8_000
    for tool in listed.tools:
        assert tool.title and tool.description and len(tool.description) < 2_048
        assert tool.annotations is not None
        hints = tool.annotations.model_dump(exclude={"title"})
        assert all(isinstance(hint, bool) for hint in hints.values()), hints
        Draft202012Validator.check_schema(tool.input_schema)
        assert tool.output_schema is not None
        Draft202012Validator.check_schema(tool.output_schema)


async def test_every_tool_answers_as_its_schema_says(client: mcp.Client, gate: Gate) -> None:
    """Every tool is called; the SDK and this test hold what it returns against its schema."""
    schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
    called = set()

    async def call(tool: str, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        structured: dict[str, Any] = result.structured_content or {}
        schema = schemas[tool]
        assert schema is not None
        Draft202012Validator(schema).validate(structured)
        called.add(tool)
        return structured

    await call("console_execute_command", command="true")
    fed = await call("console_execute_async", command="cat", options={"keepStdin": True})
    await running(Connected(client), fed["jobId"])
    await call("console_send_job_input", jobId=fed["jobId"], input="x", eof=True)
    live = await call("console_execute_async", command=gate.wait)
    await call("console_get_job_status", jobId=live["jobId"])
    assert (await call("console_cancel_job", jobId=live["jobId"]))["cancelled"]
    await over(Connected(client), fed["jobId"])
    await call("console_wait_for_jobs", jobIds=[fed["jobId"], live["jobId"]])
    page = await call("console_get_job_output", jobId=fed["jobId"])
    assert page["output"][0]["content"] == "x"
    again = await call("console_retry_job", jobId=fed["jobId"])
    await call("console_cancel_job", jobId=again["jobId"])
    assert (await call("console_list_jobs"))["total"] >= 3
    await call("console_get_job_metrics")
    await call("console_cleanup_jobs")
    assert called == {each.name for each in OPERATIONS.values() if each.toolset == "jobs"}
    session_id = (await call("console_create_session", command="cat"))["sessionId"]
    of = {"sessionId": session_id}
    await call("console_send_input", **of, input="hello", enter=True)
    await call("console_wait_for_output", **of, pattern="hello", since=0)
    await call("console_send_key", **of, key="enter")
    await call("console_get_output", **of)
    assert "hello" in (await call("console_get_screen", **of))["screen"]
    await call("console_resize_session", **of, cols=90, rows=20)
    await call("console_get_session_state", **of)
    await call("console_get_command_history", **of)
    await call("console_list_sessions")
    await call("console_stop_session", **of, force=True)
    await call("console_cleanup_sessions")
    await call("console_register_job", name="leap", command="true")
    assert (await call("console_list_job_definitions", name="leap"))["total"] == 1
    done = await call("console_execute_job", name="leap")
    await call("console_get_job_result", jobId=done["jobId"])
    steps = [{"id": "one", "job": "leap"}]
    await call("console_register_workflow", name="leaps", steps=steps)
    run = {"runId": (await call("console_execute_workflow", name="leaps"))["run"]["runId"]}
    await call("console_get_workflow_status", **run, waitMs=1000)
    await call("console_cancel_workflow", **run)
    await call("console_list_workflows")
    await call("console_remove_workflow", name="leaps")
    await call("console_remove_job", name="leap")
    trigger = {"cron": "0 0 29 2 *"}
    made = await call("console_create_schedule", name="leap", command="true", trigger=trigger)
    of = {"scheduleId": made["schedule"]["scheduleId"]}
    await over(Connected(client), (await call("console_trigger_schedule", **of))["jobId"])
    await call("console_update_schedule", **of, metadata={"n": 1})
    assert len((await call("console_get_schedule", **of))["history"]) == 1
    await call("console_list_schedules")
    await call("console_delete_schedule", **of)
    assert called == OFFERED


async def test_an_error_is_a_result_that_a_model_can_read(client: mcp.Client) -> None:
    for tool, arguments, code in (
        ("console_get_job_status", {"jobId": "job-no"}, "JOB_NOT_FOUND"),
        ("console_get_job_status", {"jobID": "x"}, "INVALID_ARGUMENT"),
        ("console_no_such_tool", {}, "INVALID_ARGUMENT"),
    ):
        result = await client.call_tool(tool, arguments)
        assert result.is_error and result.structured_content is not None
        assert result.structured_content["code"] == code
        (content,) = result.content
        assert content.type == "text"
        assert content.text == f"{code}: {result.structured_content['error']}"


@pytest.mark.parametrize(
    ("tool", "asked"),
    [
        ("console_get_job_status", {"waitMs": 60_000}),
        ("console_wait_for_jobs", {}),
        ("console_get_job_output", {"options": {"since": 1, "waitMs": 60_000}}),
        ("console_execute_command", {}),
        ("console_execute_async", {"options": {"waitMs": 60_000}}),
    ],
)
async def test_a_waiting_call_reports_progress(
    client: mcp.Client, gate: Gate, tool: str, asked: dict[str, Any]
) -> None:
    job_id = await start(Connected(client), f"echo started; {gate.wait}")
    await until(lambda: printed(Connected(client), job_id))
    named = {"console_wait_for_jobs": {"jobIds": [job_id]}, "console_execute_command": {}}
    starts = tool.startswith("console_execute")
    about = {"command": gate.wait} if starts else named.get(tool, {"jobId": job_id})
    heard: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))
        gate.open()

    result = await client.call_tool(tool, {**asked, **about}, progress_callback=on_progress)
    assert not result.is_error
    await over(Connected(client), job_id)
    progress, total, message = heard[0]
    assert 0 < progress < (total or 0) <= 1  # seconds: the daemon cuts waits at one here
    assert message


async def test_a_typed_jobs_own_progress_is_told_while_it_is_waited_for(
    client: mcp.Client, gate: Gate
) -> None:
    tell = """echo '{"progress": 3, "total": 4, "message": "nearly"}' >> $CONSOLE_AUTOMATION_PROGRESS"""
    await ok(Connected(client), "console_register_job", name="far", command=f"{tell}; {gate.wait}")
    heard: list[str | None] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)
        if message == "3 of 4: nearly":
            gate.open()

    async def told() -> bool:
        asked = {"name": "far", "idempotencyKey": f"far-{id(gate)}"}
        await client.call_tool("console_execute_job", asked, progress_callback=on_progress)
        return "3 of 4: nearly" in heard

    await until(told, "its progress")


async def test_jobs_and_their_output_are_resources(client: mcp.Client) -> None:
    job = await over(Connected(client), await start(Connected(client), "seq 1 3", name="counter"))
    uri = f"job://{job['id']}"
    listed = {str(each.uri): each for each in (await client.list_resources()).resources}
    assert listed[uri].title == "counter" and listed[uri].mime_type == "application/json"
    assert listed[f"{uri}/output"].title == "Output of counter"
    templates = (await client.list_resource_templates()).resource_templates
    assert {each.uri_template for each in templates} == {
        "job://{jobId}",
        "job://{jobId}/output{?since,limit}",
        "session://{sessionId}",
        "session://{sessionId}/screen",
        "session://{sessionId}/output{?since,limit}",
        "session://{sessionId}/recording",
        "schedule://{scheduleId}",
        "workflow://{runId}",
    }
    assert json.loads(await read(client, uri)) == job
    assert await read(client, f"{uri}/output") == "1\n2\n3\n"
    last = job["output"]["lastSequence"]
    assert await read(client, f"{uri}/output?since={last}") == ""
    assert await read(client, f"{uri}/output?since=0&limit=1000") == "1\n2\n3\n"


async def read(client: mcp.Client, uri: str) -> str:
    """Return a resource's text."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, types.TextResourceContents)
    return content.text


@pytest.mark.parametrize(
    "uri",
    [
        "job://job-no",
        "job://job-no/output",
        "job://",
        "job://a/b",
        "file:///etc/passwd",
        "job://../x/output",
        "job://x/output?since=abc",
        "job://x/screen",
        "session://session-no",
        "session://session-no/screen",
        "session://session-no/output",
        "session://session-no/recording",
        "session://x/output?limit=",
        "session://x/input",
    ],
)
async def test_a_resource_that_does_not_exist_is_refused(client: mcp.Client, uri: str) -> None:
    with pytest.raises(MCPError) as caught:
        await client.read_resource(uri)
    assert caught.value.code == types.INVALID_PARAMS
    assert caught.value.data == {"uri": uri}


async def test_prompts_hold_the_recipes(client: mcp.Client) -> None:
    listed = (await client.list_prompts()).prompts
    assert [prompt.name for prompt in listed] == [
        "run_and_report",
        "diagnose",
        "catch_up",
        "drive_console",
    ]
    for prompt in listed:
        arguments = {each.name: "{job} 7" for each in prompt.arguments or []}
        (message,) = (await client.get_prompt(prompt.name, arguments)).messages
        assert isinstance(message.content, types.TextContent)
        assert all(value in message.content.text for value in arguments.values())
        assert "console_" in message.content.text
    for name, given in (("diagnose", {}), ("no-such-prompt", {})):
        with pytest.raises(MCPError) as caught:
            await client.get_prompt(name, given)
        assert caught.value.code == types.INVALID_PARAMS


async def test_a_method_that_does_not_exist_is_said_not_to(client: mcp.Client) -> None:
    request = types.Request(method="no/such", params=None)
    with pytest.raises(MCPError) as caught:
        await client.session.send_request(request, types.EmptyResult)  # type: ignore[arg-type]
    assert caught.value.code == types.METHOD_NOT_FOUND


async def test_many_calls_at_once_are_all_answered(client: mcp.Client) -> None:
    calls = [client.call_tool("console_list_jobs", {"options": {"limit": 1}}) for _ in range(25)]
    answers = await asyncio.gather(*calls)
    assert not any(answer.is_error for answer in answers)
