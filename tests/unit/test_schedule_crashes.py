"""Any schedules, whatever happens when: each fire comes once, or is passed over once, and never both.

The clock is set by hand; the service dies at any of its writes, the disk is full now and then, and
jobs end when they like.
"""

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import Phase as How
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.schedule import Missed, Overlap, Schedule, activated, settled
from console_automation.core.trigger import Cron, Interval, next_fire
from console_automation.errors import Conflict
from tests.unit.scheduling import START, Service
from tests.waiting import until

POINTS = [f"{side} {kind}" for side in ("before", "after") for kind in ("insert", "save", "end")]
NUMBERS = st.integers(0, 9)
TRIGGERS = st.one_of(
    st.sampled_from([7.0, 60.0, 300.0]),
    st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *"]).map(lambda e: Cron(expression=e)),
)
SCHEDULES = st.fixed_dictionaries(
    {
        "trigger": TRIGGERS,
        "text": st.sampled_from(["exit 0", "exit 3", "sleep"]),
        "missed": st.sampled_from(Missed),
        "overlap": st.sampled_from(Overlap),
        "jitter": st.sampled_from([0.0, 5.0]),
    }
)
PAUSES = st.sampled_from([1, 6, 7, 60, 65, 300, 1000, 40_000])
STEPS = st.one_of(
    st.tuples(st.just("pass_time"), PAUSES),
    st.tuples(st.just("pass_time"), PAUSES),
    st.tuples(st.just("die"), st.sampled_from(POINTS), PAUSES),
    st.tuples(st.just("die"), st.sampled_from(POINTS), PAUSES),
    st.tuples(st.just("be_down"), PAUSES),
    st.tuples(st.just("have_no_room"), st.sampled_from(["insert", "save"]), PAUSES),
    st.tuples(st.just("end_jobs")),
    st.tuples(st.just("run_now"), NUMBERS, st.sampled_from([None, *POINTS])),
    st.tuples(st.just("change"), NUMBERS, TRIGGERS),
    st.tuples(st.just("stop"), NUMBERS),
)


