"""The roster of workers ends when it is told to, though a library swallows a cancellation."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from console_automation.adapters.memory_bus import MemoryBus, MemoryCluster, MemoryRecords
from console_automation.engine.roster import Roster
from console_automation.ports.cluster import Gone, Stored
from tests.waiting import PATIENCE, until


class Swallowing(MemoryRecords):
    """Watching them takes no notice of being cancelled the first time, as an answer that comes at the same
    moment makes the NATS library do."""

    def __init__(self, bus: MemoryBus) -> None:
        super().__init__(bus, lambda: bus.cluster.workers)
        self.has_swallowed = False

    async def watch(self) -> AsyncIterator[Stored | Gone | None]:
        yield None
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if self.has_swallowed:
                    raise
                self.has_swallowed = True


@pytest.mark.parametrize("kind", ["workers", "beats"])
async def test_a_roster_ends_though_its_first_cancellation_is_swallowed(kind: str) -> None:
    bus = MemoryBus(MemoryCluster())
    records = Swallowing(bus)
    setattr(bus, kind, records)
    bus.open(lambda: None)
    roster = Roster(bus, b"a key that only this test has", lease=30.0)
    roster.open()
    await until(roster.listens.is_set, "the roster to listen")
    async with asyncio.timeout(PATIENCE):
        await roster.close()
    assert records.has_swallowed
