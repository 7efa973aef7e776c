"""The JobManager over fakes that keep the ports' contracts: no process, no disk, no sleep."""

import asyncio
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_host import MemoryHost
from console_automation.core.job import Cause, Job, Phase, Reason, Status
from console_automation.core.retry import RetryPolicy
from console_automation.engine.feed import Change
from console_automation.engine.jobs import JobManager
from console_automation.errors import (
    BadRequest,
    Conflict,
    JobNotFound,
    LimitReached,
    StoreFull,
    Unavailable,
)
from console_automation.ports.stores import AuditRecord, Entry, JobFilter
from tests.builders import script, spec
from tests.conftest import Build, CalmGauge
from tests.waiting import PATIENCE, until

FAST = RetryPolicy(max_attempts=3, backoff=0.001)


async def ended(manager: JobManager, job: Job) -> Job:
    [over] = await manager.wait([job.id], timeout=PATIENCE)
    assert over.is_terminal, over
    return over


async def run(manager: JobManager, text: str, **fields: Any) -> Job:
    return await ended(manager, await manager.submit(spec(script(text), **fields)))


def host_of(manager: JobManager) -> MemoryHost:
    assert isinstance(manager.host, MemoryHost)
    return manager.host


async def test_a_submitted_job_runs_to_its_end(build: Build) -> None:
    manager = await build()
    job = await run(manager, "exit 3")
    assert (job.status, job.reason, job.exit and job.exit.code) == (
        Status.FAILED,
        Reason.EXIT_CODE,
        3,
    )


async def test_the_journal_tells_the_story(build: Build) -> None:
    manager = await build()
    job = await run(manager, "exit 0")
    story = [entry.event for entry in await manager.ledger.store.journal(job.id)]
    assert story == ["Submitted", "Picked", "Started", "Exited"]


async def test_caps_hold_and_free_slots_are_taken_by_priority(build: Build) -> None:
    manager = await build(max_concurrent_jobs=1)
    running = await manager.submit(spec(script("sleep")))
    low = await manager.submit(spec(script("exit 0"), priority=1))
    high = await manager.submit(spec(script("sleep"), priority=9))
    assert (low.status, high.status) == (Status.PENDING, Status.PENDING)
    await manager.cancel(running.id, signal=15, grace=1, by="test")
    await until(lambda: host_of(manager).begun == [f"{running.id}.1", f"{high.id}.1"])
    assert manager.dispatcher.queue.live == 1


async def test_a_pending_job_says_why_it_waits(build: Build) -> None:
    manager = await build(max_concurrent_jobs=1, max_concurrent_jobs_per_session=1)
    first = await manager.submit(spec(script("sleep"), session_id="s"))
    second = await manager.submit(spec(script("sleep"), session_id="s"))
    third = await manager.submit(spec(depends_on=(first.id,)))
    standing = manager.standing(second)
    assert standing and (standing.position, standing.why) == (1, "1 of 1 slot taken")
    waits = manager.standing(third)
    assert waits and waits.why == f"waits for {first.id}"
    assert manager.standing(first) is None


async def test_a_busy_machine_delays_starts_but_never_all(build: Build, gauge: CalmGauge) -> None:
    manager = await build(max_load_per_cpu=2.0)
    gauge.load = 3.0
    first = await manager.submit(spec(script("sleep")))
    second = await manager.submit(spec(script("exit 0")))
    assert (first.status, second.status) == (Status.RUNNING, Status.PENDING)
    standing = manager.standing(second)
    assert standing and "load per processor is 3.0, above 2" in standing.why
    gauge.load = 0.0
    assert (await ended(manager, second)).status is Status.COMPLETED


async def test_cancelling_a_pending_job_means_that_it_never_runs(build: Build) -> None:
    manager = await build(max_concurrent_jobs=1)
    running = await manager.submit(spec(script("sleep")))
    waiting = await manager.submit(spec(script("exit 0")))
    assert await manager.cancel(waiting.id, signal=15, grace=1, by="test")
    await manager.cancel(running.id, signal=15, grace=1, by="test")
    await ended(manager, running)
    assert (await manager.ledger.get(waiting.id)).status is Status.CANCELLED
    assert host_of(manager).begun == [f"{running.id}.1"]


async def test_cancelling_a_finished_job_changes_nothing(build: Build) -> None:
    manager = await build()
    job = await run(manager, "exit 0")
    assert not await manager.cancel(job.id, signal=15, grace=1, by="test")
    assert await manager.ledger.get(job.id) == job