class World:
    """A service, its schedules, and from when on the fires of each have to be accounted for."""

    def __init__(self) -> None:
        self.service = Service(schedule_history=10_000)
        self.known: dict[str, Schedule] = {}
        self.counted_from: dict[str, int] = {}  #: executions that are checked already
        self.settled: dict[str, float] = {}  #: up to when
        self.keys: dict[str, str] = {}  #: of requests to run now, and their schedules

    async def make(self, **fields: Any) -> None:
        schedule = await self.service.make(**fields)
        self.known[schedule.id] = schedule
        self.counted_from[schedule.id] = 0
        self.settled[schedule.id] = self.service.clock.at

    def chosen(self, number: int) -> str:
        return list(self.known)[number % len(self.known)]

    # -- what happens ----------------------------------------------------------------------------

    async def pass_time(self, seconds: int) -> None:
        self.service.clock.at += seconds
        while await self.service.surviving(self.service.schedules.fire_due()):
            pass

    async def die(self, point: str, seconds: int) -> None:
        self.service.fuse.point = point
        await self.pass_time(seconds)
        self.service.fuse.point = None

    async def be_down(self, seconds: int) -> None:
        await self.service.crash()
        await self.pass_time(seconds)

    async def have_no_room(self, kind: str, seconds: int) -> None:
        self.service.fuse.full.add(kind)
        await self.pass_time(seconds)
        self.service.fuse.full.clear()

    async def end_jobs(self) -> None:
        for run_id in list(self.service.host.begun):
            self.service.host.finish(run_id, code=0)
        await asyncio.sleep(0)

    async def run_now(self, number: int, point: str | None) -> None:
        schedule_id, key = self.chosen(number), f"key-{len(self.keys)}"
        self.service.fuse.point = point
        try:
            died = await self.service.surviving(
                self.service.schedules.trigger(schedule_id, key=key)
            )
            if died:  # who asked asks again
                await self.service.schedules.trigger(schedule_id, key=key)
            self.keys[key] = schedule_id
        except Conflict:
            assert self.known[schedule_id].overlap is Overlap.SKIP
        self.service.fuse.point = None

    async def change(self, number: int, trigger: Any) -> None:
        """Another version: fires that were due before it are not made up for."""
        schedule_id, now = self.chosen(number), self.service.clock.at
        await self.touch(schedule_id)
        rule = trigger if isinstance(trigger, Cron) else Interval(every=trigger, since=now)

        def edit(schedule: Schedule, versions: Any) -> Schedule:
            version = replace(schedule.version, number=versions[0].number + 1, trigger=rule)
            return activated(replace(schedule, version=version), now)

        self.known[schedule_id] = await self.service.schedules.update(schedule_id, edit)
        self.settled[schedule_id] = now

    async def stop(self, number: int) -> None:
        schedule_id = self.chosen(number)
        await self.touch(schedule_id)
        await self.service.schedules.update(schedule_id, lambda s, _: settled(s, None))
        self.settled[schedule_id] = float("inf")

    async def touch(self, schedule_id: str) -> None:
        """Any change puts first on record what has been submitted and was not put there."""
        await self.service.schedules.update(schedule_id, lambda schedule, _: schedule)
        await self.check(schedule_id)

    # -- what has to be so -----------------------------------------------------------------------

    async def check(self, schedule_id: str) -> None:
        """The executions since the last look account for every fire since then, in order, up to the
        one that is next; and the jobs are those of the executions."""
        schedule = await self.service.stored(self.known[schedule_id])
        trigger = schedule.version.trigger
        every = await self.service.history(schedule)
        new = [
            each
            for each in every[self.counted_from[schedule_id] :]
            if not each.key.startswith("now:")
        ]
        at = self.settled[schedule_id]
        for execution in new:
            assert execution.at == next_fire(trigger, at), (schedule, every)
            assert (execution.job_id is None) is (execution.passed is not None)
            at = execution.at if execution.until is None else execution.until
            assert execution.at <= at <= self.service.clock.at
        if schedule.is_active:
            assert schedule.next_fire == next_fire(trigger, at), (schedule, every)
        self.counted_from[schedule_id] = len(every)
        self.settled[schedule_id] = at if schedule.is_active else float("inf")
        recorded = {each.job_id: each.key for each in every if each.job_id is not None}
        jobs = await self.service.jobs(schedule)
        named = {job.id: str(job.spec.idempotency_key).partition(":")[2] for job in jobs}
        assert named == {job_id: f"{schedule.id}:{key}" for job_id, key in recorded.items()}
        for job in jobs:
            if schedule.overlap is Overlap.QUEUE:
                assert all(each in named and each < job.id for each in job.spec.depends_on)

    async def check_all(self) -> None:
        """Nothing is left that is due, everything is accounted for, and every end is on record."""
        await self.pass_time(6)  # by then what could not be done has been tried again
        for schedule_id in self.known:
            stored = await self.service.stored(self.known[schedule_id])
            assert stored.due_at is None or stored.due_at > self.service.clock.at
            await self.check(schedule_id)
        await until(self._has_every_end, "the end of every job")
        for key, schedule_id in self.keys.items():
            history = await self.service.history(self.known[schedule_id])
            assert [each.key for each in history].count(f"now:{key}") == 1

    async def _has_every_end(self) -> bool:
        await self.end_jobs()
        return await self.service.store.schedules.unended() == []


# Shrinking would wait in vain for each of a hundred smaller examples.
@settings(
    max_examples=60, deadline=None, phases=[How.explicit, How.reuse, How.generate, How.target]
)
@given(st.lists(SCHEDULES, min_size=1, max_size=4), st.lists(STEPS, min_size=3, max_size=15))
def test_every_fire_comes_once_or_is_passed_over_once(
    schedules: list[dict[str, Any]], steps: list[tuple[Any, ...]]
) -> None:
    async def story() -> None:
        world = World()
        await world.service.start()
        for fields in schedules:
            await world.make(**fields)
        for name, *details in steps:
            await getattr(world, name)(*details)
        await world.check_all()
        await world.service.close()

    asyncio.run(story())


@settings(max_examples=40, deadline=None)
@given(TRIGGERS, st.lists(st.tuples(st.sampled_from(POINTS), PAUSES), max_size=8), st.booleans())
def test_with_all_and_allow_every_fire_has_a_job_of_its_own(
    trigger: Any, deaths: list[tuple[str, int]], queue: bool
) -> None:
    """Of no more than a hundred, whatever died meanwhile."""

    async def story() -> None:
        world = World()
        await world.service.start()
        overlap = Overlap.QUEUE if queue else Overlap.ALLOW
        await world.make(trigger=trigger, missed=Missed.ALL, overlap=overlap)
        (schedule,) = world.known.values()
        for point, seconds in deaths:
            await world.die(point, min(seconds, 600))
        await world.check_all()
        expected, at = [], next_fire(schedule.version.trigger, START)
        while at is not None and at <= world.service.clock.at:
            expected.append(f"schedule:{schedule.id}:{at:.3f}")
            at = next_fire(schedule.version.trigger, at)
        jobs = await world.service.jobs(schedule)
        assert [job.spec.idempotency_key for job in jobs] == expected
        await world.service.close()

    asyncio.run(story())
