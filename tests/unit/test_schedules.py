"""Schedules at work, over fakes and a clock that is set by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from console_automation.core.access import LOCAL, Principal
from console_automation.core.definition import Caller, JobDefinition
from console_automation.core.job import Contract, Phase, Status
from console_automation.core.schedule import Missed, Overlap, Passed, Schedule, activated, settled
from console_automation.core.trigger import Cron, Once
from console_automation.errors import Conflict, LimitReached, ScheduleNotFound
from tests.unit.scheduling import START, Service
from tests.waiting import until

New = Callable[..., Awaitable[Service]]


@pytest.fixture
async def new() -> AsyncIterator[New]:
    """Start a service; it is closed at the end."""
    made: list[Service] = []

    async def start(**knobs: int) -> Service:
        made.append(Service(**knobs))
        await made[-1].start()
        return made[-1]

    yield start
    for service in made:
        await service.close()


async def test_each_fire_is_one_ordinary_job_that_knows_its_schedule(new: New) -> None:
    service = await new()
    schedule = await service.make(60, name="report", metadata={"seen": [1, "ä"]})
    await service.at(59)
    assert await service.jobs(schedule) == []
    for seconds in (60, 60, 61, 120):
        await service.at(seconds)
    first, second = await service.jobs(schedule)
    assert first.spec.idempotency_key == f"schedule:{schedule.id}:{START + 60:.3f}"
    assert first.spec.tags == {"mine": "yes", "schedule": "report"}
    assert first.spec.project == "/p"
    environment = first.spec.command.environment
    assert environment["CONSOLE_AUTOMATION_SCHEDULE"] == schedule.id
    assert json.loads(environment["CONSOLE_AUTOMATION_METADATA"]) == {"seen": [1, "ä"]}
    assert environment["PATH"] == "/usr/bin:/bin"
    assert second.spec.created_at == START + 120
    stored = await service.stored(schedule)
    assert (stored.next_fire, stored.last_fire) == (START + 180, START + 120)
    assert stored.last_job_id == second.id


async def test_the_history_tells_how_each_job_ended_even_when_the_job_is_gone(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "exit 3")
    await service.at(60)
    (job,) = await service.jobs(schedule)
    await service.manager.wait([job.id], timeout=20)

    async def ended() -> bool:
        return (await service.history(schedule))[0].ended_at is not None

    await until(ended)
    await service.manager.delete([await service.manager.ledger.get(job.id)])
    (execution,) = await service.history(schedule)
    assert (execution.job_id, execution.status) == (job.id, "failed")
    assert execution.at == START + 60


async def test_an_end_that_nobody_heard_of_is_in_the_history_after_a_restart(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep")
    await service.at(60)
    (job,) = await service.jobs(schedule)
    service.fuse.full.add("end")
    service.host.finish(f"{job.id}.1", code=0)
    await service.manager.wait([job.id], timeout=20)
    assert (await service.history(schedule))[0].status is None
    service.fuse.full.clear()
    await service.restart()
    await asyncio.sleep(0)
    assert (await service.history(schedule))[0].status == "completed"


async def test_what_fires_once_is_not_active_afterwards(new: New) -> None:
    service = await new()
    schedule = await service.make(Once(at=START + 10))
    await service.at(10)
    stored = await service.stored(schedule)
    assert (stored.is_active, stored.next_fire) == (False, None)
    assert len(await service.jobs(schedule)) == 1


# -- missed fires ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missed", "story"),
    [
        (Missed.SKIP, [(300, 900, Passed.MISSED), (1200, None, None)]),
        (Missed.ONCE, [(300, 1200, None)]),
        (Missed.ALL, [(300, None, None), (600, None, None), (900, None, None), (1200, None, None)]),
    ],
)
async def test_after_a_time_of_silence_is_made_up_for_what_the_policy_says(
    new: New, missed: Missed, story: list[tuple[float, float | None, Passed | None]]
) -> None:
    service = await new()
    schedule = await service.make(300, missed=missed, overlap=Overlap.ALLOW)
    await service.close()
    service.clock.at = START + 1201
    await service.start()
    await service.schedules.fire_due()
    found = [
        (e.at - START, None if e.until is None else e.until - START, e.passed)
        for e in await service.history(schedule)
    ]
    assert found == story
    assert (await service.stored(schedule)).next_fire == START + 1500


async def test_a_clock_that_is_set_back_repeats_no_fire(new: New) -> None:
    service = await new()
    schedule = await service.make(60)
    await service.at(120)
    await service.at(-3600)
    await service.at(130)
    assert len(await service.history(schedule)) == 1
    assert (await service.stored(schedule)).next_fire == START + 180


# -- overlap ---------------------------------------------------------------------------------------


async def test_with_skip_a_fire_passes_while_the_job_before_runs_and_the_history_says_so(
    new: New,
) -> None:
    service = await new()
    schedule = await service.make(60, "sleep", overlap=Overlap.SKIP)
    await service.at(60)
    await service.at(120)
    (job,) = await service.jobs(schedule)
    assert [e.passed for e in await service.history(schedule)] == [None, Passed.OVERLAP]
    service.host.finish(f"{job.id}.1", code=0)
    await service.manager.wait([job.id], timeout=20)
    await service.at(180)
    assert len(await service.jobs(schedule)) == 2


async def test_with_queue_a_job_waits_for_the_one_before_however_that_ends(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep", overlap=Overlap.QUEUE)
    for seconds in (60, 120, 180):
        await service.at(seconds)
    first, second, third = await service.jobs(schedule)
    assert (first.spec.depends_on, second.spec.depends_on) == ((), (first.id,))
    assert third.spec.depends_on == (second.id, first.id)
    await until(lambda: f"{first.id}.1" in service.host.begun)
    assert service.host.begun == [f"{first.id}.1"]
    service.host.finish(f"{first.id}.1", code=7)
    await until(lambda: f"{second.id}.1" in service.host.begun)
    assert f"{third.id}.1" not in service.host.begun


async def test_a_job_that_is_cancelled_in_the_queue_lets_none_run_beside_the_one_that_runs(
    new: New,
) -> None:
    service = await new(schedule_history=3)
    schedule = await service.make(60, "sleep", overlap=Overlap.QUEUE)
    for seconds in (60, 120, 180):
        await service.at(seconds)
    first, second, third = await service.jobs(schedule)
    await until(lambda: f"{first.id}.1" in service.host.begun)
    await service.manager.cancel(second.id, signal=15, grace=1, by="test")
    await service.manager.wait([second.id], timeout=20)
    third = await service.manager.ledger.get(third.id)
    assert third.phase is Phase.BLOCKED
    await service.manager.cancel(third.id, signal=15, grace=1, by="test")
    await service.manager.wait([third.id], timeout=20)
    for seconds in (240, 300, 360):
        await service.at(seconds)
    *_, fourth, fifth = await service.jobs(schedule)
    assert fourth.spec.depends_on == (first.id,)
    assert fifth.spec.depends_on == (fourth.id, first.id)
    assert (await service.history(schedule))[-1].passed is Passed.FULL
    service.host.finish(f"{first.id}.1", code=0)
    await until(lambda: f"{fourth.id}.1" in service.host.begun)
    assert f"{fifth.id}.1" not in service.host.begun


async def test_with_allow_jobs_run_beside_each_other(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep", overlap=Overlap.ALLOW)
    for seconds in (60, 120):
        await service.at(seconds)
    jobs = await service.jobs(schedule)
    await until(lambda: service.host.begun == [f"{job.id}.1" for job in jobs])


# -- what stands in the way ------------------------------------------------------------------------


async def test_a_fire_that_cannot_be_submitted_is_tried_again_and_says_why(new: New) -> None:
    service = await new()
    schedule = await service.make(60)
    service.fuse.full.add("insert")
    await service.at(60)
    assert service.schedules.trouble(schedule.id) == "the disk is full"
    assert (await service.stored(schedule)).next_fire == START + 60
    service.fuse.full.clear()
    await service.at(61)
    assert await service.jobs(schedule) == []  # not yet: a full disk is not asked all the time
    await service.at(66)
    assert len(await service.jobs(schedule)) == 1
    assert service.schedules.trouble(schedule.id) is None


async def test_a_limit_on_waiting_jobs_delays_fires_and_drops_none(new: New) -> None:
    service = await new(max_pending_jobs=1, max_concurrent_jobs=1)
    schedule = await service.make(60, "sleep", overlap=Overlap.ALLOW, missed=Missed.ALL)
    for seconds in (60, 120, 180):
        await service.at(seconds)
    running, _ = await service.jobs(schedule)
    assert "limit" in (service.schedules.trouble(schedule.id) or "")
    service.host.finish(f"{running.id}.1", code=0)
    await service.manager.wait([running.id], timeout=20)
    await service.at(190)
    assert [e.at - START for e in await service.history(schedule)] == [60, 120, 180]


@pytest.mark.parametrize(
    "trigger",
    [Cron(expression="* * * * *", timezone="Mars/Olympus"), Cron(expression="nonsense")],
    ids=["a zone that is gone", "a rule that was damaged"],
)
async def test_a_schedule_in_trouble_does_not_keep_the_others_from_firing(
    new: New, trigger: Cron
) -> None:
    service = await new()
    sick = await service.make(60)
    well = await service.make(60)
    broken = replace(sick, version=replace(sick.version, trigger=trigger))
    service.store.schedules._schedules[sick.id] = broken
    await service.at(60)
    assert len(await service.jobs(well)) == 1
    assert service.schedules.trouble(sick.id)


async def test_a_submission_without_the_move_after_it_is_the_same_job_when_it_is_repeated(
    new: New,
) -> None:
    service = await new()
    schedule = await service.make(60, overlap=Overlap.QUEUE)
    service.fuse.full.add("save")
    await service.at(60)
    assert len(await service.jobs(schedule)) == 1
    service.fuse.full.clear()
    await service.at(66)
    (job,) = await service.jobs(schedule)
    assert [e.job_id for e in await service.history(schedule)] == [job.id]


async def test_a_fire_that_was_submitted_before_a_crash_is_not_said_to_be_missed_after_it(
    new: New,
) -> None:
    service = await new()
    schedule = await service.make(300, missed=Missed.SKIP)
    service.fuse.point = "before save"
    service.clock.at = START + 300
    assert await service.surviving(service.schedules.fire_due())
    await service.at(1000)
    (job,) = await service.jobs(schedule)
    first, second = await service.history(schedule)
    assert (first.at, first.until, first.job_id) == (START + 300, None, job.id)
    assert (second.at, second.until, second.passed) == (START + 600, START + 900, Passed.MISSED)


async def test_a_change_puts_first_on_record_what_was_submitted_and_could_not_be(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep")
    service.fuse.full.add("save")
    await service.at(60)
    service.fuse.full.clear()
    (job,) = await service.jobs(schedule)
    assert await service.history(schedule) == []
    with pytest.raises(Conflict, match=job.id):
        await service.schedules.trigger(schedule.id, key="k")
    assert [e.job_id for e in await service.history(schedule)] == [job.id]


async def test_no_change_makes_a_fire_forgotten_that_was_submitted(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep")
    service.fuse.full.add("save")
    await service.at(60)
    service.fuse.full.clear()
    (job,) = await service.jobs(schedule)
    await service.schedules.update(schedule.id, lambda s, _: settled(s, None))
    assert [e.job_id for e in await service.history(schedule)] == [job.id]
    assert (await service.stored(schedule)).last_job_id == job.id


# -- typed jobs ------------------------------------------------------------------------------------


async def typed(service: Service, **fields: Any) -> Schedule:
    """Make a schedule of the job definition `greet`."""
    caller = Caller(client="test", principal="local", environment={"PATH": "/bin"}, cwd="/")
    schedule = await service.make(60, overlap=Overlap.ALLOW)
    spec = replace(schedule.version.spec, contract=Contract(definition="greet", input=fields))
    version = replace(schedule.version, number=2, spec=spec, caller=caller)
    return await service.schedules.update(schedule.id, lambda s, _: replace(s, version=version))


GREET = JobDefinition(
    name="greet",
    command="true",
    input_schema={"type": "object", "properties": {"n": {"type": "integer"}}},
)


async def test_a_typed_job_is_made_as_its_definition_is_when_it_fires(new: New) -> None:
    service = await new()
    await service.definitions.register(GREET, LOCAL)
    schedule = await typed(service, n=1)
    await service.at(60)
    await service.definitions.register(replace(GREET, timeout=7.0), LOCAL)
    await service.at(120)
    first, second = await service.jobs(schedule)
    assert (first.spec.command.timeout, second.spec.command.timeout) == (300.0, 7.0)
    assert first.spec.contract is not None and first.spec.contract.input == {"n": 1}
    assert first.spec.owner == "local"
    assert first.spec.tags == {"definition": "greet", "schedule": schedule.name}
    assert first.spec.command.environment["CONSOLE_AUTOMATION_SCHEDULE"] == schedule.id


async def test_what_the_definition_refuses_is_passed_over_and_the_history_says_why(
    new: New,
) -> None:
    service = await new()
    await service.definitions.register(GREET, LOCAL)
    wrong, gone = await typed(service, n="x"), await typed(service, n=1)
    await service.at(60)
    await service.definitions.remove("greet", LOCAL)
    await service.at(120)
    for schedule, at, words in ((wrong, 0, "input"), (gone, 1, "no job definition 'greet'")):
        execution = (await service.history(schedule))[at]
        assert execution.passed is Passed.REFUSED
        assert execution.error is not None and words in execution.error
        assert (await service.stored(schedule)).next_fire == START + 180
    assert len(await service.jobs(gone)) == 1


async def test_a_schedule_of_somebody_else_is_not_there(new: New) -> None:
    service = await new()
    schedule = await service.make(60, name="n", owner="ci")
    other = Principal(name="other")
    for reference in ("n", schedule.id):
        with pytest.raises(ScheduleNotFound):
            await service.schedules.find(reference, project="/p", principal=other)
        found = await service.schedules.find(
            reference, project="/p", principal=Principal(name="ci")
        )
        assert found.id == schedule.id
    await service.make(60, name="n", owner="other")  # whose name it is, they cannot know


# -- what clients ask ------------------------------------------------------------------------------


async def test_a_name_belongs_to_one_schedule_of_a_project(new: New) -> None:
    service = await new()
    first = await service.make(60, name="n")
    with pytest.raises(Conflict) as refused:
        await service.make(60, name="n")
    assert first.id in refused.value.message
    other = await service.make(60, name="n", project="/q")
    assert (await service.schedules.find("n", project="/p", principal=LOCAL)).id == first.id
    assert (await service.schedules.find("n", project="/q", principal=LOCAL)).id == other.id
    assert (await service.schedules.find(other.id, project="/p", principal=LOCAL)).id == other.id
    with pytest.raises(Conflict, match="give the id"):
        await service.schedules.find("n", project="/elsewhere", principal=LOCAL)
    third = await service.make(60, name="m")
    with pytest.raises(Conflict):
        await service.schedules.update(third.id, lambda s, _: replace(s, name="n"))
    await service.schedules.delete(first.id)
    assert (await service.schedules.find("n", project="/elsewhere", principal=LOCAL)).id == other.id
    await service.make(60, name="n")


async def test_there_is_a_limit_on_schedules(new: New) -> None:
    service = await new(max_schedules=1)
    await service.make(60)
    with pytest.raises(LimitReached, match="max_schedules"):
        await service.make(60)


async def test_a_schedule_that_is_not_active_does_not_fire_and_makes_up_for_nothing(
    new: New,
) -> None:
    service = await new()
    schedule = await service.make(60, missed=Missed.ALL)
    await service.schedules.update(schedule.id, lambda s, _: settled(s, None))
    await service.at(600)
    assert await service.history(schedule) == []
    now = service.clock.at
    await service.schedules.update(schedule.id, lambda s, _: activated(s, now))
    await service.at(659)
    assert await service.history(schedule) == []
    await service.at(660)
    assert [e.at for e in await service.history(schedule)] == [START + 660]


async def test_what_its_client_does_not_wait_for_is_done_all_the_same(new: New) -> None:
    service = await new()
    schedule = await service.make(3_600)

    async def given_up(work: Coroutine[Any, Any, object]) -> None:
        service.fuse.slow = asyncio.Event()
        task = asyncio.create_task(work)
        await until(lambda: service.fuse.held, "a write that takes its time")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        service.fuse.slow.set()
        service.fuse.slow = None
        await service.schedules.update(schedule.id, lambda s, _: s)  # which comes after it

    await given_up(service.make(60, name="given up"))
    await service.at(60)
    (made,) = await service.store.schedules.named("given up")
    assert len(await service.jobs(made)) == 1

    await given_up(service.schedules.trigger(schedule.id, key="k"))
    assert [e.key for e in await service.history(schedule)] == ["now:k"]


async def test_run_now_is_a_job_beside_the_fires_and_the_same_key_is_the_same_job(new: New) -> None:
    service = await new()
    schedule = await service.make(60)
    job = await service.schedules.trigger(schedule.id, key="k")
    again = await service.schedules.trigger(schedule.id, key="k")
    other = await service.schedules.trigger(schedule.id, key="l")
    assert again.id == job.id != other.id
    assert (await service.stored(schedule)).next_fire == START + 60
    assert [e.job_id for e in await service.history(schedule)] == [job.id, other.id]


async def test_run_now_is_refused_while_the_job_before_runs_unless_overlaps_are_wanted(
    new: New,
) -> None:
    service = await new()
    schedule = await service.make(60, "sleep")
    job = await service.schedules.trigger(schedule.id, key="k")
    with pytest.raises(Conflict, match=job.id):
        await service.schedules.trigger(schedule.id, key="l")
    assert (await service.schedules.trigger(schedule.id, key="k")).id == job.id
    await service.schedules.update(schedule.id, lambda s, _: replace(s, overlap=Overlap.QUEUE))
    queued = await service.schedules.trigger(schedule.id, key="l")
    assert queued.spec.depends_on == (job.id,)


async def test_a_key_that_is_given_again_does_not_make_an_old_job_the_latest(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep", overlap=Overlap.QUEUE)
    asked = await service.schedules.trigger(schedule.id, key="k")
    await service.at(60)
    assert (await service.schedules.trigger(schedule.id, key="k")).id == asked.id
    await service.at(120)
    _, second, third = await service.jobs(schedule)
    assert third.spec.depends_on == (second.id, asked.id)


async def test_a_schedule_that_is_deleted_fires_no_more_and_its_job_goes_on(new: New) -> None:
    service = await new()
    schedule = await service.make(60, "sleep")
    await service.at(60)
    (job,) = await service.jobs(schedule)
    await service.schedules.delete(schedule.id)
    await service.at(600)
    assert [each.id for each in await service.jobs(schedule)] == [job.id]
    assert (await service.manager.ledger.get(job.id)).status is Status.RUNNING
    service.host.finish(f"{job.id}.1", code=0)
    for asked in (
        service.schedules.trigger(schedule.id, key="k"),
        service.schedules.update(schedule.id, lambda s, _: s),
        service.schedules.find(schedule.id, project="/p", principal=LOCAL),
    ):
        with pytest.raises(ScheduleNotFound):
            await asked


async def test_the_history_and_the_versions_are_bounded(new: New) -> None:
    service = await new(schedule_history=3)
    schedule = await service.make(60)
    for number in range(1, 6):
        await service.at(number * 60)

        def next_version(s, versions):  # type: ignore[no-untyped-def]
            return replace(s, version=replace(s.version, number=versions[0].number + 1))

        await service.schedules.update(schedule.id, next_version)
    assert [e.at - START for e in await service.history(schedule)] == [180, 240, 300]
    versions = await service.store.schedules.versions(schedule.id)
    assert [each.number for each in versions] == [6, 5, 4]


# -- many, and the timer ---------------------------------------------------------------------------


async def test_many_schedules_that_are_due_at_once_leave_the_loop_to_others_in_between(
    new: New,
) -> None:
    service = await new()
    for _ in range(500):
        await service.make(60)
    service.clock.at = START + 60
    firing = asyncio.ensure_future(service.schedules.fire_due())
    turns, most, fired = 0, 0, 0
    while not firing.done():
        await asyncio.sleep(0)
        turns += 1
        total = service.manager.ledger.counts.total()
        most, fired = max(most, total - fired), total
    assert fired == 500
    assert most <= 20 < turns


async def test_the_timer_fires_what_is_due_and_hears_of_what_becomes_due_earlier(new: New) -> None:
    service = await new()
    await service.schedules.open()
    far = await service.make(3600)
    near = await service.make(0.05)
    service.clock.at = START + 0.05
    await service.schedules.update(far.id, lambda s, _: s)  # wakes it: the clock was set

    async def fired() -> bool:
        return len(await service.history(near)) == 1

    await until(fired)
    assert await service.history(far) == []
