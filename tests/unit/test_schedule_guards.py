"""Schedules whose definition has a guard: while it thinks nobody waits for it, and its fire comes once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.access import LOCAL, Action, Principal, Rule
from console_automation.core.definition import Caller, JobDefinition
from console_automation.core.job import Contract
from console_automation.core.schedule import Missed, Overlap, Passed, Schedule
from console_automation.core.trigger import next_fire
from console_automation.engine.permissions import Permissions
from console_automation.errors import AccessDenied, Conflict, LimitReached
from tests.unit.scheduling import START, Service
from tests.waiting import PATIENCE, until

GUARDED = JobDefinition(
    name="guarded",
    command="true",
    permissions=(Rule(action=Action.EXECUTE, guard="guard.py:agrees"),),
)


class Guests:
    """Principals who are nobody in particular."""

    def named(self, name: str) -> Principal | None:
        return Principal(name=name)


class Thinking:
    """A guard that says what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer = True
        self.may_answer = asyncio.Event()

    async def agrees(self, guard: str, question: Mapping[str, Any]) -> bool:
        self.asked += 1
        await self.may_answer.wait()
        return self.answer


class Guarded(Service):
    """A service in which definitions may be guarded; the guard is there for each incarnation."""

    def __init__(self, **knobs: Any) -> None:
        super().__init__(**knobs)
        self.guard = Thinking()

    async def start(self) -> None:
        await super().start()
        self.definitions.permissions = Permissions(
            settings=self.settings, principals=Guests(), guards=self.guard
        )
        await self.definitions.register(GUARDED, LOCAL)

    async def at(self, seconds: float) -> None:
        """As ever, but in vain when it waits for the guard."""
        async with asyncio.timeout(PATIENCE):
            await super().at(seconds)

    async def typed(self, every: float = 60, **fields: Any) -> Schedule:
        """Make a schedule of the guarded definition for a guest."""
        fields = {"overlap": Overlap.ALLOW, "owner": "ci", **fields}
        made = await self.make(every, **fields)
        caller = Caller(client="http:ci", principal="ci", environment={"PATH": "/bin"}, cwd="/")
        spec = replace(made.version.spec, contract=Contract(definition="guarded", input={}))
        version = replace(made.version, number=2, spec=spec, caller=caller)
        return await self.schedules.update(made.id, lambda s, _: replace(s, version=version))


New = Callable[..., Awaitable[Guarded]]


@pytest.fixture
async def new() -> AsyncIterator[New]:
    """Start a service; it is closed at the end."""
    made: list[Guarded] = []

    async def start(**knobs: int) -> Guarded:
        made.append(Guarded(**knobs))
        await made[-1].start()
        return made[-1]

    yield start
    for service in made:
        await service.close()


async def fired(service: Guarded, schedule: Schedule, count: int) -> None:
    async def has_fired() -> bool:
        return len(await service.history(schedule)) == count

    await until(has_fired, "the fire")


async def test_a_guard_that_thinks_holds_up_no_other_schedule_and_no_change(new: New) -> None:
    service = await new()
    schedule, plain = await service.typed(), await service.make(60)
    await service.at(60)
    await until(lambda: service.guard.asked == 1)
    assert len(await service.jobs(plain)) == 1
    await service.make(60)
    await service.schedules.update(plain.id, lambda s, _: replace(s, name="renamed"))
    await service.schedules.trigger(plain.id, key="k")
    assert await service.history(schedule) == []
    service.guard.may_answer.set()
    await fired(service, schedule, 1)
    (job,) = await service.jobs(schedule)
    assert job.spec.owner == "ci" and service.guard.asked == 1
    assert (await service.stored(schedule)).next_fire == START + 120


async def test_a_guard_that_does_not_agree_has_the_fire_passed_over_and_the_audit_says_so(
    new: New,
) -> None:
    service = await new()
    service.guard.answer = False
    service.guard.may_answer.set()
    schedule = await service.typed()
    await service.at(60)
    await fired(service, schedule, 1)
    (execution,) = await service.history(schedule)
    assert execution.passed is Passed.REFUSED and await service.jobs(schedule) == []
    (record,) = await service.store.audit(limit=9)
    assert (record.client, record.operation, record.job_id, record.outcome) == (
        "http:ci",
        "fire",
        schedule.id,
        "POLICY_DENIED",
    )


async def test_a_guard_is_not_asked_about_a_fire_that_is_passed_over_anyway(new: New) -> None:
    service = await new()
    service.guard.may_answer.set()
    schedule = await service.typed(3600, missed=Missed.SKIP)
    await service.at(3600 + 61)
    await fired(service, schedule, 1)
    assert service.guard.asked == 0


async def test_what_was_agreed_to_about_an_earlier_version_does_not_count(new: New) -> None:
    service = await new()
    schedule = await service.typed()
    await service.at(60)
    await until(lambda: service.guard.asked == 1)
    spec = replace(
        schedule.version.spec, contract=Contract(definition="guarded", input={"other": 1})
    )
    version = replace(schedule.version, number=3, spec=spec)
    await service.schedules.update(schedule.id, lambda s, _: replace(s, version=version))
    service.guard.may_answer.set()
    await until(lambda: not service.schedules._asking)
    await service.at(61)
    await fired(service, schedule, 1)
    (job,) = await service.jobs(schedule)
    assert job.spec.contract is not None and job.spec.contract.input == {"other": 1}
    assert service.guard.asked == 2