async def test_a_failing_job_is_repeated_as_often_as_its_policy_says(build: Build) -> None:
    manager = await build()
    job = await run(manager, "exit 7", retry=FAST)
    assert (job.attempt, job.status) == (3, Status.FAILED)
    assert host_of(manager).begun == [f"{job.id}.{n}" for n in (1, 2, 3)]


async def test_a_job_starts_when_all_it_depends_on_has_completed(build: Build) -> None:
    manager = await build()
    one, two = [await manager.submit(spec(script("sleep"))) for _ in range(2)]
    third = await manager.submit(spec(script("exit 0"), depends_on=(one.id, two.id)))
    host_of(manager).finish(f"{one.id}.1", code=0)
    await ended(manager, one)
    assert (await manager.ledger.get(third.id)).phase is Phase.BLOCKED
    host_of(manager).finish(f"{two.id}.1", code=0)
    assert (await ended(manager, third)).status is Status.COMPLETED


@pytest.mark.parametrize("before", [True, False])
async def test_a_failed_dependency_fails_the_job_and_all_behind_it(
    build: Build, before: bool
) -> None:
    manager = await build()
    first = await manager.submit(spec(script("sleep")))
    if before:
        host_of(manager).finish(f"{first.id}.1", code=1)
        await ended(manager, first)
    second = await manager.submit(spec(depends_on=(first.id,)))
    third = await manager.submit(spec(depends_on=(second.id,)))
    host_of(manager).finish(f"{first.id}.1", code=1)
    for job in (second, third):
        over = await ended(manager, job)
        assert (over.status, over.reason) == (Status.FAILED, Reason.DEPENDENCY)


async def test_a_dependency_that_does_not_exist_is_refused(build: Build) -> None:
    manager = await build()
    with pytest.raises(BadRequest, match="There is no job 'nope'"):
        await manager.submit(spec(depends_on=("nope",)))
    assert manager.ledger.counts.total() == 0


async def test_the_same_key_fifty_times_at_once_makes_one_job(build: Build) -> None:
    manager = await build()
    keyed = spec(script("sleep"), idempotency_key="k", fingerprint="f")
    jobs = await asyncio.gather(*(manager.submit(keyed) for _ in range(50)))
    assert len({job.id for job in jobs}) == 1
    assert len(host_of(manager).begun) == 1


async def test_a_key_used_for_another_request_is_a_conflict(build: Build) -> None:
    manager = await build()
    await manager.submit(spec(idempotency_key="k", fingerprint="f", project="/p"))
    with pytest.raises(Conflict, match="idempotencyKey 'k' was used for another request"):
        await manager.submit(spec(idempotency_key="k", fingerprint="g", project="/p"))


async def test_too_many_waiting_jobs_are_refused(build: Build) -> None:
    manager = await build(max_concurrent_jobs=1, max_pending_jobs=2)
    for _ in range(3):
        await manager.submit(spec(script("sleep")))
    with pytest.raises(LimitReached, match="2 jobs are waiting, which is the limit"):
        await manager.submit(spec())


async def test_waiting_for_any_returns_with_the_first_and_for_all_with_the_last(
    build: Build,
) -> None:
    manager = await build()
    slow = await manager.submit(spec(script("sleep")))
    quick = await manager.submit(spec(script("exit 0")))
    some = await manager.wait([slow.id, quick.id], timeout=PATIENCE, enough=1)
    assert [job.status for job in some] == [Status.RUNNING, Status.COMPLETED]
    none_yet = await manager.wait([slow.id, quick.id], timeout=0.01)
    assert not none_yet[0].is_terminal
    with pytest.raises(JobNotFound):
        await manager.wait([slow.id, "nope"], timeout=1)


async def test_retrying_makes_a_new_job_linked_to_the_old_one(build: Build) -> None:
    manager = await build()
    first = await run(manager, "exit 1", idempotency_key="k", fingerprint="f")
    again = await manager.retry(first.id, client="test")
    assert (again.spec.retry_of, again.spec.idempotency_key) == (first.id, None)
    assert again.spec.command == first.spec.command
    running = await manager.submit(spec(script("sleep")))
    with pytest.raises(Conflict, match="only a finished job can be retried"):
        await manager.retry(running.id, client="test")


async def test_a_lost_run_interrupts_its_job(build: Build) -> None:
    manager = await build()
    job = await manager.submit(spec(script("sleep")))
    await until(lambda: host_of(manager).begun)
    host_of(manager).lose(f"{job.id}.1")
    over = await ended(manager, job)
    assert (over.status, over.reason, over.exit) == (Status.INTERRUPTED, Reason.LOST, None)


