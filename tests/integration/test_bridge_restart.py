"""The bridge outlives its daemon: the client is told what happened, and its next call just works."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import mcp
import mcp_types as types
import pytest
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.subscriptions import ResourceUpdated

from tests.integration.clients import Connected, over_stdio
from tests.integration.conftest import Gate
from tests.integration.raw import CLIENT, LEGACY, MODERN, bridge
from tests.integration.servers import (
    PROGRAM,
    Server,
    configure,
    end_everything,
    environment,
)
from tests.integration.steps import ok, over, running, start, status
from tests.waiting import PATIENCE, until


@pytest.fixture
def house(home: Path) -> Iterator[Server]:
    """A state directory whose daemons are started by their clients, as in real life."""
    configure(home, progress_interval_ms=50)
    yield Server(home, 0)
    end_everything(home)


def kill_daemon(house: Server) -> int:
    """Have the daemon die as it stands; returns its pid."""
    pid: int = house.ask("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    return pid


async def test_an_open_call_is_answered_and_the_next_one_works(house: Server, gate: Gate) -> None:
    async with over_stdio(house) as client:
        job_id = await start(Connected(client), f"{gate.wait}; exit 7")
        await running(Connected(client), job_id)
        under_way = asyncio.Event()

        async def on_progress(*_: Any) -> None:
            under_way.set()

        waiting = asyncio.create_task(
            client.call_tool(
                "console_get_job_status",
                {"jobId": job_id, "waitMs": 45_000},
                progress_callback=on_progress,
            )
        )
        await under_way.wait()
        before = kill_daemon(house)
        answer = await asyncio.wait_for(waiting, PATIENCE)
        assert answer.is_error and answer.structured_content is not None
        assert answer.structured_content["code"] == "UNAVAILABLE"
        assert "restarted" in answer.structured_content["error"]
        (content,) = answer.content
        assert isinstance(content, types.TextContent) and "nothing is lost" in content.text
        assert (await status(Connected(client), job_id))["status"] == "running"
        assert house.ask("status")["pid"] != before
        gate.open()
        assert (await over(Connected(client), job_id))["exitCode"] == 7


async def test_subscriptions_are_told_to_the_next_daemon(house: Server, gate: Gate) -> None:
    told: list[str] = []

    async def heard(message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            told.append(str(message.params.uri))

    async with over_stdio(house, mode="legacy", message_handler=heard) as client:
        kept, dropped = [await start(Connected(client), gate.wait) for _ in range(2)]
        for job_id in (kept, dropped):
            await running(Connected(client), job_id)
            await subscribe(client, f"job://{job_id}")
        with pytest.warns(mcp.MCPDeprecationWarning):
            await client.session.unsubscribe_resource(f"job://{dropped}")
        told.clear()
        kill_daemon(house)
        await until(lambda: asked_for(house))
        await ok(Connected(client), "console_list_jobs")
        gate.open()
        await over(Connected(client), dropped)
        await until(lambda: f"job://{kept}" in told)
        assert f"job://{dropped}" not in told


async def subscribe(client: mcp.Client, uri: str) -> None:
    with pytest.warns(mcp.MCPDeprecationWarning):
        await client.session.subscribe_resource(uri)


def asked_for(house: Server) -> bool:
    """Whether somebody else but the one who asks is connected to the daemon."""
    return bool(house.ask("status")["connections"] > 1)


async def test_a_listener_is_told_that_its_stream_is_lost_and_may_listen_again(
    house: Server, gate: Gate
) -> None:
    async with over_stdio(house) as client:
        job_id = await start(Connected(client), gate.wait)
        await running(Connected(client), job_id)
        uri = f"job://{job_id}"
        async with client.listen(resource_subscriptions=[uri]) as stream:
            kill_daemon(house)
            with pytest.raises(SubscriptionLost):
                await asyncio.wait_for(all_of(stream), PATIENCE)
        async with client.listen(resource_subscriptions=[uri]) as stream:
            gate.open()
            event = await asyncio.wait_for(anext(stream), PATIENCE)
            assert event == ResourceUpdated(uri=uri)


async def all_of(stream: AsyncIterator[object]) -> list[object]:
    return [event async for event in stream]


@pytest.mark.parametrize("legacy", [True, False], ids=["legacy", "modern"])
def test_every_request_is_answered_once_whenever_the_daemon_dies(
    house: Server, legacy: bool
) -> None:
    with bridge(house.home, legacy=legacy) as wire:
        meta = {} if legacy else {"_meta": MODERN}
        keys = [f"key-{number}" for number in range(40)]
        for key in keys:
            params = {"name": "console_list_jobs", "arguments": {}, **meta}
            wire.say({"jsonrpc": "2.0", "id": key, "method": "tools/call", "params": params})
            if key == "key-25":
                kill_daemon(house)
        assert sorted(wire.hear()["id"] for _ in keys) == sorted(keys)
        last = {"jsonrpc": "2.0", "id": "last", "method": "tools/list", "params": meta}
        wire.say(last)
        message = wire.hear()
        assert message["id"] == "last" and message["result"]["tools"]


def test_a_handshake_survives_the_death_of_its_daemon(house: Server) -> None:
    with bridge(house.home, legacy=False) as wire:
        wire.send(b"\n")
        kill_daemon(house)
        params = {**LEGACY, "clientInfo": CLIENT}
        wire.say({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        assert wire.hear()["id"] == 0
        wire.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert wire.call("console_list_jobs")["total"] == 0


async def test_a_daemon_that_was_stopped_is_started_again_by_the_next_call(
    house: Server, gate: Gate
) -> None:
    """And the one that has ended is gone, no zombie of the bridge's."""
    async with over_stdio(house) as client:
        job_id = await start(Connected(client), f"{gate.wait}; exit 3")
        stopped = house.ask("status")["pid"]
        house.ask("stop")
        await until(lambda: not os.path.exists(f"/proc/{stopped}"))
        gate.open()
        assert (await over(Connected(client), job_id))["exitCode"] == 3