async def test_who_deletes_a_schedule_while_its_guard_thinks_hears_no_more_of_it(new: New) -> None:
    service = await new()
    schedule = await service.typed()
    await service.at(60)
    await until(lambda: service.guard.asked == 1)
    await service.schedules.delete(schedule.id)
    service.guard.may_answer.set()
    await until(lambda: not service.schedules._asking)
    assert await service.jobs(schedule) == []


async def test_run_now_asks_the_guard_and_the_same_key_again_does_not(new: New) -> None:
    service = await new()
    schedule, plain = await service.typed(), await service.make(60)
    asked = asyncio.create_task(service.schedules.trigger(schedule.id, key="k"))
    await until(lambda: service.guard.asked == 1)
    await service.schedules.trigger(plain.id, key="k")  # nobody waits for the guard
    service.guard.may_answer.set()
    job = await asked
    service.guard.answer = False
    assert (await service.schedules.trigger(schedule.id, key="k")).id == job.id
    with pytest.raises(AccessDenied):
        await service.schedules.trigger(schedule.id, key="other")
    assert len(await service.jobs(schedule)) == 1


async def test_run_now_of_what_is_changed_while_its_guard_thinks_is_a_conflict(new: New) -> None:
    service = await new()
    schedule = await service.typed()
    asked = asyncio.create_task(service.schedules.trigger(schedule.id, key="k"))
    await until(lambda: service.guard.asked == 1)
    version = replace(schedule.version, number=3)
    await service.schedules.update(schedule.id, lambda s, _: replace(s, version=version))
    service.guard.may_answer.set()
    with pytest.raises(Conflict, match="was changed just now"):
        await asked
    assert await service.jobs(schedule) == []


POINTS = [f"{side} {kind}" for side in ("before", "after") for kind in ("insert", "save")]
DEATHS = st.lists(
    st.tuples(st.sampled_from([None, "thinking", *POINTS]), st.sampled_from([60, 61, 150])),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(DEATHS, st.booleans())
def test_every_fire_that_a_guard_is_asked_about_comes_once_whenever_the_service_dies(
    deaths: list[tuple[str | None, int]], agrees: bool
) -> None:
    async def story() -> None:
        service = Guarded(schedule_history=10_000)
        await service.start()
        service.guard.answer = agrees
        schedule = await service.typed(missed=Missed.ALL)

        async def settle() -> None:
            """Fire until nothing is due; the service may die over it."""
            while True:
                await service.schedules.fire_due()
                await until(
                    lambda: not service.schedules._asking or service.fuse.died.is_set(),
                    "the answer of the guard",
                )
                stored = await service.stored(schedule)
                if stored.due_at is not None and stored.due_at > service.clock.at:
                    return None
                if service.fuse.died.is_set():
                    return await service.crash()

        for point, seconds in deaths:
            service.clock.at += seconds
            service.guard.may_answer.clear()
            if point == "thinking":
                await service.schedules.fire_due()
                await until(lambda: bool(service.schedules._asking))
                await service.crash()
            service.guard.may_answer.set()
            service.fuse.point = point
            await service.surviving(settle())
        service.fuse.point = None
        await settle()
        await settle()
        expected, at = [], next_fire(schedule.version.trigger, START)
        while at is not None and at <= service.clock.at:
            expected.append(f"{at:.3f}")
            at = next_fire(schedule.version.trigger, at)
        assert [each.key for each in await service.history(schedule)] == expected
        keys = [str(job.spec.idempotency_key) for job in await service.jobs(schedule)]
        assert keys == ([f"schedule:{schedule.id}:{key}" for key in expected] if agrees else [])
        await service.close()

    asyncio.run(story())


# -- what a schedule may have waiting --------------------------------------------------------------


async def test_a_queue_holds_as_many_jobs_as_the_history_and_says_which_fires_passed(
    new: New,
) -> None:
    service = await new(schedule_history=3)
    schedule = await service.make(60, "sleep", overlap=Overlap.QUEUE)
    for seconds in (60, 120, 180, 240):
        await service.at(seconds)
    first, *_ = jobs = await service.jobs(schedule)
    assert len(jobs) == 3
    assert (await service.history(schedule))[-1].passed is Passed.FULL
    with pytest.raises(LimitReached, match="schedule_history"):
        await service.schedules.trigger(schedule.id, key="k")
    service.host.finish(f"{first.id}.1", code=0)
    await service.manager.wait([first.id], timeout=20)
    await service.at(300)
    assert len(await service.jobs(schedule)) == 4


async def test_without_a_queue_overlaps_are_not_counted(new: New) -> None:
    service = await new(schedule_history=2)
    schedule = await service.make(60, "sleep", overlap=Overlap.ALLOW)
    for seconds in (60, 120, 180, 240):
        await service.at(seconds)
    assert len(await service.jobs(schedule)) == 4