async def test_a_refused_start_is_tried_again_under_a_new_run(build: Build) -> None:
    manager = await build()
    host_of(manager).refusal = "No space left on device"
    job = await manager.submit(spec(script("sleep")))
    standing = await until(lambda: manager.standing(manager.ledger.active(job.id) or job))
    assert "No space left on device" in standing.why
    host_of(manager).refusal = None
    await until(lambda: host_of(manager).begun == [f"{job.id}.2"])
    assert (await manager.ledger.get(job.id)).attempt == 1


async def test_cancel_exit_and_timeout_racing_leave_one_verdict_that_never_changes(
    build: Build,
) -> None:
    """Whatever comes first wins, and everybody is told the same, a thousand times over."""
    manager = await build(max_concurrent_jobs=1000)
    seen: dict[str, list[Status]] = {}

    def note(change: Change) -> None:
        if change.after.is_terminal:
            seen.setdefault(change.after.id, []).append(change.after.status)

    manager.ledger.feed.listen(note)
    jobs = [await manager.submit(spec(script("sleep"))) for _ in range(1000)]
    host = host_of(manager)
    for number, job in enumerate(jobs):
        run_id = f"{job.id}.1"
        cancel = manager.cancel(job.id, signal=15, grace=1, by="test")
        moves = [
            lambda cancel=cancel: asyncio.ensure_future(cancel),
            lambda run_id=run_id: host.finish(run_id, code=0),
            lambda run_id=run_id: host.finish(run_id, signal=15, cause=Cause.TIMEOUT),
        ]
        for offset in range(3):
            moves[(number + offset) % 3]()
        if number % 7 == 0:
            await asyncio.sleep(0)
    over = await manager.wait([job.id for job in jobs], timeout=PATIENCE)
    for job in over:
        assert seen[job.id] == [job.status]
        stored = await manager.ledger.store.get(job.id)
        assert stored and stored.status is job.status


class FlakyStore(MemoryStore):
    """A store whose disk is full while `full` is set."""

    full = False

    def _done(self, work: Any) -> Any:
        return failing(StoreFull()) if self.full else super()._done(work)


async def test_a_full_disk_refuses_submissions_and_keeps_nothing_of_them(build: Build) -> None:
    store = FlakyStore()
    manager = await build(store=store, max_concurrent_jobs=1)
    store.full = True
    with pytest.raises(StoreFull):
        await manager.submit(spec(script("exit 0")))
    assert (manager.dispatcher.queue.live, manager.ledger.counts.total()) == (0, 0)
    store.full = False
    assert (await run(manager, "exit 0")).status is Status.COMPLETED


async def test_an_end_that_cannot_be_saved_is_true_all_the_same_and_saved_later(
    build: Build,
) -> None:
    store = FlakyStore()
    manager = await build(store=store, max_concurrent_jobs=1)
    job = await manager.submit(spec(script("sleep")))
    await until(lambda: (manager.ledger.active(job.id) or job).phase is Phase.RUNNING)
    store.full = True
    host_of(manager).finish(f"{job.id}.1", code=42)
    assert (await ended(manager, job)).status is Status.FAILED
    assert host_of(manager).confirmed == []
    assert manager.dispatcher.queue.live == 0
    store.full = False
    await until(lambda: host_of(manager).confirmed == [f"{job.id}.1"])
    stored = await store.get(job.id)
    assert stored and stored.exit and stored.exit.code == 42
    story = [entry.event for entry in await store.journal(job.id)]
    assert story == ["Submitted", "Picked", "Started", "Exited"]


async def test_a_full_disk_does_not_keep_anybody_from_cancelling(build: Build) -> None:
    store = FlakyStore()
    manager = await build(store=store)
    job = await manager.submit(spec(script("sleep")))
    store.full = True
    assert await manager.cancel(job.id, signal=15, grace=1, by="test")
    assert (await ended(manager, job)).status is Status.CANCELLED
    store.full = False
    await until(lambda: not manager.ledger.active(job.id))


async def test_a_start_that_cannot_be_recorded_does_not_happen(build: Build) -> None:
    store = FlakyStore()
    manager = await build(store=store, max_concurrent_jobs=1)
    first = await manager.submit(spec(script("sleep")))
    second = await manager.submit(spec(script("exit 0")))
    store.full = True
    host_of(manager).finish(f"{first.id}.1", code=0)
    await ended(manager, first)
    await until(lambda: (manager.ledger.active(second.id) or second).phase is Phase.READY)
    assert host_of(manager).begun == [f"{first.id}.1"]
    store.full = False
    assert (await ended(manager, second)).status is Status.COMPLETED


