"""The contract of the Store port, kept alike by SQLite and by the memory store.

Promise 2: an idempotency key belongs to one job. Promise 7: a finished job never changes.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore
from console_automation.adapters.sqlite import database
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.definition import JobDefinition
from console_automation.core.job import (
    Cause,
    Job,
    Leftover,
    Leftovers,
    OnOutputLimit,
    OutputCounts,
    Phase,
    Reason,
    Status,
    Usage,
)
from console_automation.core.retry import RetryPolicy
from console_automation.core.timing import Timings
from console_automation.errors import Unavailable
from console_automation.ports.stores import AuditRecord, Entry, JobFilter, Store
from tests.builders import command, exit_of, job, spec
from tests.waiting import PATIENCE

ENDS = (Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED, Phase.INTERRUPTED)
MORE_THAN_A_BATCH = 1200


@pytest.fixture(params=["sqlite", "memory"])
async def store(
    request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    if request.param == "sqlite on a slow disk":
        monkeypatch.setattr(database, "_FAST_COMMIT_SECONDS", -1.0)  # commits run in a thread
    opened: Store = MemoryStore() if request.param == "memory" else SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


on_any_disk = pytest.mark.parametrize(
    "store", ["sqlite", "sqlite on a slow disk", "memory"], indirect=True
)


def entry(job_id: str, event: str = "Submitted", at: float = 1.0, **data: Any) -> Entry:
    return Entry(job_id=job_id, at=at, event=event, data=data)


def ended(job_id: str, phase: Phase = Phase.COMPLETED, *, at: float = 2.0, **fields: Any) -> Job:
    return job(job_id, phase, completed_at=at, started_at=at - 1, **fields)


async def fill(store: Store, *jobs: Job) -> None:
    await asyncio.gather(*(store.insert(each, [entry(each.id)]) for each in jobs))


async def ids(store: Store, wanted: JobFilter | None = None, **page: Any) -> list[str]:
    jobs, _ = await store.page(wanted or JobFilter(), **{"before": None, "limit": 100, **page})
    return [each.id for each in jobs]


async def fails(write: "asyncio.Future[None]") -> bool:
    try:
        await asyncio.wait_for(write, PATIENCE)
    except Unavailable:
        return True
    return False


RICH = job(
    "job-rich",
    Phase.RUNNING,
    spec=spec(
        command(
            "/bin/sh",
            "-c",
            "printf '%s' \"häß ☃ \udcff\"",
            environment={"PATH": "/bin", "ODD": "a=b\n\udc80"},
            stdin="in\udcfe",
            keep_stdin=True,
            merge_stderr=True,
            timeout=None,
            idle_timeout=0.5,
            output_limit=70_000,
            on_output_limit=OnOutputLimit.KILL,
            leftovers=Leftovers.LEAVE,
        ),
        name="näme'; --",
        session_id="s 1",
        priority=10,
        tags={"a.b": 'quote"', "€": ""},
        retry=RetryPolicy(max_attempts=4, backoff=0.25, on=frozenset({Reason.LOST})),
        depends_on=("job-a", "job-b"),
        idempotency_key="kéy",
        fingerprint="f00",
        retry_of="job-z",
    ),
    attempt=2,
    dispatches=3,
    not_before=17.25,
    output=OutputCounts(bytes=1 << 40, dropped_bytes=7, last_sequence=1 << 33),
)
RICH_END = dataclasses.replace(
    RICH,
    phase=Phase.FAILED,
    completed_at=1e9 + 0.123456,
    reason=Reason.SIGNAL,
    error="said ☃",
    pid=None,
    exit=exit_of(
        None,
        signal=9,
        cause=Cause.TIMEOUT,
        usage=Usage(cpu_seconds=0.1, max_rss_bytes=1 << 31),
        leftovers=(Leftover(pid=5, command="sleep\udc80", ended=False),),
    ),
)


async def test_a_job_comes_back_as_it_was_given(store: Store) -> None:
    await store.insert(RICH, [entry(RICH.id)])
    assert await store.get(RICH.id) == RICH
    await store.update(RICH_END, [])
    assert await store.get(RICH.id) == RICH_END
    assert await store.find_by_key("kéy") == RICH_END
    assert (await store.page(JobFilter(name="näme'; --"), before=None, limit=1))[0] == [RICH_END]


async def test_what_is_not_there_is_nothing_and_no_error(store: Store) -> None:
    assert await store.get("job-0") is None
    assert await store.find_by_key("key") is None
    assert await store.journal("job-0") == []
    assert await store.unfinished() == []
    assert await store.page(JobFilter(), before=None, limit=5) == ([], 0)
    assert await store.counts() == {}
    assert await store.audit(limit=5) == []
    await store.delete(["job-0"])
    await store.trim_audit(before=1.0)
    finished = [each for each in Status if each not in (Status.PENDING, Status.RUNNING)]
    assert await store.expired(statuses=finished, ended_before=9, keep=0, limit=9) == []


async def test_the_journal_keeps_every_event_in_order_with_its_data(store: Store) -> None:
    told = [entry("job-1", "Submitted"), entry("job-1", "Picked", 1.5, run="job-1.1", n=[1, None])]
    await store.insert(job("job-1"), told)
    await store.insert(job("job-2"), [entry("job-2")])
    late = entry("job-1", "Exited", 0.5, cause=Cause.EXIT)  # the order is that of the writes
    await store.update(ended("job-1"), [late])
    assert await store.journal("job-1") == [*told, late]
    assert await store.journal("job-2") == [entry("job-2")]


@on_any_disk
async def test_writes_take_effect_and_return_in_the_order_they_were_given(store: Store) -> None:
    returned: list[int] = []
    writes = [store.insert(job("job-1"), [entry("job-1")])]
    for number in range(1, MORE_THAN_A_BATCH):
        later = job("job-1", Phase.RUNNING, attempt=number)
        urgent = number % 3 > 0
        writes.append(store.update(later, [entry("job-1", str(number))], urgent=urgent))
    for number, write in enumerate(writes):
        write.add_done_callback(lambda _, number=number: returned.append(number))
    await asyncio.gather(*writes)
    last = await store.get("job-1")
    assert last and last.attempt == MORE_THAN_A_BATCH - 1
    assert [each.event for each in await store.journal("job-1")][1:] == [
        str(number) for number in range(1, MORE_THAN_A_BATCH)
    ]
    assert returned == sorted(returned) and len(returned) == MORE_THAN_A_BATCH


@on_any_disk
async def test_a_write_does_not_wait_for_those_that_come_after_it(store: Store) -> None:
    await store.insert(job("job-1"), [])
    writes: list[asyncio.Future[None]] = []

    async def keep_writing() -> None:
        while not (writes and writes[0].done()):
            writes.append(store.update(job("job-1"), []))
            await asyncio.sleep(0)

    # Were the first to wait for a pause among the others, there would never be one.
    await asyncio.wait_for(asyncio.gather(*[keep_writing() for _ in range(3)]), PATIENCE)
    await asyncio.gather(*writes)


async def test_a_write_that_nobody_is_in_a_hurry_for_is_made_all_the_same(store: Store) -> None:
    await store.insert(job("job-1"), [])
    await asyncio.wait_for(store.update(job("job-1", attempt=1), [], urgent=False), PATIENCE)
    assert await store.get("job-1") == job("job-1", attempt=1)


@on_any_disk
async def test_a_caller_that_stops_waiting_changes_nothing(store: Store) -> None:
    given_up = store.insert(job("job-1"), [entry("job-1")])
    given_up.cancel()
    await store.insert(job("job-2"), [entry("job-2")])
    assert await ids(store) == ["job-2", "job-1"]


@on_any_disk
@pytest.mark.parametrize(
    "twin",
    [
        job("job-1", spec=spec(name="twin")),
        job("job-9", spec=spec(name="twin", idempotency_key="key")),
    ],
    ids=["same id", "same key"],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_write_that_raises_has_changed_nothing_and_harms_no_other(
    store: Store, twin: Job, at_once: bool
) -> None:
    one = job("job-1", spec=spec(idempotency_key="key"))
    first = store.insert(one, [entry(one.id)])
    if not at_once:
        await first
    refused = store.insert(twin, [entry(twin.id, "Refused")])
    neighbour = store.insert(job("job-2"), [entry("job-2")])
    assert [await fails(write) for write in (first, refused, neighbour)] == [False, True, False]
    assert await store.find_by_key("key") == one
    assert await ids(store) == ["job-2", "job-1"]
    assert await ids(store, JobFilter(name="twin")) == []
    assert await store.journal("job-1") == [entry("job-1")]
    assert await store.journal("job-9") == []


async def test_a_finished_job_is_final(store: Store) -> None:
    over = ended("job-1", Phase.CANCELLED, reason=Reason.CANCELLED)
    await store.insert(job("job-1"), [])
    await store.update(over, [])
    await store.update(ended("job-1", Phase.FAILED, at=9.0), [])
    await store.update(job("job-1", Phase.RUNNING), [])
    assert await store.get("job-1") == over
    assert await store.counts() == {Status.CANCELLED: 1}


async def test_unfinished_are_all_jobs_without_an_end_oldest_first(store: Store) -> None:
    open_phases = [phase for phase in Phase if phase not in ENDS]
    living = [job(f"job-{index}", phase) for index, phase in enumerate(open_phases)]
    await fill(store, *living[::-1], *(ended(f"job-{phase}", phase) for phase in ENDS))
    assert await store.unfinished() == living


SHELF = (
    job("job-1", spec=spec(session_id="s", name="a", tags={"k": "v"})),
    job("job-2", Phase.RUNNING, spec=spec(session_id="s", name="b", tags={"k": "v", "l": "w"})),
    ended("job-3", spec=spec(session_id="t", name="a", tags={"k": "w"})),
    ended("job-4", Phase.FAILED, spec=spec(name="%", tags={"$.k": "v", 'q"': "'"})),
    job("job-5", Phase.BLOCKED, spec=spec(session_id="", name="A")),
)


WANTED: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "54321"),
    ({"statuses": (Status.PENDING,)}, "51"),
    ({"statuses": (Status.RUNNING, Status.FAILED)}, "42"),
    ({"statuses": (Status.CANCELLED,)}, ""),
    ({"session_id": "s"}, "21"),
    ({"session_id": ""}, "5"),
    ({"name": "a"}, "31"),
    ({"name": "%"}, "4"),
    ({"tags": {"k": "v"}}, "21"),
    ({"tags": {"k": "v", "l": "w"}}, "2"),
    ({"tags": {"$.k": "v", 'q"': "'"}}, "4"),
    ({"tags": {"k": ""}}, ""),
    ({"session_id": "s", "name": "a", "tags": {"k": "v"}}, "1"),
    ({"statuses": (Status.RUNNING,), "name": "a"}, ""),
)


async def test_a_listing_has_exactly_what_the_filter_wants(store: Store) -> None:
    await fill(store, *SHELF)
    for wanted, numbers in WANTED:
        found, total = await store.page(JobFilter(**wanted), before=None, limit=100)
        assert "".join(each.id[-1] for each in found) == numbers, wanted
        assert total == len(numbers), wanted


async def test_pages_go_from_newest_to_oldest_and_the_total_counts_all_pages(store: Store) -> None:
    await fill(store, *SHELF)
    everything = JobFilter()
    first, total = await store.page(everything, before=None, limit=2)
    second, same = await store.page(everything, before=first[-1].id, limit=2)
    assert [each.id for each in (*first, *second)] == ["job-5", "job-4", "job-3", "job-2"]
    assert total == same == 5
    assert await ids(store, before="job-1") == []
    assert await ids(store, JobFilter(session_id="s"), before="job-2") == ["job-1"]


async def test_counts_follow_every_change(store: Store) -> None:
    await fill(store, *SHELF)
    by_status = {Status.PENDING: 2, Status.RUNNING: 1, Status.COMPLETED: 1, Status.FAILED: 1}
    assert await store.counts() == by_status
    await store.update(ended("job-2", Phase.FAILED), [])
    await store.delete(["job-3"])
    assert await store.counts() == {Status.PENDING: 2, Status.FAILED: 2}


async def test_timings_are_those_of_the_jobs_that_ran_to_an_end(store: Store) -> None:
    never_ran = job("job-3", Phase.CANCELLED, completed_at=100.0)
    await fill(store, job("job-1", Phase.RUNNING), job("job-2"), never_ran)
    assert await store.timings() == Timings()
    for at in (5.0, 11.0, 12.0):
        await fill(store, job(f"job-{at}", Phase.FAILED, started_at=at - 2, completed_at=at))
    assert await store.timings() == Timings(
        mean_run=2.0, run_p50=2.0, run_p95=2.0, wait_p50=9.0, wait_p95=10.0
    )


async def test_expired_are_ended_jobs_oldest_first_but_for_the_newest(store: Store) -> None:
    phases = [Phase.FAILED, Phase.COMPLETED, Phase.CANCELLED, Phase.COMPLETED, Phase.INTERRUPTED]
    jobs = [ended(f"job-{6 - at}", phase, at=float(at)) for at, phase in enumerate(phases, 1)]
    await fill(store, *jobs, job("job-live", Phase.RUNNING))
    every = [status for status in Status if status not in (Status.PENDING, Status.RUNNING)]

    async def expired(before: float = 9.0, keep: int = 0, limit: int = 9, *only: Status) -> str:
        found = await store.expired(
            statuses=only or every, ended_before=before, keep=keep, limit=limit
        )
        return "".join(each.id[-1] for each in found)

    assert await expired() == "54321"
    assert await expired(3.0) == "54"  # what ended at that very moment stays
    assert await expired(9.0, 2) == "543"
    assert await expired(2.0, 2) == "5"
    assert await expired(9.0, 5) == await expired(9.0, 99) == ""
    assert await expired(9.0, 0, 2) == "54"
    assert await expired(9.0, 0, 9, Status.COMPLETED) == "42"
    assert await expired(9.0, 3, 9, Status.COMPLETED, Status.CANCELLED) == "4"
    assert (await store.expired(statuses=every, ended_before=2.0, keep=0, limit=1))[0] == jobs[0]


async def test_deleting_forgets_finished_jobs_and_nothing_else(store: Store) -> None:
    over = ended("job-1", spec=spec(idempotency_key="key"))
    await fill(store, over, job("job-2", Phase.RUNNING))
    await store.delete(["job-1", "job-2", "job-unknown"])
    assert await ids(store) == ["job-2"]
    assert await store.journal("job-1") == []
    assert await store.journal("job-2") == [entry("job-2")]
    again = job("job-3", spec=spec(idempotency_key="key"))
    await store.insert(again, [])
    assert await store.find_by_key("key") == again


async def test_the_audit_is_read_newest_first_and_trimmed_by_age(store: Store) -> None:
    records = [
        AuditRecord(
            at=float(number),
            client="python:☃",
            operation="console_cancel_job",
            job_id=None if number % 2 else "job-1",
            outcome="ok" if number % 2 else "JOB_NOT_FOUND",
            detail="x" * number,
        )
        for number in range(5)
    ]
    await asyncio.gather(*map(store.record, records))
    assert await store.audit(limit=2) == [records[4], records[3]]
    await store.trim_audit(before=3.0)
    assert await store.audit(limit=99) == [records[4], records[3]]


@on_any_disk
async def test_closing_finishes_every_write_that_was_given(store: Store, home: Path) -> None:
    writes = [store.insert(job(f"job-{n:04}"), []) for n in range(MORE_THAN_A_BATCH)]
    writes.append(store.update(job("job-0000", attempt=7), [entry("job-0000")], urgent=False))
    await store.close()
    assert all(write.done() and write.exception() is None for write in writes)
    reopened = SqliteStore(home) if isinstance(store, SqliteStore) else store
    await reopened.open()
    assert len(await reopened.unfinished()) == MORE_THAN_A_BATCH
    assert await reopened.journal("job-0000") == [entry("job-0000")]
    await reopened.close()


async def test_a_closed_store_takes_nothing_more(store: Store) -> None:
    await store.close()
    await store.close()
    assert await fails(store.insert(job("job-1"), []))
    assert await fails(store.update(job("job-1"), []))


# -- definitions and results -----------------------------------------------------------------------


async def test_a_result_is_kept_with_the_end_that_it_belongs_to(store: Store) -> None:
    await fill(store, job("job-1", Phase.RUNNING), job("job-2", Phase.RUNNING))
    await store.update(ended("job-1", result='{"a":1}'), [entry("job-1", "Exited")])
    await store.update(ended("job-2"), [entry("job-2", "Exited")])
    assert await store.result("job-1") == '{"a":1}'
    assert await store.result("job-2") is None and await store.result("job-3") is None
    kept = await store.get("job-1")
    assert kept is not None and kept.result is None  # it is not read with every job
    await store.delete(["job-1"])
    assert await store.result("job-1") is None


async def test_a_result_is_as_final_as_the_end(store: Store) -> None:
    await fill(store, job("job-1", Phase.RUNNING))
    await store.update(ended("job-1", result="1"), [])
    await store.update(ended("job-1", result="2"), [])
    assert await store.result("job-1") == "1"


async def test_what_a_job_tells_is_appended_to_its_journal(store: Store) -> None:
    await fill(store, job("job-1", Phase.RUNNING))
    told = [entry("job-1", "Logged", text=text) for text in "ab"]
    await store.append(told)
    assert (await store.journal("job-1"))[1:] == told


async def test_a_definition_is_kept_replaced_and_forgotten_by_its_name(store: Store) -> None:
    first = JobDefinition(
        name="b",
        command="c",
        args=("x", "{y}"),
        environment={"A": "{y}"},
        working_directory="/tmp",
        description="d",
        input_schema={"properties": {"y": {}}},
        output_schema={},
        timeout=1.5,
        retry=RetryPolicy(max_attempts=3, jitter=0.5),
        tags=("t",),
        labels={"l": "m"},
        hidden=True,
    )
    other = JobDefinition(name="a", command="c")
    await store.definitions.save(first)
    await store.definitions.save(other)
    assert await store.definitions.all() == [other, first]
    again = dataclasses.replace(first, command="d", args=None)
    await store.definitions.save(again)
    await store.definitions.delete("a")
    await store.definitions.delete("nobody")
    assert await store.definitions.all() == [again]
