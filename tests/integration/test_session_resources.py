"""Sessions as resources, and being told of what happens in them: both eras, both transports."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp
import mcp_types as types
import pytest
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated

from console_automation.app import App
from console_automation.core.recording import DROPPED
from console_automation.frontends.mcp.server import McpServer
from tests.integration.clients import Connected
from tests.integration.conftest import Gate
from tests.integration.servers import Server
from tests.integration.steps import ok
from tests.integration.test_mcp_notifications import EACH, Connect, subscriber
from tests.integration.test_mcp_protocol import read
from tests.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

ERAS = pytest.mark.parametrize("mode", ["legacy", "auto"])


@asynccontextmanager
async def session(client: mcp.Client, line: str, **options: Any) -> AsyncIterator[str]:
    """A session that runs a line of shell; closed and forgotten afterwards."""
    program = {"command": "/usr/bin/env", "args": ["sh", "-c", line], "options": options}
    created = await ok(Connected(client), "console_create_session", **program)
    session_id: str = created["sessionId"]
    try:
        yield session_id
    finally:
        await ok(Connected(client), "console_stop_session", sessionId=session_id, force=True)


async def sees(client: mcp.Client, session_id: str, pattern: str) -> None:
    asked = {"sessionId": session_id, "pattern": pattern, "since": 0}
    await ok(Connected(client), "console_wait_for_output", **asked)


@EACH
@ERAS
async def test_a_session_and_its_parts_are_resources(
    connect: Connect, mode: str, server: Server, gate: Gate
) -> None:
    line = f"printf 'one\\ntwo\\033[1A\\033[3Dup\\n\\n'; {gate.wait}; echo end; cat"
    async with connect(server, mode=mode) as client, session(client, line, name="box") as it:
        uri = f"session://{it}"
        listed = {str(each.uri): each for each in (await client.list_resources()).resources}
        kinds = {
            uri: ("box", "application/json"),
            f"{uri}/screen": ("Screen of box", "text/plain"),
            f"{uri}/output": ("Output of box", "text/plain"),
            f"{uri}/recording": ("Recording of box", "application/x-asciicast"),
        }
        for each, expected in kinds.items():
            assert (listed[each].title, listed[each].mime_type) == expected
        await sees(client, it, "up")
        assert await read(client, f"{uri}/screen") == "upe\ntwo"
        assert (await read(client, f"{uri}/output")).startswith("one\ntwo")
        gate.open()
        await sees(client, it, "end")
        last = (await ok(Connected(client), "console_get_output", sessionId=it))["nextSince"]
        assert await read(client, f"{uri}/output?since={last}&limit=5") == ""
        state = json.loads(await read(client, uri))
        assert (state["sessionId"], state["session"]["name"]) == (it, "box")
        assert state["state"] in ("executing", "waiting_for_input")
        header, *events = map(json.loads, (await read(client, f"{uri}/recording")).splitlines())
        assert (header["version"], header["title"]) == (2, "box")
        assert "".join(text for _, code, text in events if code == "o").endswith("end\r\n")


@EACH
async def test_a_subscriber_is_told_of_a_session_and_of_what_it_shows(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with subscriber(connect, server) as (client, told):
        async with session(client, f"{gate.wait}; echo news; cat") as it:
            uris = {f"session://{it}{part}" for part in ("", "/screen", "/output", "/recording")}
            for uri in uris:
                await client.session.subscribe_resource(uri)
            gate.open()
            await until(lambda: uris - set(told) == {f"session://{it}"})
            await ok(Connected(client), "console_resize_session", sessionId=it, cols=90, rows=20)
            await until(lambda: uris <= set(told))
            before = told.count(f"session://{it}")
        await until(lambda: told.count(f"session://{it}") > before, "news of its end")


@EACH
async def test_a_listener_is_told_of_a_session_and_of_new_ones(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with connect(server) as client, session(client, f"{gate.wait}; echo news; cat") as it:
        uris = [f"session://{it}", f"session://{it}/screen", f"session://{it}/output"]
        async with client.listen(
            resource_subscriptions=uris, resources_list_changed=True
        ) as stream:
            assert stream.honored.resource_subscriptions == uris
            async with session(client, "cat"):
                gate.open()
                await sees(client, it, "news")
                await ok(Connected(client), "console_stop_session", sessionId=it, force=True)
                wanted = {ResourcesListChanged(), *(ResourceUpdated(uri=uri) for uri in uris)}
                async with asyncio.timeout(20):
                    async for event in stream:
                        wanted.discard(event)
                        if not wanted:
                            break


@EACH
async def test_a_session_that_floods_makes_few_notifications(
    connect: Connect, server: Server, gate: Gate
) -> None:
    async with subscriber(connect, server) as (client, told):
        line = f"{gate.wait}; yes | head -n 500000; echo flooded; cat"
        async with session(client, line) as it:
            for part in ("screen", "output"):
                await client.session.subscribe_resource(f"session://{it}/{part}")
            gate.open()

            async def is_flooded() -> bool:
                asked = {"sessionId": it, "pattern": "flooded", "since": 0}
                answer = await Connected(client).call("console_wait_for_output", asked)
                return not answer.is_error

            await until(is_flooded)
            await until(lambda: told)
            assert len(told) < 100


@EACH
async def test_what_a_session_does_not_have_cannot_be_watched(
    connect: Connect, server: Server
) -> None:
    async with connect(server, mode="legacy") as client:
        with pytest.raises(mcp.MCPError, match="session://"):
            await client.session.subscribe_resource("session://x/input")


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_nobody_follows_a_session_when_all_have_left(app: App, mode: str) -> None:
    server = McpServer(app.engine)
    created = await app.call("console_create_session", command="cat")
    session_id = created.view["sessionId"]
    uri = f"session://{session_id}/screen"
    for _ in range(3):
        async with mcp.Client(server.server, mode=mode) as client:
            if mode == "legacy":
                await client.session.subscribe_resource(uri)
                assert len(server.subscriptions) == 1
            else:
                async with client.listen(resource_subscriptions=[uri]):
                    assert len(server.subscriptions) == 1
        await until(lambda: len(server.subscriptions) == 0)
    await app.call("console_stop_session", sessionId=session_id, force=True)


async def test_the_recording_of_a_long_session_is_its_newest_part(app: App) -> None:
    """Of 2 MB only one fits: a marker says that there is more, and where."""
    program = {"command": "/usr/bin/env", "args": ["sh", "-c", "seq 250000; echo last"]}
    created = await app.call("console_create_session", **program)
    session_id = created.view["sessionId"]

    async def is_over() -> bool:
        return (await app.engine.consoles.get(session_id)).is_terminal

    await until(is_over)
    async with mcp.Client(McpServer(app.engine).server) as client:
        text = await read(client, f"session://{session_id}/recording")
    whole = "".join([line async for line in app.recording(session_id)])
    assert 900_000 < len(text) <= 1 << 20 < len(whole)
    header, marker, *events = map(json.loads, text.splitlines())
    assert (header["width"], marker[1]) == (120, "m")
    assert marker[2] != DROPPED and f"record {session_id}" in marker[2]
    assert whole.endswith(text.partition("\n")[2].partition("\n")[2])
    assert events[-1][2].endswith("last\r\n")


async def test_a_session_that_is_over_can_still_be_looked_at(app: App) -> None:
    created = await app.call("console_create_session", command="/usr/bin/env", args=["echo", "bye"])
    uri = f"session://{created.view['sessionId']}"

    async def is_over() -> bool:
        return (await app.engine.consoles.get(created.view["sessionId"])).is_terminal

    await until(is_over)
    async with mcp.Client(McpServer(app.engine).server) as client:
        assert json.loads(await read(client, uri))["state"] == "closed"
        for part in ("screen", "output"):
            assert (await read(client, f"{uri}/{part}")).strip() == "bye"
        found = (await client.read_resource(f"{uri}/recording")).contents
        assert [each.mime_type for each in found] == ["application/x-asciicast"]
        assert isinstance(found[0], types.TextResourceContents)
