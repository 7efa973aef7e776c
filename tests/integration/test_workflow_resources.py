"""Workflow runs and schedules as resources and tasks, and being told of their ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp
import mcp_types as types
import pytest
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from console_automation.app import App
from console_automation.frontends.mcp.server import McpServer
from tests.integration.clients import Connected, over_stdio
from tests.integration.conftest import Gate
from tests.integration.servers import Server
from tests.integration.steps import ok, running
from tests.integration.tasks_client import CancelTask, CreatedTask, TaskParams, TasksClient
from tests.integration.test_mcp_notifications import EACH, Connect, subscriber
from tests.integration.test_mcp_protocol import read
from tests.integration.test_mcp_tasks import task
from tests.integration.test_session_resources import ERAS
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

RARELY = {"cron": "0 0 29 2 *"}


@asynccontextmanager
async def workflow(client: mcp.Client, *commands: str) -> AsyncIterator[str]:
    """A workflow of one step after the other, each with a command, named step0, step1 and so on."""
    of = Connected(client)
    steps: list[dict[str, Any]] = []
    for number, command in enumerate(commands):
        job = f"watched-{number}"
        await ok(of, "console_register_job", name=job, command=command)
        before = [f"step{number - 1}"] if number else []
        steps.append({"id": f"step{number}", "job": job, "dependsOn": before})
    await ok(of, "console_register_workflow", name="watched", steps=steps)
    try:
        yield "watched"
    finally:
        await ok(of, "console_remove_workflow", name="watched")
        for step in steps:
            await ok(of, "console_remove_job", name=step["job"])


async def begun(client: mcp.Client, name: str) -> str:
    """Begin a run and return its URI once its first step has a job."""
    run = (await ok(Connected(client), "console_execute_workflow", name=name))["run"]
    uri = f"workflow://{run['runId']}"

    await until(lambda: has_job(client, uri, "step0"))
    return uri


async def has_job(client: mcp.Client, uri: str, step: str) -> bool:
    steps = {each["id"]: each for each in json.loads(await read(client, uri))["steps"]}
    return "jobId" in steps[step]


async def ended(client: mcp.Client, uri: str) -> bool:
    return await state(client, uri) not in ("pending", "running")


async def state(client: mcp.Client, uri: str) -> str:
    found: str = json.loads(await read(client, uri))["run"]["status"]
    return found


@EACH
@ERAS
async def test_a_workflow_run_and_a_schedule_are_resources(
    connect: Connect, mode: str, server: Server, gate: Gate
) -> None:
    async with connect(server, mode=mode) as client, workflow(client, gate.wait, "true") as name:
        uri = await begun(client, name)
        of = Connected(client)
        made = await ok(of, "console_create_schedule", name="rare", command="true", trigger=RARELY)
        schedule = made["schedule"]["scheduleId"]
        listed = {str(each.uri): each for each in (await client.list_resources()).resources}
        assert (listed[uri].title, listed[uri].mime_type) == ("watched", "application/json")
        assert listed[f"schedule://{schedule}"].title == "rare"
        templates = (await client.list_resource_templates()).resource_templates
        made_by = {each.uri_template for each in templates}
        assert {"workflow://{runId}", "schedule://{scheduleId}"} <= made_by
        assert json.loads(await read(client, f"schedule://{schedule}"))["history"] == []
        await ok(of, "console_delete_schedule", scheduleId=schedule)
        run = json.loads(await read(client, uri))
        assert run["run"]["status"] == "running"
        assert {each["id"]: each["status"] for each in run["steps"]} == {
            "step0": "running",
            "step1": "pending",
        }
        gate.open()
        await until(lambda: ended(client, uri))
        assert json.loads(await read(client, uri))["counts"] == {"completed": 2}


@EACH
async def test_a_subscriber_is_told_of_a_run_when_a_step_is_over_and_the_next_begins(
    connect: Connect, server: Server, gate: Gate, tmp_path: Path
) -> None:
    """It looks only when it is told, so it would never see what nobody tells."""
    second = Gate(tmp_path / "second")
    async with (
        subscriber(connect, server) as (client, told),
        workflow(client, gate.wait, second.wait) as name,
    ):
        uri = await begun(client, name)
        await client.session.subscribe_resource(uri)
        assert uri not in told
        seen = 0

        async def told_of_next_step() -> bool:
            nonlocal seen
            if told.count(uri) == seen:
                return False
            seen = told.count(uri)
            return await has_job(client, uri, "step1")

        gate.open()
        await until(told_of_next_step)
        second.open()


@EACH
async def test_a_subscriber_is_told_of_the_end_of_a_run_and_then_it_is_over(
    connect: Connect, server: Server, gate: Gate
) -> None:
    """When its only step has its job nothing happens to a run any more but its end."""
    async with subscriber(connect, server) as (client, told), workflow(client, gate.wait) as name:
        uri = await begun(client, name)
        await client.session.subscribe_resource(uri)
        assert uri not in told
        gate.open()
        await until(lambda: uri in told)
        assert await state(client, uri) == "completed"


@EACH
async def test_a_listener_is_told_of_the_end_of_a_run_and_of_new_ones(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with connect(server) as client, workflow(client, gate.wait) as name:
        uri = await begun(client, name)
        async with client.listen(resource_subscriptions=[uri]) as stream:
            assert stream.honored.resource_subscriptions == [uri]
            gate.open()
            async with asyncio.timeout(20):
                assert await anext(stream) == ResourceUpdated(uri=uri)
            assert await state(client, uri) == "completed"
        async with client.listen(resources_list_changed=True) as stream:
            await begun(client, name)
            async with asyncio.timeout(20):
                assert await anext(stream) == ResourcesListChanged()


@EACH
async def test_a_subscriber_to_a_schedule_or_its_job_is_told_of_the_end(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with subscriber(connect, server) as (client, told):
        of = Connected(client)
        made = await ok(
            of, "console_create_schedule", name="gated", command=gate.wait, trigger=RARELY
        )
        id = made["schedule"]["scheduleId"]
        schedule = f"schedule://{id}"
        await client.session.subscribe_resource(schedule)
        job_id = (await ok(of, "console_trigger_schedule", scheduleId=id))["jobId"]
        await until(lambda: schedule in told, "news of the job that it made")
        await client.session.subscribe_resource(f"job://{job_id}")

        await running(of, job_id)
        before = told.count(schedule)
        gate.open()
        await until(lambda: told.count(schedule) > before, "news of the job's end")
        (last,) = json.loads(await read(client, schedule))["history"]
        assert (last["jobId"], last["status"]) == (job_id, "completed")
        await until(lambda: f"job://{job_id}" in told)
        before = told.count(schedule)
        await ok(of, "console_delete_schedule", scheduleId=id)
        await until(lambda: told.count(schedule) > before, "news that it is gone")
        with pytest.raises(mcp.MCPError, match="schedule"):
            await read(client, schedule)


@EACH
async def test_a_run_has_no_parts_and_an_unknown_one_is_refused(
    connect: Connect, server: Server
) -> None:
    async with connect(server, mode="legacy") as client:
        with pytest.raises(mcp.MCPError, match="workflow://"):
            await client.session.subscribe_resource("workflow://workflow-x/output")
        with pytest.raises(mcp.MCPError, match="no workflow run"):
            await read(client, "workflow://workflow-x")


# -- tasks -----------------------------------------------------------------------------------------


async def waited_for(client: mcp.Client, name: str) -> CreatedTask:
    """Execute a workflow and wait for it, for so long that it becomes a task."""
    given = {"name": name, "waitMs": 45_000}
    answer = await client.session.call_tool("console_execute_workflow", given, allow_claimed=True)
    assert isinstance(answer, CreatedTask)
    return answer


@EACH
async def test_a_run_that_is_waited_for_becomes_a_task_with_the_result_of_the_tool(
    connect: Connect, server: Server, gate: Gate
) -> None:
    extension = TasksClient()
    async with (
        connect(server, extensions=[extension]) as client,
        workflow(client, gate.wait) as name,
    ):
        handle = await waited_for(client, name)
        uri = f"workflow://{handle.task_id}"
        assert handle.status == "working" and "running" in (handle.status_message or "")
        wanted = types.SubscriptionFilter.model_validate({"taskIds": [handle.task_id]})
        listen = types.SubscriptionsListenRequest(
            params=types.SubscriptionsListenRequestParams(notifications=wanted)
        )
        listening = asyncio.create_task(client.session.send_request(listen, types.Result))
        await until(lambda: extension.pushed, "the state of the task when the stream begins")
        gate.open()
        await until(lambda: extension.pushed[-1].status == "completed")
        listening.cancel()
        done = await task(client, handle.task_id)
        assert done.result is not None and not done.result["isError"]
        content: dict[str, Any] = done.result["structuredContent"]
        assert content["counts"] == {"completed": 1}
        assert content["run"]["status"] == await state(client, uri) == "completed"
        assert done.created_at == handle.created_at < done.last_updated_at


async def test_a_cancelled_task_is_a_cancelled_run(server: Server, gate: Gate) -> None:
    async with (
        over_stdio(server, extensions=[TasksClient()]) as client,
        workflow(client, gate.wait) as name,
    ):
        handle = await waited_for(client, name)
        cancel = CancelTask(params=TaskParams(task_id=handle.task_id))
        await client.session.send_request(cancel, types.EmptyResult)
        await until(lambda: ended(client, f"workflow://{handle.task_id}"))
        assert (await task(client, handle.task_id)).status == "cancelled"


async def test_who_does_not_wait_for_a_run_gets_its_id_and_no_task(
    server: Server, gate: Gate
) -> None:
    async with (
        over_stdio(server, extensions=[TasksClient()]) as client,
        workflow(client, gate.wait) as name,
    ):
        assert await state(client, await begun(client, name)) == "running"
        gate.open()


# -- when ----------------------------------------------------------------------------------------


async def test_runs_and_schedules_are_listed_with_their_toolsets_alone(app: App) -> None:
    made = await app.call("console_create_schedule", name="r", command="true", trigger=RARELY)
    assert not made.is_error
    async with mcp.Client(McpServer(app.engine).server) as client:
        templates = (await client.list_resource_templates()).resource_templates
        assert {each.uri_template.partition(":")[0] for each in templates} == {"job", "session"}
        assert (await client.list_resources()).resources == []
