"""Which workers there are, and which of them have been heard of lately.

Silence is counted on this machine's clock from what this process has heard: no two clocks are ever
compared, and while NATS cannot be reached nobody falls silent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from console_automation.core.cluster_codec import worker_from_bytes, worker_to_bytes
from console_automation.core.cluster_job import Holder
from console_automation.core.seal import Forged, seal, unseal
from console_automation.core.target import Member, Reach, Target, host_key, host_of_key, meant
from console_automation.core.worker import Beat, Worker, WorkerStatus, beat_from_bytes
from console_automation.engine.waiters import Waiters, end_all
from console_automation.errors import BadRequest, Unavailable
from console_automation.ports.cluster import ClusterBus, Gone, Stale, Stored

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5
_PREFIX = "worker/"  #: before the host name, in the place that a seal is for


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A worker, and how it was when it was last heard of."""

    worker: Worker
    beat: Beat | None
    silence: float  #: seconds since then, or since this process began to listen
    is_live: bool

    @property
    def status(self) -> WorkerStatus:
        """The word that clients see."""
        if not self.is_live:
            return WorkerStatus.UNREACHABLE
        return WorkerStatus.CORDONED if self.worker.cordoned_by else WorkerStatus.LIVE

    @property
    def member(self) -> Member:
        """The worker as targets look at it."""
        return Member(
            host=self.worker.host,
            labels=self.worker.labels,
            is_live=self.is_live,
            is_cordoned=bool(self.worker.cordoned_by),
        )


