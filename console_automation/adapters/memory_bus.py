"""The cluster's bus in memory: many buses on one cluster, which can be away."""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from console_automation.errors import LimitReached, Unavailable
from console_automation.ports.cluster import Gone, Hint, Stale, Stored

AGAIN = 5.0  # seconds until a hint comes again that was not dealt with
Reply = Callable[[bytes], Awaitable[bytes]]


class MemoryCluster:
    """What the buses share. To go away and come back is what a crash of the server does."""

    def __init__(self, *, lease: float = 30.0, max_bytes: int = 1 << 30) -> None:
        self.is_away = False
        self.jobs = Bucket(max_bytes)
        self.workers = Bucket(max_bytes)
        self.beats = Bucket(max_bytes, lease)
        self.hints: dict[tuple[str, str], Waiting] = {}
        self.replies: dict[str, tuple[object, Reply]] = {}
        self.buses: set[MemoryBus] = set()
        self._changed = asyncio.Event()

    def go_away(self) -> None:
        """Be unreachable from now on."""
        self.is_away = True
        self.notify()

    def come_back(self) -> None:
        """Be there again with what was on disk, which signs of life are not."""
        self.is_away = False
        self.beats = Bucket(self.beats.max_bytes, self.beats.lease)
        self.notify()
        for bus in self.buses:
            bus.reached()

    def notify(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, *, within: float | None = None) -> None:
        """Wait for a change, or for so many seconds."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            pass


@dataclass(slots=True)
class Bucket:
    """The last of each record, in the order of their revisions; what is gone is there without a value."""

    max_bytes: int
    lease: float | None = None
    entries: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)
    revision: int = 0

    def current(self, key: str) -> tuple[int, bytes | None]:
        """Return revision and value, which is None for a record that is not there."""
        return self.entries.get(key, (0, None))

    def write(self, key: str, value: bytes | None) -> int:
        """Store a record, or that there is none. Raises LimitReached."""
        size = self.size + len(value or b"") - len(self.current(key)[1] or b"")
        if value is not None and size > self.max_bytes:
            raise LimitReached(
                f"The cluster has no room for {key!r}: {size} bytes, and {self.max_bytes} are allowed."
            )
        self.revision += 1
        self.entries.pop(key, None)
        self.entries[key] = (self.revision, value)
        return self.revision

    @property
    def size(self) -> int:
        """Bytes that are kept."""
        return sum(len(each) for _, each in self.entries.values() if each is not None)

    def since(self, revision: int) -> list[Stored | Gone]:
        """Return what has changed since then, oldest first."""
        found: list[Stored | Gone] = []
        for key, (number, value) in reversed(self.entries.items()):
            if number <= revision:
                break
            if value is None:
                found.append(Gone(key=key))
            else:
                found.append(Stored(key=key, value=value, revision=number))
        return found[::-1]


class MemoryRecords:
    """One bucket, seen from one bus."""

    def __init__(self, bus: "MemoryBus", bucket: Callable[[], Bucket]) -> None:
        self._bus = bus
        self._bucket = bucket

    async def get(self, key: str) -> Stored | None:
        """Return a record as it is now."""
        await self._bus.reach()
        revision, value = self._bucket().current(key)
        return None if value is None else Stored(key=key, value=value, revision=revision)

    async def create(self, key: str, value: bytes) -> int:
        """Store a record that does not exist."""
        await self._bus.reach()
        if self._bucket().current(key)[1] is not None:
            raise Stale(f"{key!r} exists")
        return self._write(key, value)

    async def update(
        self, key: str, value: bytes, *, revision: int, keep: float | None = None
    ) -> int:
        """Replace the record of that revision; whole seconds of `keep` count."""
        await self._bus.reach()
        if self._bucket().current(key)[0] != revision:
            raise Stale(f"{key!r} has changed")
        return self._write(key, value, None if keep is None else max(1, math.ceil(keep)))

    async def put(self, key: str, value: bytes) -> int:
        """Store a record whatever was there."""
        await self._bus.reach()
        return self._write(key, value)

    async def delete(self, key: str) -> None:
        """Remove a record."""
        await self._bus.reach()
        self._write(key, None)

    async def fill(self) -> float:
        """Return which share of the room is in use."""
        await self._bus.reach()
        return self._bucket().size / self._bucket().max_bytes

    async def watch(self) -> AsyncIterator[Stored | Gone | None]:
        """Begin again only where signs of life were lost."""
        await self._bus.reach()
        bucket = self._bucket()
        seen = bucket.revision
        for record in bucket.since(0):
            if isinstance(record, Stored):
                yield record
        yield None
        while True:
            if self._bucket() is not bucket:
                raise Unavailable("The signs of life are lost; begin again.")
            if self._bus.is_connected:
                news, before = bucket.since(seen), seen
                seen = bucket.revision
                for record in news:
                    yield record
                if seen != before:
                    continue
            await self._bus.cluster.change()
            self._bus.check_open()

    def _write(self, key: str, value: bytes | None, keep: float | None = None) -> int:
        bucket = self._bucket()
        revision = bucket.write(key, value)
        keep = bucket.lease if keep is None else keep
        if keep is not None and value is not None:
            asyncio.get_running_loop().call_later(keep, self._forget, bucket, key, revision)
        self._bus.cluster.notify()
        return revision

    def _forget(self, bucket: Bucket, key: str, revision: int) -> None:
        if bucket.current(key)[0] == revision:
            bucket.write(key, None)
            self._bus.cluster.notify()


@dataclass(slots=True)
class Waiting:
    """A hint's place in its queue, and from when on it can be handed out."""

    job_id: str
    ready_at: float = 0.0


