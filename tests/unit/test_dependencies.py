"""Any jobs that depend on each other in any way: each runs when it may, and never before.

Whatever the order in which things happen, and whenever the service is restarted or dies.
"""

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import Phase as How
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.memory_host import MemoryHost
from console_automation.config import Settings
from console_automation.core.job import Phase, Reason, Status
from console_automation.engine.admission import Admission
from console_automation.engine.jobs import JobManager
from console_automation.ports.stores import JobFilter
from tests.builders import script, spec
from tests.conftest import CalmGauge, FixedClock
from tests.waiting import until

ENDS = ("completes", "fails", "is cancelled", "is lost")
ENDED = {
    "completes": Status.COMPLETED,
    "fails": Status.FAILED,
    "is cancelled": Status.CANCELLED,
    "is lost": Status.INTERRUPTED,
}

#: What a job is in when nothing is under way any more.
PHASES = {
    Status.PENDING: Phase.BLOCKED,
    Status.RUNNING: Phase.RUNNING,
    **{status: Phase(status.value) for status in ENDED.values()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is expected of a job: its needs, and how it ended, if it did."""

    needs: tuple[str, ...]
    even_if_failed: bool
    ended: list[Status] = field(default_factory=list)


class World:
    """A service that is restarted now and then, and what each of its jobs has to be."""

    def __init__(self) -> None:
        self.store, self.host = MemoryStore(), MemoryHost()
        self.jobs: dict[str, Wanted] = {}
        self.forgotten: set[str] = set()
        self.manager: JobManager
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        knobs = Settings(max_concurrent_jobs=100)
        self.manager = JobManager(
            settings=knobs,
            store=self.store,
            host=self.host,
            clock=FixedClock(),
            admission=Admission(knobs, CalmGauge()),
            new_id=lambda: f"job-{next(self._numbers):04}",
        )
        await self.store.open()
        await self.manager.open()

    async def restart(self) -> None:
        await self.manager.close()
        await self.start()

    async def crash(self) -> None:
        """Die as it stands: what has not been committed is lost, what runs goes on."""
        nowhere, dead = MemoryHost(), self.manager
        await nowhere.open(dead.owners)
        dead.host = nowhere
        jobs, _ = await self.store.page(JobFilter(), before=None, limit=1000)
        self.store = MemoryStore()
        await self.store.open()
        for job in jobs:
            await self.store.insert(job, ())
        await self.start()

    async def submit(self, needs: list[int], even_if_failed: bool) -> None:
        known = [job_id for job_id in self.jobs if job_id not in self.forgotten]
        chosen = tuple(dict.fromkeys(known[each % len(known)] for each in needs if known))
        what = spec(script("sleep"), depends_on=chosen, even_if_failed=even_if_failed)
        job = await self.manager.submit(what)
        self.jobs[job.id] = Wanted(needs=chosen, even_if_failed=even_if_failed)

    async def end(self, number: int, how: str) -> None:
        running = [job_id for job_id in self.jobs if self.expected(job_id) is Status.RUNNING]
        if not running:
            return
        job_id = running[number % len(running)]
        run_id = (await self.manager.ledger.get(job_id)).run_id
        assert run_id is not None
        if how == "is cancelled":
            await self.manager.cancel(job_id, signal=15, grace=1, by="test")
        elif how == "is lost":
            self.host.lose(run_id)
        else:
            self.host.finish(run_id, code=3 if how == "fails" else 0)
        self.jobs[job_id].ended.append(ENDED[how])

    async def cancel_a_waiting_one(self, number: int) -> None:
        waiting = [job_id for job_id in self.jobs if self.expected(job_id) is Status.PENDING]
        if waiting:
            job_id = waiting[number % len(waiting)]
            await self.manager.cancel(job_id, signal=15, grace=1, by="test")
            self.jobs[job_id].ended.append(Status.CANCELLED)

    async def forget(self, number: int) -> None:
        over = [
            job_id
            for job_id in self.jobs
            if self.expected(job_id) not in (Status.PENDING, Status.RUNNING)
            and job_id not in self.forgotten
        ]
        if over:
            job_id = over[number % len(over)]
            await self.manager.delete([await self.manager.ledger.get(job_id)])
            self.forgotten.add(job_id)

    def expected(self, job_id: str) -> Status:
        """What a job has to be by now, from how those it depends on have ended."""
        wanted = self.jobs[job_id]
        if not wanted.ended:
            found = [self.expected(need) for need in wanted.needs]
            over = [each for each in found if each not in (Status.PENDING, Status.RUNNING)]
            if not wanted.even_if_failed and any(each is not Status.COMPLETED for each in over):
                wanted.ended.append(Status.FAILED)
            else:
                return Status.RUNNING if len(over) == len(found) else Status.PENDING
        return wanted.ended[0]

    async def check(self) -> None:
        """Everything is as it has to be, and nothing has begun that must not."""
        await until(self._is_as_expected, "what is expected")
        for job_id in self.jobs.keys() - self.forgotten:
            job = await self.manager.ledger.get(job_id)
            if job.phase is Phase.BLOCKED or job.reason is Reason.DEPENDENCY:
                assert not any(run.startswith(job_id) for run in self.host.begun), job
            assert job.reason is not Reason.DEPENDENCY or not job.spec.even_if_failed, job

    async def _is_as_expected(self) -> bool:
        for job_id in self.jobs.keys() - self.forgotten:
            job = await self.manager.ledger.get(job_id)
            if job.phase is not PHASES[self.expected(job_id)]:
                return False
            if self.manager.ledger.is_saving(job_id):
                return False
        return True


NUMBERS = st.integers(0, 20)
JOBS = st.tuples(st.just("submit"), st.lists(NUMBERS, max_size=3), st.booleans())
STEPS = st.one_of(
    JOBS,
    st.tuples(st.just("end"), NUMBERS, st.sampled_from(ENDS)),
    st.tuples(st.just("end"), NUMBERS, st.sampled_from(ENDS)),
    st.tuples(st.just("cancel_a_waiting_one"), NUMBERS),
    st.tuples(st.just("forget"), NUMBERS),
    st.tuples(st.sampled_from(["restart", "crash"])),
)
NEED_ALL_DONE = ("end", "cancel_a_waiting_one", "forget")


# Shrinking would wait in vain for each of a hundred smaller examples.
@settings(
    max_examples=150, deadline=None, phases=[How.explicit, How.reuse, How.generate, How.target]
)
@given(
    st.lists(JOBS, min_size=2, max_size=8), st.lists(STEPS, min_size=2, max_size=15), st.booleans()
)
def test_each_job_runs_when_its_needs_are_met_and_never_else(
    jobs: list[tuple[Any, ...]], steps: list[tuple[Any, ...]], step_by_step: bool
) -> None:
    """Not step by step, the next thing happens while the one before is still being dealt with."""

    async def story() -> None:
        world = World()
        await world.start()
        for name, *details in (*jobs, *steps):
            if step_by_step or name in NEED_ALL_DONE:
                await world.check()
            await getattr(world, name)(*details)
        await world.check()
        while any(world.expected(job_id) is Status.RUNNING for job_id in world.jobs):
            await world.end(0, "completes")
            await world.check()
        assert all(world.expected(each) is not Status.PENDING for each in world.jobs)
        await world.manager.close()

    asyncio.run(story())
