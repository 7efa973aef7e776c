"""The Tasks extension (SEP-2663): a long command becomes a task, and the task is the job."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import mcp
import mcp_types as types
import pytest

from console_automation.app import App
from console_automation.frontends.mcp.server import McpServer
from tests.integration.clients import Connected, in_one_task, over_http, over_stdio
from tests.integration.conftest import Gate
from tests.integration.servers import Server
from tests.integration.steps import ok, over, status
from tests.integration.tasks_client import (
    EXTENSION,
    CancelTask,
    CreatedTask,
    GetTask,
    Task,
    TaskParams,
    TasksClient,
    UpdateParams,
    UpdateTask,
)
from tests.waiting import PATIENCE, until

COMMAND = "console_execute_command"
TRANSPORTS = {"stdio": over_stdio, "http": over_http}


@pytest.fixture
def extension() -> TasksClient:
    return TasksClient()


@pytest.fixture(params=TRANSPORTS)
async def client(
    request: pytest.FixtureRequest, server: Server, extension: TasksClient
) -> AsyncIterator[mcp.Client]:
    """A client that declares the extension."""
    connect = TRANSPORTS[request.param]
    async with in_one_task(connect(server, extensions=[extension])) as connected:
        yield connected


async def created(client: mcp.Client, command: str, **options: Any) -> CreatedTask:
    """Call the tool and return the task that it becomes, soon."""
    arguments = {"command": command, "options": {"timeout": 100, **options}}
    answer = await client.session.call_tool(COMMAND, arguments, allow_claimed=True)
    assert isinstance(answer, CreatedTask)
    return answer


async def task(client: mcp.Client, task_id: str) -> Task:
    """Return a task as it stands."""
    asked = GetTask(params=TaskParams(task_id=task_id))
    return await client.session.send_request(asked, Task)


async def test_a_short_command_is_answered_at_once(
    client: mcp.Client, extension: TasksClient
) -> None:
    assert EXTENSION in (client.server_capabilities.extensions or {})

    async def answered_at_once() -> dict[str, Any] | None:
        before = extension.polls
        result = await client.call_tool(COMMAND, {"command": "echo quick"})
        return result.structured_content if extension.polls == before else None

    answer = await until(answered_at_once)
    assert answer is not None and answer["output"] == "quick\n"


async def test_a_long_command_becomes_a_task_and_its_result_is_that_of_the_tool(
    client: mcp.Client, extension: TasksClient, gate: Gate
) -> None:
    handle = await created(client, f"echo before; {gate.wait}; echo after; exit 5")
    assert handle.status == "working" and (handle.poll_interval_ms or 0) > 0
    assert (await status(Connected(client), handle.task_id))["status"] == "running"
    gate.open()
    await over(Connected(client), handle.task_id)
    done = await task(client, handle.task_id)
    assert done.status == "completed" and done.result is not None
    content = done.result["structuredContent"]
    assert (content["exitCode"], content["output"]) == (5, "before\nafter\n")
    assert "exit code 5" in done.result["content"][0]["text"]
    assert done.created_at == handle.created_at <= done.last_updated_at


async def test_a_client_that_sees_tasks_through_gets_the_plain_result(
    client: mcp.Client, extension: TasksClient, gate: Gate
) -> None:
    calling = asyncio.create_task(client.call_tool(COMMAND, {"command": gate.wait}))
    await until(lambda: extension.polls)
    gate.open()
    result = await calling
    assert result.structured_content is not None and not result.is_error
    assert result.structured_content["exitCode"] == 0


async def test_a_cancelled_task_is_a_cancelled_job(client: mcp.Client) -> None:
    handle = await created(client, "sleep 600")
    cancel = CancelTask(params=TaskParams(task_id=handle.task_id))
    await client.session.send_request(cancel, types.EmptyResult)
    job = await over(Connected(client), handle.task_id)
    assert (job["status"], (await task(client, job["id"])).status) == ("cancelled", "cancelled")
    await client.session.send_request(cancel, types.EmptyResult)
    assert (await task(client, job["id"])).status == "cancelled"


async def test_a_listener_is_pushed_the_tasks_states(
    client: mcp.Client, extension: TasksClient, gate: Gate
) -> None:
    handle = await created(client, gate.wait)
    wanted = types.SubscriptionFilter.model_validate({"taskIds": [handle.task_id, "job-no"]})
    listen = types.SubscriptionsListenRequest(
        params=types.SubscriptionsListenRequestParams(notifications=wanted)
    )
    listening = asyncio.create_task(
        client.session.send_request(listen, types.SubscriptionsListenResult)
    )
    await until(lambda: extension.pushed)
    gate.open()
    await until(lambda: extension.pushed[-1].status == "completed")
    assert {each.task_id for each in extension.pushed} == {handle.task_id}
    assert extension.pushed[0].status == "working"
    assert extension.pushed[-1].result is not None
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_what_the_arguments_say_holds_for_tasks_too(client: mcp.Client) -> None:
    ended = {"timeout": 1, "killOnTimeout": True}
    result = await client.call_tool(COMMAND, {"command": "sleep 600", "options": ended})
    assert (result.structured_content or {})["reason"] == "timeout"
    for options in ({"timeout": -1}, {"timeout": "soon"}, {"timeout": 1e300}, {"tiemout": 1}):
        result = await client.call_tool(COMMAND, {"command": "sleep 600", "options": options})
        assert (result.structured_content or {})["code"] == "INVALID_ARGUMENT"


async def test_a_task_is_handed_out_long_before_a_call_without_tasks_would_return(
    app: App, extension: TasksClient
) -> None:
    options = {"timeout": 600_000, "killOnTimeout": True}
    assert app.engine.settings.max_wait_ms / 1000 > PATIENCE
    async with mcp.Client(McpServer(app.engine).server, extensions=[extension]) as client:
        async with asyncio.timeout(PATIENCE):
            handle = await created(client, "sleep 600", **options)
        await app.call("console_cancel_job", jobId=handle.task_id)


async def test_an_unknown_task_is_unknown_for_every_method(client: mcp.Client) -> None:
    named = TaskParams(task_id="job-no")
    for request in (
        GetTask(params=named),
        CancelTask(params=named),
        UpdateTask(params=UpdateParams(task_id="job-no", input_responses={})),
    ):
        with pytest.raises(mcp.MCPError) as caught:
            await client.session.send_request(request, types.EmptyResult)
        assert (caught.value.code, caught.value.data) == (-32602, {"taskId": "job-no"})


async def test_answers_to_questions_nobody_asked_are_taken_and_forgotten(
    client: mcp.Client, gate: Gate
) -> None:
    handle = await created(client, gate.wait)
    update = UpdateTask(params=UpdateParams(task_id=handle.task_id, input_responses={"a": 1}))
    await client.session.send_request(update, types.EmptyResult)
    gate.open()
    await over(Connected(client), handle.task_id)


@pytest.mark.parametrize("connect", TRANSPORTS.values(), ids=TRANSPORTS)
async def test_who_does_not_declare_tasks_gets_none(
    connect: Any, server: Server, gate: Gate
) -> None:
    async with connect(server) as client:
        result = await ok(Connected(client), COMMAND, command=gate.wait)
        assert result["status"] == "running"
        with pytest.raises(mcp.MCPError) as caught:
            await task(client, result["jobId"])
        assert caught.value.code == types.MISSING_REQUIRED_CLIENT_CAPABILITY
    gate.open()
    async with connect(server, mode="legacy") as client:
        with pytest.raises(mcp.MCPError) as caught:
            await task(client, result["jobId"])
        assert caught.value.code == types.METHOD_NOT_FOUND
