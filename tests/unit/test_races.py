"""Two things happen to the JobManager at once: a commit is under way, and somebody does something."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_host import MemoryHost
from console_automation.core.job import Job, Status
from console_automation.core.retry import RetryPolicy
from console_automation.engine.jobs import JobManager
from console_automation.errors import StoreFull
from console_automation.ports.runs import RunObserver
from tests.builders import engine_of, exit_of, script, spec
from tests.conftest import Build
from tests.waiting import PATIENCE, until


class HeldStore(MemoryStore):
    """A store whose writes are under way while it holds them, and fail while it is full."""

    def __init__(self) -> None:
        super().__init__()
        self.is_holding = self.is_full = False
        self._held: list[tuple[Callable[[], None], asyncio.Future[None]]] = []

    def _done(self, work: Callable[[], None]) -> Any:
        if self.is_holding:
            self._held.append((work, asyncio.get_running_loop().create_future()))
            return self._held[-1][1]
        return failing(StoreFull()) if self.is_full else super()._done(work)

    def let_go(self) -> None:
        """End the writes under way."""
        self.is_holding = False
        for work, done in self._held:
            if self.is_full:
                done.set_exception(StoreFull())
            else:
                work()
                done.set_result(None)
        self._held.clear()


def host_of(manager: JobManager) -> MemoryHost:
    assert isinstance(manager.host, MemoryHost)
    return manager.host


async def over(manager: JobManager, job: Job) -> Job:
    [ended] = await asyncio.wait_for(manager.wait([job.id], timeout=PATIENCE), PATIENCE)
    assert ended.is_terminal
    return ended


async def settled() -> None:
    """Let everything happen that can happen without the store."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_submitter_who_leaves_too_early_takes_nothing_from_those_who_repeat_the_key(
    build: Build,
) -> None:
    store = HeldStore()
    manager = await build(store=store)
    keyed = spec(script("sleep"), idempotency_key="k", fingerprint="f")
    store.is_holding = True
    impatient = asyncio.ensure_future(manager.submit(keyed))
    await settled()
    impatient.cancel()
    patient = asyncio.ensure_future(manager.submit(keyed))
    await settled()
    store.let_go()
    job = await asyncio.wait_for(patient, PATIENCE)
    await until(lambda: host_of(manager).begun == [f"{job.id}.1"])
    assert manager.ledger.counts.total() == 1


async def test_a_key_whose_submission_failed_may_be_used_again(build: Build) -> None:
    store = HeldStore()
    manager = await build(store=store)
    keyed = spec(script("exit 0"), idempotency_key="k", fingerprint="f")
    store.is_full = True
    with pytest.raises(StoreFull):
        await manager.submit(keyed)
    store.is_full = False
    assert (await over(manager, await manager.submit(keyed))).status is Status.COMPLETED


@pytest.mark.parametrize("stays_full", [True, False])
async def test_a_job_that_was_picked_before_it_was_refused_does_not_run(
    build: Build, stays_full: bool
) -> None:
    """A slot gets free while a submission is being written, and the write fails."""
    store = HeldStore()
    manager = await build(store=store, max_concurrent_jobs=1)
    running = await manager.submit(spec(script("sleep")))
    await until(lambda: host_of(manager).begun)
    store.is_holding = store.is_full = True
    host_of(manager).finish(f"{running.id}.1", code=0)
    refused = asyncio.ensure_future(manager.submit(spec(script("sleep"))))
    await settled()
    store.let_go()
    store.is_full = stays_full
    with pytest.raises(StoreFull):
        await refused
    await settled()
    assert host_of(manager).begun == [f"{running.id}.1"]
    assert manager.dispatcher.queue.live == 0
    assert manager.ledger.counts == Counter({Status.COMPLETED: 1})
    store.is_full = False
    assert (await over(manager, await manager.submit(spec(script("exit 0"))))).exit


async def test_draining_does_not_wait_for_a_repetition_it_will_not_start(build: Build) -> None:
    manager = await build()
    patient = RetryPolicy(max_attempts=2, backoff=3600, max_backoff=3600)
    job = await manager.submit(spec(script("sleep"), retry=patient))
    await until(lambda: host_of(manager).begun)
    draining = asyncio.ensure_future(manager.drain(timeout=3600))
    await settled()
    host_of(manager).finish(f"{job.id}.1", code=1)
    await asyncio.wait_for(draining, PATIENCE)
    assert (await manager.ledger.get(job.id)).status is Status.PENDING


async def test_a_job_that_ends_while_another_is_looked_up_is_not_waited_for(build: Build) -> None:
    class SlowStore(MemoryStore):
        async def get(self, job_id: str) -> Job | None:
            looked_up.set()
            await found.wait()
            return await super().get(job_id)

    looked_up, found = asyncio.Event(), asyncio.Event()
    store, host = SlowStore(), MemoryHost()
    manager = await build(store=store, host=host)
    old = await over(manager, await manager.submit(spec(script("exit 0"))))
    manager = await build(store=store, host=host)  # it has only the store to know the old job from
    job = await manager.submit(spec(script("sleep")))
    waiting = asyncio.ensure_future(manager.wait([job.id, old.id], timeout=3600))
    await looked_up.wait()
    host.finish(f"{job.id}.1", code=0)
    await until(lambda: manager.ledger.active(job.id) is None)
    found.set()
    ended = await asyncio.wait_for(waiting, PATIENCE)
    assert all(each.is_terminal for each in ended)


async def test_two_who_clean_up_at_once_count_every_job_once(build: Build, tmp_path: Path) -> None:
    store = HeldStore()
    manager = await build(store=store)
    for _ in range(5):
        await over(manager, await manager.submit(spec(script("exit 0"))))
    retention = engine_of(manager, tmp_path).retention
    store.is_holding = True
    cleaning = asyncio.gather(*(retention.clean(max_age=0) for _ in range(2)))
    await settled()
    store.let_go()
    assert sum(await cleaning) == 5
    assert manager.ledger.counts.total() == 0


async def test_output_goes_before_the_record_so_that_no_crash_leaves_it_without_a_job(
    build: Build, tmp_path: Path
) -> None:
    store = HeldStore()
    manager = await build(store=store)
    job = await over(manager, await manager.submit(spec(script("echo out"))))
    store.is_holding = True
    cleaning = asyncio.ensure_future(engine_of(manager, tmp_path).retention.clean(max_age=0))
    await settled()
    assert host_of(manager).discarded == [f"{job.id}.1"]
    store.let_go()
    assert await cleaning == 1


async def test_a_run_that_ends_while_the_host_opens_keeps_no_slot(build: Build) -> None:
    """Its shim dials in before the jobs have been taken up."""

    class EagerHost(MemoryHost):
        async def open(self, observer: RunObserver) -> None:
            await super().open(observer)
            observer.run_exited(f"{job.id}.1", exit_of(7))
            await settled()

    store = MemoryStore()
    before = await build(store=store)
    job = await before.submit(spec(script("sleep")))
    await until(lambda: host_of(before).begun)
    after = await build(store=store, host=EagerHost(), max_concurrent_jobs=1)
    assert (await over(after, job)).exit == exit_of(7)
    assert after.dispatcher.queue.live == 0
    assert (await over(after, await after.submit(spec(script("exit 0"))))).exit