class Roster:
    """Watches the workers. `lease` is how many seconds a sign of life stands for."""

    def __init__(self, bus: ClusterBus, key: bytes, *, lease: float) -> None:
        self.changed: Callable[[], None] = lambda: None  #: called when an entry has changed
        self.news = Waiters()  #: for signs of life, by host name
        self.listens = asyncio.Event()  #: set while everything that is known has been read
        self._bus = bus
        self._key = key
        self._lease = lease
        self._workers: dict[str, Worker] = {}
        self._beats: dict[str, Beat] = {}
        self._heard: dict[tuple[str, str], float] = {}
        self._names: dict[str, str] = {}  #: of instances: the host name of the last sign of life
        self._caught_up: set[str] = set()  #: with which of the two kinds of records
        self._since = 0.0  #: when it began to listen without a gap
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Begin to listen."""
        self._tasks = [
            asyncio.create_task(self._keep("workers", self._watch_workers)),
            asyncio.create_task(self._keep("beats", self._watch_beats)),
        ]

    async def close(self) -> None:
        """Cease."""
        await end_all(self._tasks)

    # -- what is known -----------------------------------------------------------------------

    def standings(self) -> list[Standing]:
        """Return every worker, by host name."""
        return [self._standing(self._workers[host]) for host in sorted(self._workers)]

    def get(self, host: str) -> Standing | None:
        """Return one worker, None when there is no entry."""
        worker = self._workers.get(host)
        return None if worker is None else self._standing(worker)

    def has_one_for(self, target: Target) -> bool:
        """Whether there is a worker for a target that means a single one, without looking at each: there
        may be a thousand, and this is asked for every job."""
        if target.reach is Reach.HOST:
            return target.value in self._workers
        return target.reach is Reach.ANY and any(
            meant(target, [self._standing(each).member]) for each in self._workers.values()
        )

    def silence(self, host: str, instance: str) -> float:
        """Return the seconds since that instance was heard of, or since this process listens."""
        now = asyncio.get_running_loop().time()
        return now - max(self._heard.get((host, instance), 0.0), self._since)

    def name_of(self, holder: Holder) -> str:
        """Return the host name that who has a job goes by now: it may have been started under another."""
        return self._names.get(holder.instance, holder.host)

    def hear(self, host: str, instance: str) -> None:
        """Note that an instance did something just now: a claim is as good as a sign of life."""
        self._heard[host, instance] = asyncio.get_running_loop().time()

    def listen_anew(self) -> None:
        """Count every silence from now: this process may have been the one that slept."""
        self._since = asyncio.get_running_loop().time()

    def _standing(self, worker: Worker) -> Standing:
        beat = self._beats.get(worker.host)
        is_this = beat is not None and beat.instance == worker.instance
        silence = self.silence(worker.host, worker.instance)
        return Standing(
            worker=worker,
            beat=beat if is_this else None,
            silence=silence,
            is_live=is_this and silence < self._lease,
        )

    # -- entries -----------------------------------------------------------------------------

    async def entry(self, host: str) -> tuple[Worker, int] | None:
        """Return a worker's entry as it is now and its revision, None when there is none."""
        stored = await self._bus.workers.get(host_key(host))
        worker = stored and self._opened(stored)
        return (worker, stored.revision) if stored and worker else None

    async def change(self, host: str, change: Callable[[Worker | None], Worker]) -> Worker:
        """Replace a worker's entry by what `change` makes of it, whoever else is at it."""
        while True:
            found = await self.entry(host)
            after = change(found and found[0])
            body = seal(self._key, _PREFIX + host, worker_to_bytes(after))
            try:
                if found is None:
                    await self._bus.workers.put(host_key(host), body)
                elif after != found[0]:
                    await self._bus.workers.update(host_key(host), body, revision=found[1])
            except Stale:
                continue
            self._note(after, before=found and found[0])
            return after

    def _note(self, worker: Worker, *, before: Worker | None) -> None:
        """Take an entry down. What a worker said before it was cordoned does not say that it has no job."""
        self._workers[worker.host] = worker
        beat = self._beats.get(worker.host)
        if beat and worker.cordoned_by and not (before and before.cordoned_by):
            self._beats[worker.host] = replace(beat, takes_jobs=True)

    async def forget(self, host: str) -> None:
        """Remove a worker's entry."""
        await self._bus.workers.delete(host_key(host))
        self._workers.pop(host, None)

    def _opened(self, stored: Stored) -> Worker | None:
        host = host_of_key(stored.key)
        try:
            return worker_from_bytes(unseal(self._key, _PREFIX + host, stored.value))
        except Forged:
            log.error(
                "the entry of worker %s does not have the cluster's seal; it is ignored", host
            )
        except (ValueError, TypeError):
            log.exception("the entry of worker %s cannot be read; it is ignored", host)
        return None

    # -- listening ---------------------------------------------------------------------------

    async def _keep(self, kind: str, watch: Callable[[], Awaitable[None]]) -> None:
        """Watch one kind of records, again and again.

        Each is a task of its own: a TaskGroup hands a cancellation on once and no more, and where it gets
        lost in the library the group never ends.
        """
        while True:
            try:
                await watch()
            except Unavailable as error:
                log.info("the %s cannot be watched, will try again: %s", kind, error)
            self.listens.clear()
            self._caught_up.discard(kind)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _watch_workers(self) -> None:
        async for each in _complete(self._bus.workers.watch(), self._workers):
            if each is None:
                self._catch_up("workers")
            elif isinstance(each, Stored):
                worker = self._opened(each)
                if worker:
                    self._note(worker, before=self._workers.get(worker.host))
            self.changed()

    def _catch_up(self, kind: str) -> None:
        self._caught_up.add(kind)
        if len(self._caught_up) == 2:
            self.listens.set()

    async def _watch_beats(self) -> None:
        self.listen_anew()
        async for each in _complete(self._bus.beats.watch(), self._beats):
            if each is None:
                self._catch_up("beats")
            elif isinstance(each, Stored):
                host = host_of_key(each.key)
                try:
                    beat = beat_from_bytes(unseal(self._key, f"beat/{host}", each.value))
                except (Forged, ValueError, TypeError):
                    log.error("a sign of life of %s is not of this cluster; it is ignored", host)
                    continue
                self._beats[host] = beat
                self._names[beat.instance] = host
                self.hear(host, beat.instance)
                self.news.tell(host)


async def _complete(
    watched: AsyncIterator[Stored | Gone | None], known: dict[str, Any]
) -> AsyncIterator[Stored | Gone | None]:
    """Pass on what is watched; drop from what is known whatever is gone, or was when watching began."""
    seen: set[str] | None = set()
    async for each in watched:
        if isinstance(each, Gone):
            known.pop(host_of_key(each.key), None)
        elif isinstance(each, Stored) and seen is not None:
            seen.add(host_of_key(each.key))
        elif each is None and seen is not None:
            for host in set(known) - seen:
                del known[host]
            seen = None
        yield each


def sealed_beat(key: bytes, host: str, beat: bytes) -> bytes:
    """Return a sign of life of a host as it is sent."""
    return seal(key, f"beat/{host}", beat)


def check_free(found: Standing | None, instance: str, host: str) -> None:
    """Raise BadRequest when another worker of that host name is alive."""
    if found and found.is_live and found.worker.instance != instance:
        raise BadRequest(
            f"setting worker_host: {host!r} is taken by another worker that is alive. Give this one a"
            " name of its own."
        )