def test_a_state_directory_that_cannot_be_used_is_said_so_on_stderr(house: Server) -> None:
    (house.home / "config.toml").write_text("max_concurrent_jobs = 'many'\n")
    done = subprocess.run(
        [*PROGRAM, "mcp"],
        env=environment(house.home),
        input=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (4, "")
    assert "max_concurrent_jobs" in done.stderr and "'many'" in done.stderr
    assert "Traceback" not in done.stderr


# -- clients beside each other ---------------------------------------------------------------------


async def test_a_job_that_floods_keeps_nobody_waiting(server: Server) -> None:
    async with over_stdio(server) as flooding, over_stdio(server) as other:
        jobs = [await start(Connected(flooding), "yes") for _ in range(2)]
        reading = asyncio.create_task(follow(flooding, jobs[0]))
        for _ in range(50):
            assert (await status(Connected(other), jobs[1]))["status"] == "running"
        assert not reading.done()
        for job_id in jobs:
            await ok(Connected(other), "console_cancel_job", jobId=job_id)
        await asyncio.wait_for(reading, PATIENCE)


async def follow(client: mcp.Client, job_id: str) -> None:
    """Read the newest output of a job again and again until it is over."""
    page: dict[str, Any] = {"status": "running"}
    while page["status"] == "running":
        options = {"latest": True, "maxBytes": 1 << 20}
        page = await ok(Connected(client), "console_get_job_output", jobId=job_id, options=options)


def test_a_client_that_does_not_read_harms_only_itself(server: Server) -> None:
    with bridge(server.home) as deaf, bridge(server.home) as other:
        job_id = other.call("console_execute_command", command="seq 1 200000")["jobId"]
        page = {"jobId": job_id, "options": {"maxBytes": 1 << 20}}
        params = {"name": "console_get_job_output", "arguments": page}
        for key in range(60):
            deaf.say({"jsonrpc": "2.0", "id": key, "method": "tools/call", "params": params})
        for _ in range(20):
            assert other.call("console_list_jobs")["success"]
        assert sorted(deaf.hear()["id"] for _ in range(60)) == list(range(60))


def test_the_same_id_of_two_clients_is_two_requests(server: Server) -> None:
    with bridge(server.home) as one, bridge(server.home) as two:
        wires = {"one": one, "two": two}
        for word, wire in wires.items():
            arguments = {"command": "true", "options": {"name": word}}
            params = {"name": "console_execute_async", "arguments": arguments}
            wire.say({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        for word, wire in wires.items():
            answer = wire.answer(1)["result"]["structuredContent"]
            assert answer["job"]["name"] == word
