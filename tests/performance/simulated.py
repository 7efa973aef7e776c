"""Workers that only say that they live: entries and beats under the cluster's seal, from one process."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self

from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.bus import NatsBus
from console_automation.core.target import host_key
from console_automation.core.worker import Beat, Worker, beat_to_bytes
from console_automation.engine.roster import Roster, sealed_beat
from console_automation.engine.waiters import end_all
from console_automation.frontends.worker.presence import BEATS_PER_LEASE
from tests.integration.nats_server import NatsServer
from tests.performance.cluster_parts import KEY

_LEASE = 10.0  #: seconds; the default of cluster_lease_ms
_ROOM = 1 << 26


class Crowd:
    """A thread with a loop of its own, in which they live."""

    def __init__(self, server: NatsServer, name: str, *, workers: int) -> None:
        access = Access(servers=(server.url,))
        self._bus = NatsBus(name, access, lease=_LEASE, max_bytes=_ROOM)
        self._roster = Roster(self._bus, KEY.encode(), lease=_LEASE)
        self._hosts = [f"simulated-{number}" for number in range(workers)]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: list[asyncio.Task[None]] = []

    @staticmethod
    def beats_per_second(workers: int) -> float:
        """Return how often one of so many is heard of."""
        return workers * BEATS_PER_LEASE / _LEASE

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._enter())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def listen(self, count: int) -> None:
        """Have each of them heard by so many more."""
        self._do(self._listen(count))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _enter(self) -> None:
        connected = asyncio.Event()
        self._bus.open(connected.set)
        await connected.wait()
        for host in self._hosts:
            entry = Worker(host=host, instance=host, version="0")
            await self._roster.change(host, lambda _, entry=entry: entry)
        self._tasks += [asyncio.create_task(self._live(host)) for host in self._hosts]

    async def _live(self, host: str) -> None:
        beat = beat_to_bytes(Beat(instance=host, slots=10, running=5, waiting=0))
        while True:
            await self._bus.beats.put(host_key(host), sealed_beat(KEY.encode(), host, beat))
            await asyncio.sleep(_LEASE / BEATS_PER_LEASE)

    async def _listen(self, count: int) -> None:
        self._tasks += [asyncio.create_task(self._hear()) for _ in range(count)]

    async def _hear(self) -> None:
        async for _ in self._bus.beats.watch():
            pass

    async def _leave(self) -> None:
        await end_all(self._tasks)
        await self._bus.close()
