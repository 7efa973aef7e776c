"""The contract of the ScheduleStore, kept alike by SQLite and by the memory store."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.definition import Caller
from console_automation.core.retry import RetryPolicy
from console_automation.core.schedule import (
    Execution,
    Missed,
    Overlap,
    Passed,
    Schedule,
    Version,
    activated,
    settled,
)
from console_automation.core.trigger import Cron, Interval, Once, Trigger
from console_automation.errors import Unavailable
from console_automation.ports.stores import ScheduleStore
from tests.builders import script, spec

KEEP = 100


@pytest.fixture(params=["sqlite", "memory"])
async def store(
    request: pytest.FixtureRequest, home: Path
) -> AsyncIterator[SqliteStore | MemoryStore]:
    opened = MemoryStore() if request.param == "memory" else SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def schedules(store: SqliteStore | MemoryStore) -> ScheduleStore:
    return store.schedules


def version(number: int = 1, trigger: Trigger | None = None) -> Version:
    what = spec(script(f"echo {number}", timeout=7.0), retry=RetryPolicy(max_attempts=number))
    return Version(
        number=number,
        created_at=float(number),
        trigger=trigger or Interval(every=60.0, since=0.0),
        spec=what,
    )


def schedule(number: int = 1, **fields: Any) -> Schedule:
    return Schedule(
        **{
            "id": f"schedule-{number:04}",
            "name": f"s{number}",
            "project": "/p",
            "client": "test",
            "owner": "local",
            "created_at": float(number),
            "version": version(),
            "is_active": True,
            "next_fire": 60.0 * number,
            **fields,
        }
    )


def execution(number: int, of: int = 1, **fields: Any) -> Execution:
    return Execution(
        **{
            "schedule_id": f"schedule-{of:04}",
            "key": f"{number}",
            "at": float(number),
            "version": 1,
            "job_id": f"job-{of}-{number}",
            **fields,
        }
    )


def ids(found: list[Schedule]) -> list[str]:
    return [each.id for each in found]


@pytest.mark.parametrize(
    "trigger",
    [
        Once(at=12.25),
        Interval(every=0.1, since=7.5),
        Cron(expression="30 2 * * MON", timezone="Europe/Berlin"),
    ],
    ids=lambda trigger: type(trigger).__name__,
)
async def test_a_schedule_comes_back_as_it_was_given(
    schedules: ScheduleStore, trigger: Trigger
) -> None:
    given = schedule(
        version=version(3, trigger),
        missed=Missed.ALL,
        overlap=Overlap.QUEUE,
        jitter=2.5,
        metadata={"a": [1, {"b": None}], "ä": "\n"},
        last_fire=1.5,
        last_job_id="job-1",
    )
    await schedules.save(given, keep=KEEP)
    assert await schedules.several([given.id, "schedule-9"]) == [given]
    assert await schedules.versions(given.id) == [given.version]


async def test_for_whom_a_typed_job_is_made_comes_back(schedules: ScheduleStore) -> None:
    caller = Caller(client="c", principal="ci", environment={"ä": "\n"}, cwd="/w")
    given = schedule(owner="ci", version=replace(version(), caller=caller))
    await schedules.save(given, execution(1, error="no"), keep=KEEP)
    assert await schedules.several([given.id]) == [given]
    assert await schedules.executions(given.id, limit=9) == [execution(1, error="no")]


async def test_saving_again_replaces_the_state_and_adds_a_version(
    schedules: ScheduleStore,
) -> None:
    first = schedule()
    await schedules.save(first, keep=KEEP)
    changed = replace(first, name="other", version=version(2), metadata={"n": 1}, next_fire=None)
    await schedules.save(changed, keep=KEEP)
    assert await schedules.several([first.id]) == [changed]
    assert await schedules.versions(first.id) == [version(2), version(1)]
    back = replace(changed, version=version(1))
    await schedules.save(back, keep=KEEP)
    assert await schedules.several([first.id]) == [back]
    assert [each.number for each in await schedules.versions(first.id)] == [2, 1]


async def test_a_version_never_changes(schedules: ScheduleStore) -> None:
    await schedules.save(schedule(), keep=KEEP)
    forged = replace(version(1), created_at=99.0)
    await schedules.save(schedule(version=forged), keep=KEEP)
    assert await schedules.versions("schedule-0001") == [version(1)]


async def test_the_newest_versions_are_kept_and_the_active_one(schedules: ScheduleStore) -> None:
    for number in range(1, 6):
        await schedules.save(schedule(version=version(number)), keep=KEEP)
    await schedules.save(schedule(version=version(1)), keep=2)
    assert [each.number for each in await schedules.versions("schedule-0001")] == [5, 4, 1]


async def test_a_name_of_a_project_and_an_owner_is_that_of_one_schedule(
    schedules: ScheduleStore,
) -> None:
    await schedules.save(schedule(1, name="n"), keep=KEEP)
    with pytest.raises(Unavailable):
        await schedules.save(schedule(2, name="n"), keep=KEEP)
    await schedules.save(schedule(3, name="n", project="/q"), keep=KEEP)
    await schedules.save(schedule(4, name="n", owner="ci"), keep=KEEP)
    found = await schedules.named("n")
    assert ids(found) == ["schedule-0001", "schedule-0003", "schedule-0004"]
    assert await schedules.several(["schedule-0002"]) == []
    await schedules.delete("schedule-0001")
    await schedules.save(schedule(2, name="n"), keep=KEEP)


async def test_pages_follow_each_other_oldest_first(schedules: ScheduleStore) -> None:
    for number in (3, 1, 2, 4):
        project = "/q" if number == 2 else "/p"
        await schedules.save(schedule(number, project=project), keep=KEEP)
    found, total = await schedules.page(after=None, limit=3)
    assert (ids(found), total) == (["schedule-0001", "schedule-0002", "schedule-0003"], 4)
    found, total = await schedules.page(after="schedule-0003", limit=3)
    assert (ids(found), total) == (["schedule-0004"], 4)
    found, total = await schedules.page(project="/p", after="schedule-0001", limit=1)
    assert (ids(found), total) == (["schedule-0003"], 3)
    assert await schedules.page(after=None, limit=0) == ([], 4)
    await schedules.save(schedule(5, owner="ci"), keep=KEEP)
    found, total = await schedules.page(after=None, limit=3, owner="ci")
    assert (ids(found), total) == (["schedule-0005"], 1)


async def test_upcoming_is_when_jobs_are_to_start(schedules: ScheduleStore) -> None:
    jittered = schedule(1, jitter=30.0)
    await schedules.save(jittered, keep=KEEP)
    await schedules.save(schedule(2), keep=KEEP)
    await schedules.save(settled(schedule(3), None), keep=KEEP)
    upcoming = {"schedule-0001": jittered.due_at, "schedule-0002": 120.0}
    assert dict(await schedules.upcoming()) == upcoming
    await schedules.save(activated(schedule(2), 1000.0), keep=KEEP)
    assert dict(await schedules.upcoming())["schedule-0002"] == 1020.0


async def test_executions_come_back_newest_first_and_the_first_of_a_key_stays(
    schedules: ScheduleStore,
) -> None:
    first = execution(1, until=3.0, status="failed", ended_at=9.0)
    second = execution(2, job_id=None, passed=Passed.MISSED)
    await schedules.save(schedule(), first, second, keep=KEEP)
    await schedules.save(schedule(2), execution(1, 2), keep=KEEP)
    await schedules.save(schedule(), execution(1, job_id="job-other"), keep=KEEP)
    assert await schedules.executions("schedule-0001", limit=10) == [second, first]
    assert await schedules.executions("schedule-0001", limit=1) == [second]
    assert await schedules.executions("schedule-0002", limit=10) == [execution(1, 2)]


async def test_the_newest_executions_of_each_schedule_are_kept(schedules: ScheduleStore) -> None:
    await schedules.save(schedule(2), execution(1, 2), keep=2)
    for number in range(1, 6):
        await schedules.save(schedule(), execution(number), keep=2)
    kept = await schedules.executions("schedule-0001", limit=10)
    assert [each.key for each in kept] == ["5", "4"]
    assert len(await schedules.executions("schedule-0002", limit=10)) == 1


async def test_an_end_is_put_on_record_once(schedules: ScheduleStore) -> None:
    skipped = execution(2, job_id=None, passed=Passed.OVERLAP)
    await schedules.save(schedule(), execution(1), skipped, execution(3), keep=KEEP)
    await schedules.end("job-1-1", status="completed", at=5.0)
    await schedules.end("job-1-1", status="failed", at=6.0)
    await schedules.end("job-unknown", status="failed", at=6.0)
    assert await schedules.unended() == [execution(3)]
    found = await schedules.executions("schedule-0001", limit=10)
    assert found == [execution(3), skipped, execution(1, status="completed", ended_at=5.0)]


async def test_what_is_deleted_is_gone_with_all_that_belongs_to_it(
    schedules: ScheduleStore,
) -> None:
    for number in (1, 2):
        await schedules.save(schedule(number), execution(1, number), keep=KEEP)
    await schedules.delete("schedule-0001")
    await schedules.delete("schedule-unknown")
    assert await schedules.several(["schedule-0001"]) == []
    assert await schedules.versions("schedule-0001") == []
    assert await schedules.executions("schedule-0001", limit=10) == []
    assert [each.schedule_id for each in await schedules.unended()] == ["schedule-0002"]
    assert ids((await schedules.page(after=None, limit=9))[0]) == ["schedule-0002"]


async def test_a_closed_store_writes_nothing(
    store: SqliteStore | MemoryStore, schedules: ScheduleStore
) -> None:
    await store.close()
    with pytest.raises(Unavailable):
        await schedules.save(schedule(), keep=KEEP)


async def test_schedules_outlive_the_process(home: Path) -> None:
    store = SqliteStore(home)
    await store.open()
    given = schedule(metadata={"n": 1})
    await store.schedules.save(given, execution(1), keep=KEEP)
    await store.close()
    again = SqliteStore(home)
    await again.open()
    assert await again.schedules.several([given.id]) == [given]
    assert await again.schedules.executions(given.id, limit=9) == [execution(1)]
    await again.close()
