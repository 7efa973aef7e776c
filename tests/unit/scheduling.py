"""A service with schedules that can die at any of its writes, and a clock that is set by hand."""

import asyncio
import itertools
from asyncio import Future, get_running_loop
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_host import MemoryHost
from console_automation.adapters.memory_schedules import MemorySchedules
from console_automation.config import Settings
from console_automation.core.job import Job
from console_automation.core.schedule import Execution, Schedule, Version, activated
from console_automation.core.trigger import Interval, Trigger
from console_automation.engine.admission import Admission
from console_automation.engine.definitions import Definitions
from console_automation.engine.jobs import JobManager
from console_automation.engine.schedules import Schedules
from console_automation.errors import StoreFull
from console_automation.ports.stores import JobFilter
from tests.builders import definitions_of, script, spec
from tests.conftest import CalmGauge

ALL = 100_000
START = 1_000_000.0


class SetClock:
    """A clock that stands still until it is set."""

    boot_id = "this-boot"

    def __init__(self) -> None:
        self.at = START

    def now(self) -> float:
        return self.at


class Fuse:
    """Has the service die before or after a write of a kind, or its store be full."""

    def __init__(self) -> None:
        self.point: str | None = None
        self.full: set[str] = set()
        self.slow: asyncio.Event | None = (
            None  #: until it is set, writes of schedules take their time
        )
        self.held = False
        self.died = asyncio.Event()

    def around(self, kind: str, work: Callable[[], Future[None]]) -> Future[None]:
        if kind in self.full:
            return failing(StoreFull("the disk is full"))
        if self.point == f"before {kind}":
            self.died.set()
        if self.died.is_set():
            return get_running_loop().create_future()  # nobody lives to see its end
        done = work()
        if self.point == f"after {kind}":
            self.died.set()
            return get_running_loop().create_future()
        return done


class DyingSchedules(MemorySchedules):
    """Schedules behind a fuse."""

    fuse: Fuse

    def save(self, schedule: Schedule, *executions: Execution, keep: int) -> Future[None]:
        def work() -> Future[None]:
            return super(DyingSchedules, self).save(schedule, *executions, keep=keep)

        if self.fuse.slow is not None:
            return asyncio.ensure_future(self._in_a_while(self.fuse.slow, work))
        return self.fuse.around("save", work)

    async def _in_a_while(self, moment: asyncio.Event, work: Callable[[], Future[None]]) -> None:
        self.fuse.held = True
        await moment.wait()
        self.fuse.held = False
        await work()

    def end(self, job_id: str, *, status: str, at: float) -> Future[None]:
        return self.fuse.around(
            "end", lambda: super(DyingSchedules, self).end(job_id, status=status, at=at)
        )


class DyingStore(MemoryStore):
    """A store behind a fuse."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__()
        self.fuse = fuse
        schedules = DyingSchedules(self._done, lambda why: failing(StoreFull(why)))
        schedules.fuse = fuse
        self.schedules = schedules

    def insert(self, *new: Any) -> Future[None]:
        return self.fuse.around("insert", lambda: super(DyingStore, self).insert(*new))

    def update(self, *change: Any, urgent: bool = True) -> Future[None]:
        return self.fuse.around("update", lambda: super(DyingStore, self).update(*change))


class Service:
    """A JobManager with schedules, one incarnation after another."""

    def __init__(self, **knobs: Any) -> None:
        self.clock, self.host, self.fuse = SetClock(), MemoryHost(), Fuse()
        self.store = DyingStore(self.fuse)
        self.settings = Settings(**{"max_concurrent_jobs": 1000, **knobs})
        self.manager: JobManager
        self.definitions: Definitions
        self.schedules: Schedules
        self._jobs, self._ids = itertools.count(1), itertools.count(1)

    async def start(self) -> None:
        self.manager = JobManager(
            settings=self.settings,
            store=self.store,
            host=self.host,
            clock=self.clock,
            admission=Admission(self.settings, CalmGauge()),
            new_id=lambda: f"job-{next(self._jobs):06}",
        )
        self.definitions = definitions_of(self.manager, Path("/nowhere"))
        self.schedules = Schedules(
            jobs=self.manager,
            definitions=self.definitions,
            store=self.store.schedules,
            new_id=lambda: f"schedule-{next(self._ids):04}",
        )
        await self.store.open()
        await self.definitions.open()
        await self.manager.open()
        await self.schedules.load()

    async def close(self) -> None:
        await self.schedules.close()
        await self.manager.close()

    async def restart(self) -> None:
        await self.close()
        await self.start()

    async def crash(self) -> None:
        """Die as it stands: what has not been written is lost, what runs goes on."""
        nowhere, dead = MemoryHost(), self.manager
        await nowhere.open(dead.owners)
        dead.host = nowhere
        self.fuse.died.set()
        before, self.fuse = self.store, Fuse()
        self.store = DyingStore(self.fuse)
        await self.store.open()
        jobs, _ = await before.page(JobFilter(), before=None, limit=ALL)
        for job in jobs:
            await self.store.insert(job, ())
        schedules, _ = await before.schedules.page(after=None, limit=ALL)
        for schedule in schedules:
            for version in reversed(await before.schedules.versions(schedule.id)):
                await self.store.schedules.save(replace(schedule, version=version), keep=ALL)
            executions = await before.schedules.executions(schedule.id, limit=ALL)
            await self.store.schedules.save(schedule, *reversed(executions), keep=ALL)
        await self.start()

    async def surviving(self, work: Any) -> bool:
        """Carry out a piece of work; if the service dies over it, start the next; say whether it did."""
        task, death = asyncio.ensure_future(work), asyncio.ensure_future(self.fuse.died.wait())
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        died = self.fuse.died.is_set()
        death.cancel()
        if died:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.crash()
        else:
            await task
        return died

    async def make(self, trigger: Trigger | float, text: str = "exit 0", **fields: Any) -> Schedule:
        """Make a schedule; a number is an interval in seconds."""
        now = self.clock.at
        if isinstance(trigger, float | int):
            trigger = Interval(every=float(trigger), since=now)
        what = spec(script(text), project="/p", tags={"mine": "yes"})
        schedule = activated(
            Schedule(
                **{
                    "id": self.schedules.new_id(),
                    "name": f"s{next(self._ids)}",
                    "project": "/p",
                    "client": "test",
                    "owner": "local",
                    "created_at": now,
                    "version": Version(number=1, created_at=now, trigger=trigger, spec=what),
                    "is_active": True,
                    **fields,
                }
            ),
            now,
        )
        await self.schedules.create(schedule)
        return schedule

    async def at(self, seconds: float) -> None:
        """Let the clock stand so many seconds after the start, and have fired what is due."""
        self.clock.at = START + seconds
        await self.schedules.fire_due()

    async def history(self, schedule: Schedule) -> list[Execution]:
        """What became of the fires, oldest first."""
        return (await self.store.schedules.executions(schedule.id, limit=ALL))[::-1]

    async def jobs(self, schedule: Schedule) -> list[Job]:
        """The jobs of a schedule, oldest first."""
        jobs, _ = await self.store.page(JobFilter(), before=None, limit=ALL)
        keyed = [(job.spec.idempotency_key or "", job) for job in jobs]
        return [job for key, job in keyed if key.startswith(f"schedule:{schedule.id}:")][::-1]

    async def stored(self, schedule: Schedule) -> Schedule:
        (found,) = await self.store.schedules.several([schedule.id])
        return found
