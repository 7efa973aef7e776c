"""Streams that are there already when a machine comes that wants other limits, on a real NATS server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.bus import NatsBus
from console_automation.adapters.nats.live import Live, OnlyClient
from tests.integration.nats_server import NatsServer, running_nats_server
from tests.waiting import until

ROOM, LEASE = 100_000, 2.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with running_nats_server(tmp_path / "nats") as running:
        yield running


@asynccontextmanager
async def machine(server: NatsServer, **limits: Any) -> AsyncIterator[NatsBus]:
    """A machine of the cluster, connected."""
    access = Access(servers=(server.url,))
    bus = NatsBus("test", access, **{"lease": LEASE, "max_bytes": ROOM, **limits})
    connected = asyncio.Event()
    bus.open(connected.set)
    await until(connected.is_set)
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def administrator(server: NatsServer) -> AsyncIterator[Live]:
    client = OnlyClient(wants_tls=False)
    await client.connect(servers=[server.url], allow_reconnect=False)
    try:
        yield Live(client)
    finally:
        await client.close()


async def config_of(live: Live, kind: str) -> dict[str, Any]:
    config: dict[str, Any] = (await live.api(f"STREAM.INFO.KV_test-{kind}"))["config"]
    return config


async def test_larger_limits_are_those_of_what_is_there_already_and_smaller_ones_are_not(
    server: NatsServer,
) -> None:
    async with administrator(server) as live:
        async with machine(server) as first:
            await first.jobs.put("a", b"x" * (ROOM // 2))
            filled = await first.jobs.fill()
        async with machine(server, max_bytes=2 * ROOM, lease=10 * LEASE) as second:
            assert await second.jobs.fill() == pytest.approx(filled / 2)
            assert await second.jobs.get("a")
        async with machine(server):
            assert (await config_of(live, "jobs"))["max_bytes"] == 2 * ROOM
            assert (await config_of(live, "beats"))["max_age"] == 10 * LEASE * 10**9


async def test_what_somebody_has_set_besides_stays(server: NatsServer) -> None:
    async with administrator(server) as live:
        async with machine(server):
            before = await config_of(live, "jobs")
        await live.api(
            "STREAM.UPDATE.KV_test-jobs", {**before, "description": "of the night shift"}
        )
        async with machine(server, max_bytes=2 * ROOM):
            after = await config_of(live, "jobs")
        assert (after["description"], after["max_bytes"]) == ("of the night shift", 2 * ROOM)