async def test_after_a_restart_everything_goes_on_where_it_stopped(build: Build) -> None:
    store, host = MemoryStore(), MemoryHost()
    before = await build(store=store, host=host, max_concurrent_jobs=2)
    live = await before.submit(spec(script("sleep")))
    ending = await before.submit(spec(script("sleep")))
    waiting = await before.submit(spec(script("exit 0")))
    blocked = await before.submit(spec(script("exit 0"), depends_on=(live.id,)))
    doomed = await before.submit(spec(script("exit 0"), depends_on=(ending.id,)))
    await until(lambda: len(host.begun) == 2)
    before.dispatcher.close()
    await before.ledger.settle()
    host.finish(f"{ending.id}.1", code=5)
    await before.ledger.settle()

    after = await build(store=store, host=host, max_concurrent_jobs=2)
    assert (await ended(after, ending)).status is Status.FAILED
    assert (await ended(after, waiting)).status is Status.COMPLETED
    assert (await ended(after, doomed)).reason is Reason.DEPENDENCY
    assert (await after.ledger.get(live.id)).status is Status.RUNNING
    host.finish(f"{live.id}.1", code=0)
    assert (await ended(after, live)).status is Status.COMPLETED
    assert (await ended(after, blocked)).status is Status.COMPLETED
    assert host.begun.count(f"{live.id}.1") == 1


async def test_a_run_handed_out_but_never_begun_is_handed_out_again(build: Build) -> None:
    store = MemoryStore()
    lost_host = MemoryHost()
    lost_host.start = lambda *_, **__: None  # type: ignore[method-assign]
    before = await build(store=store, host=lost_host)
    job = await before.submit(spec(script("exit 0")))
    after = await build(store=store)
    over = await ended(after, job)
    assert (over.status, over.attempt, over.run_id) == (Status.COMPLETED, 1, f"{job.id}.2")
    assert host_of(after).begun == [f"{job.id}.1", f"{job.id}.2"]  # the first: only fenced


async def test_a_listing_pages_through_all_jobs_newest_first(build: Build) -> None:
    manager = await build()
    ids = [(await run(manager, "exit 0")).id for _ in range(5)]
    first, total = await manager.ledger.page(JobFilter(), before=None, limit=3)
    rest, _ = await manager.ledger.page(JobFilter(), before=first[-1].id, limit=3)
    assert [job.id for job in [*first, *rest]] == ids[::-1]
    assert total == 5


async def test_counts_add_up_through_every_change(build: Build) -> None:
    manager = await build(max_concurrent_jobs=1)
    await run(manager, "exit 0")
    await run(manager, "exit 1")
    live = await manager.submit(spec(script("sleep")))
    await manager.submit(spec(script("sleep")))
    counts = manager.ledger.counts
    assert (counts[Status.COMPLETED], counts[Status.FAILED]) == (1, 1)
    assert (counts[Status.RUNNING], counts[Status.PENDING]) == (1, 1)
    await manager.cancel(live.id, signal=15, grace=1, by="test")
    await ended(manager, live)
    assert counts.total() == 4


async def test_a_closing_service_accepts_nothing(build: Build) -> None:
    manager = await build()
    manager.dispatcher.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await manager.submit(spec())


async def test_draining_waits_for_live_runs_and_stopping_ends_them(build: Build) -> None:
    manager = await build()
    job = await manager.submit(spec(script("sleep")))
    await manager.drain(timeout=0.01)
    assert not (await manager.ledger.get(job.id)).is_terminal
    await manager.stop_all(grace=1)
    assert (await manager.ledger.get(job.id)).status is Status.CANCELLED


async def test_a_listener_that_raises_harms_nobody(build: Build) -> None:
    manager = await build()

    def broken(change: Change) -> None:
        raise RuntimeError("no")

    manager.ledger.feed.listen(broken)
    assert (await run(manager, "exit 0")).status is Status.COMPLETED


async def test_the_audit_keeps_what_was_asked_in_order(build: Build) -> None:
    manager = await build()
    for number in range(3):
        await manager.ledger.store.record(
            AuditRecord(at=float(number), client="c", operation="o", job_id=None, outcome="ok")
        )
    kept = await manager.ledger.store.audit(limit=2)
    assert [record.at for record in kept] == [2.0, 1.0]
    assert Entry(job_id="j", at=0.0, event="e").data == {}
