"""Being told instead of polling: subscriptions of the older era, listening of the newer one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import mcp
import mcp_types as types
import pytest
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from console_automation.app import App
from console_automation.frontends.mcp.server import McpServer
from console_automation.frontends.mcp.subscriptions import Outbox
from tests.integration.clients import Connected, over_http, over_stdio
from tests.integration.conftest import Gate
from tests.integration.servers import Server
from tests.integration.steps import ok, over, printed, running, start
from tests.waiting import until

# `subscribe_resource` is deprecated because its era is; clients of that era go on using it.
pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

TRANSPORTS = {"stdio": over_stdio, "http": over_http}
EACH = pytest.mark.parametrize("connect", TRANSPORTS.values(), ids=TRANSPORTS)
Connect = Callable[..., Any]


@asynccontextmanager
async def subscriber(connect: Connect, to: Any) -> AsyncIterator[tuple[mcp.Client, list[str]]]:
    """A client of the older era and the list of the URIs it is told of."""
    told: list[str] = []

    async def heard(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            told.append(str(message.params.uri))

    async with connect(to, mode="legacy", message_handler=heard) as client:
        yield client, told


@EACH
async def test_a_subscriber_is_told_of_the_job_and_of_its_output(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with subscriber(connect, server) as (client, told):
        job_id = await start(Connected(client), f"{gate.wait}; echo news")
        await running(Connected(client), job_id)
        about = f"job://{job_id}"
        await client.session.subscribe_resource(about)
        await client.session.subscribe_resource(f"{about}/output")
        gate.open()
        await until(lambda: {about, f"{about}/output"} <= set(told))
        await until(lambda: printed(Connected(client), job_id))
        assert (await over(Connected(client), job_id))["status"] == "completed"


@EACH
async def test_who_unsubscribes_is_told_no_more(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with subscriber(connect, server) as (client, told):
        watched = await start(Connected(client), gate.wait)
        silenced = await start(Connected(client), "true", dependsOn=[watched])
        for job_id in (silenced, watched):
            await client.session.subscribe_resource(f"job://{job_id}")
        await client.session.unsubscribe_resource(f"job://{silenced}")
        await ok(Connected(client), "console_cancel_job", jobId=silenced)
        before = told.count(f"job://{watched}")
        gate.open()
        await until(lambda: told.count(f"job://{watched}") > before)
        assert f"job://{silenced}" not in told


@EACH
async def test_a_listener_is_told_what_it_asked_for(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with connect(server) as client:
        job_id = await start(Connected(client), f"{gate.wait}; echo news; {gate.wait}")
        await running(Connected(client), job_id)
        uris = [f"job://{job_id}", f"job://{job_id}/output"]
        async with client.listen(
            resource_subscriptions=uris, resources_list_changed=True
        ) as stream:
            assert stream.honored.resource_subscriptions == uris
            assert stream.honored.resources_list_changed is True
            await start(Connected(client), "true")
            gate.open()
            wanted = {ResourcesListChanged(), *(ResourceUpdated(uri=uri) for uri in uris)}
            async with asyncio.timeout(20):
                async for event in stream:
                    wanted.discard(event)
                    if not wanted:
                        break
        await over(Connected(client), job_id)


@EACH
async def test_a_listener_is_told_nothing_else(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with connect(server) as client:
        other = await start(Connected(client), gate.wait)
        mine = await start(Connected(client), gate.wait)
        for job_id in (other, mine):
            await running(Connected(client), job_id)
        async with client.listen(resource_subscriptions=[f"job://{mine}"]) as stream:
            await ok(Connected(client), "console_cancel_job", jobId=other)
            gate.open()
            async with asyncio.timeout(20):
                assert await anext(stream) == ResourceUpdated(uri=f"job://{mine}")


@EACH
async def test_output_that_floods_makes_few_notifications(connect: Connect, server: Server) -> None:
    """Told are cues, not copies: ten thousand lines are not ten thousand messages."""
    async with subscriber(connect, server) as (client, told):
        job_id = await start(Connected(client), "yes | head -n 2000000", idleTimeout=20_000)
        await client.session.subscribe_resource(f"job://{job_id}/output")
        await over(Connected(client), job_id)
        assert len(told) < 100


@EACH
async def test_what_cannot_be_watched_is_refused(connect: Connect, server: Server) -> None:
    async with connect(server, mode="legacy") as client:
        with pytest.raises(mcp.MCPError, match="job://"):
            await client.session.subscribe_resource("file:///etc/passwd")
    async with connect(server) as client:
        with pytest.raises(mcp.MCPError, match="job://"):
            async with client.listen(resource_subscriptions=["file:///etc/passwd"]):
                pass


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_who_has_left_or_was_refused_is_not_remembered(app: App, mode: str) -> None:
    """Promise 26: a client may vanish, and nothing of it stays."""
    server = McpServer(app.engine)
    job_id = await app.start_background_job("cat", keep_stdin=True)
    uri = f"job://{job_id}/output"
    for _ in range(3):
        async with mcp.Client(server.server, mode=mode) as client:
            if mode == "legacy":
                await client.session.subscribe_resource(uri)
                assert len(server.subscriptions) == 1
            else:
                with pytest.raises(mcp.MCPError):
                    async with client.listen(resource_subscriptions=[uri, "no://such"]):
                        pass
                assert len(server.subscriptions) == 0
                async with client.listen(resource_subscriptions=[uri]):
                    assert len(server.subscriptions) == 1
        await until(lambda: len(server.subscriptions) == 0)
    await app.call("console_cancel_job", jobId=job_id)


async def test_one_client_cannot_crowd_out_the_others(app: App) -> None:
    server = McpServer(app.engine).server
    crowd = [f"job://job-{number}" for number in range(2000)]
    async with (
        subscriber(mcp.Client, server) as (modest, told),
        mcp.Client(server, mode="legacy") as greedy,
    ):
        job_id = await app.start_background_job("cat", keep_stdin=True)
        await modest.session.subscribe_resource(f"job://{job_id}")
        for uri in crowd[:1024]:
            await greedy.session.subscribe_resource(uri)
        with pytest.raises(mcp.MCPError, match="1024"):
            await greedy.session.subscribe_resource(crowd[1024])
        await app.call("console_cancel_job", jobId=job_id)
        await until(lambda: f"job://{job_id}" in told)
    async with mcp.Client(server) as greedy:
        with pytest.raises(mcp.MCPError, match="1024"):
            async with greedy.listen(resource_subscriptions=crowd):
                pass


async def test_a_slow_reader_has_one_cue_waiting_for_what_changed_often() -> None:
    outbox = Outbox()
    for _ in range(10_000):
        outbox.put("notifications/resources/updated", "job://a")
        outbox.put("notifications/resources/updated", "job://b")
    outbox.put("end")
    assert [await outbox.take() for _ in range(3)] == [
        ("notifications/resources/updated", "job://a"),
        ("notifications/resources/updated", "job://b"),
        ("end", ""),
    ]