class MemoryHint:
    """A hint that was handed out."""

    def __init__(self, bus: "MemoryBus", queue: str, waiting: Waiting) -> None:
        self.job_id = waiting.job_id
        self._bus = bus
        self._queue = queue
        self._waiting = waiting

    async def done(self) -> None:
        """Remove it."""
        place = (self._queue, self.job_id)
        if self._bus.is_connected and self._bus.cluster.hints.get(place) is self._waiting:
            del self._bus.cluster.hints[place]

    async def later(self, delay: float) -> None:
        """Give it back."""
        if self._bus.is_connected:
            self._waiting.ready_at = asyncio.get_running_loop().time() + delay
            self._bus.cluster.notify()


class MemoryBus:
    """Keeps ClusterBus, for one gateway or worker."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self.cluster = cluster
        self.jobs = MemoryRecords(self, lambda: cluster.jobs)
        self.workers = MemoryRecords(self, lambda: cluster.workers)
        self.beats = MemoryRecords(self, lambda: cluster.beats)
        self._connected: Callable[[], None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether it is open and the cluster there."""
        return self._connected is not None and not self.cluster.is_away

    def open(self, connected: Callable[[], None]) -> None:
        """Be connected, or as soon as the cluster comes back."""
        self._connected = connected
        self.cluster.buses.add(self)
        if not self.cluster.is_away:
            self.reached()

    def reached(self) -> None:
        """Say that the cluster is there; soon, as it does not happen during the call."""
        if self._connected is not None:
            asyncio.get_running_loop().call_soon(self._connected)

    async def close(self) -> None:
        """Let go of the cluster and of the questions it was to answer."""
        self._connected = None
        self.cluster.buses.discard(self)
        for host, (bus, _) in list(self.cluster.replies.items()):
            if bus is self:
                del self.cluster.replies[host]
        self.cluster.notify()

    async def reach(self) -> None:
        """Let others go first, as a network would. Raises Unavailable."""
        await asyncio.sleep(0)
        self.check_connected()

    def check_connected(self) -> None:
        """Raise Unavailable where there is no cluster."""
        if not self.is_connected:
            raise Unavailable("The cluster cannot be reached.")

    def check_open(self) -> None:
        """Raise Unavailable where there will be no cluster any more."""
        if self._connected is None:
            raise Unavailable("The connection to the cluster is closed.")

    async def hint(self, queue: str, job_id: str) -> None:
        """Put a hint into a queue; one that is there keeps its place."""
        await self.reach()
        self.cluster.hints.setdefault((queue, job_id), Waiting(job_id))
        self.cluster.notify()

    async def hints(self, queue: str, *, limit: int, wait: float) -> list[Hint]:
        """Hand out what can be, oldest first."""
        await self.reach()
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while True:
            mine = [each for (name, _), each in self.cluster.hints.items() if name == queue]
            ready = [each for each in mine if each.ready_at <= clock()][:limit]
            for each in ready:
                each.ready_at = clock() + AGAIN
            if ready or clock() >= until:
                return [MemoryHint(self, queue, each) for each in ready]
            next_look = min([until, *(each.ready_at for each in mine)])
            await self.cluster.change(within=next_look - clock())
            self.check_connected()

    async def hinted(self) -> set[str]:
        """Return the ids of the jobs that have a hint."""
        await self.reach()
        return {job_id for _, job_id in self.cluster.hints}

    async def ask(self, host: str, question: bytes, *, timeout: float) -> bytes:
        """Have the host's function called."""
        await self.reach()
        if host not in self.cluster.replies:
            raise Unavailable(f"Nobody answers for {host}.")
        try:
            async with asyncio.timeout(timeout):
                answer = await self.cluster.replies[host][1](question)
        except TimeoutError as error:
            raise Unavailable(f"{host} has not answered in {timeout:g} s.") from error
        self.check_connected()
        return answer

    async def answer(self, host: str, reply: Reply) -> None:
        """Answer for a host until closed."""
        self.cluster.replies[host] = (self, reply)
