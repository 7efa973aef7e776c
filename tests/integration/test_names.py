"""A name belongs to one active job of a project: it is taken once, and free when that job is over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from console_automation.adapters.memory import MemoryStore, failing
from console_automation.adapters.memory_host import MemoryHost
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import Job, JobSpec, Phase, Status
from console_automation.core.retry import RetryPolicy
from console_automation.engine.jobs import JobManager
from console_automation.errors import Conflict, StoreFull
from console_automation.ports.runs import RunObserver
from console_automation.ports.stores import Store
from tests.builders import exit_of, job, script, spec
from tests.conftest import Build
from tests.waiting import PATIENCE, until

CROWD = 50
IN_AN_HOUR = RetryPolicy(max_attempts=2, backoff=3600, max_backoff=3600)
AT_ONCE = RetryPolicy(max_attempts=3, backoff=0.001)


class Kept:
    """What is stored, and how the next daemon finds it."""

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self.store: Store = MemoryStore()

    async def reopened(self) -> Store:
        """Close the store and return it as the next daemon opens it."""
        await self.store.close()
        if self._home is not None:
            self.store = SqliteStore(self._home)
        await self.store.open()
        return self.store


@pytest.fixture(params=["sqlite", "memory"])
async def kept(request: pytest.FixtureRequest, home: Path) -> AsyncIterator[Kept]:
    what = Kept(home if request.param == "sqlite" else None)
    await what.reopened()
    yield what
    await what.store.close()


def named(text: str = "sleep", name: str | None = "n", **fields: Any) -> JobSpec:
    return spec(script(text), **{"name": name, "project": "/p", **fields})


def host_of(manager: JobManager) -> MemoryHost:
    assert isinstance(manager.host, MemoryHost)
    return manager.host


async def over(manager: JobManager, job_id: str) -> Job:
    [ended] = await manager.wait([job_id], timeout=PATIENCE)
    assert ended.is_terminal, ended
    return ended


async def stopped(manager: JobManager, job_id: str) -> None:
    await manager.cancel(job_id, signal=15, grace=1, by="test")
    await over(manager, job_id)


async def begun(manager: JobManager, job_id: str) -> None:
    await until(lambda: f"{job_id}.1" in host_of(manager).begun)


async def is_taken(manager: JobManager, holder: Job) -> None:
    """The name is refused to everybody, with a word on who has it."""
    with pytest.raises(Conflict) as refusal:
        await manager.submit(named())
    assert refusal.value.details["jobId"] == holder.id
    assert holder.id in refusal.value.message and repr(holder.spec.name) in refusal.value.message


async def is_free(manager: JobManager) -> None:
    again = await manager.submit(named())
    await is_taken(manager, again)
    await stopped(manager, again.id)


async def test_of_fifty_who_want_a_name_at_once_one_gets_it(build: Build, kept: Kept) -> None:
    manager = await build(store=kept.store)
    answers = await asyncio.gather(
        *(manager.submit(named()) for _ in range(CROWD)), return_exceptions=True
    )
    [winner] = [each for each in answers if isinstance(each, Job)]
    losers = [each for each in answers if isinstance(each, Conflict)]
    assert [each.details["jobId"] for each in losers] == [winner.id] * (CROWD - 1)
    assert manager.ledger.counts.total() == 1
    assert [each.id for each in await kept.store.unfinished()] == [winner.id]


async def of_itself(manager: JobManager, text: str, **fields: Any) -> Job:
    return await over(manager, (await manager.submit(named(text, **fields))).id)


async def cancelled_while_it_waits(manager: JobManager) -> Job:
    running = await manager.submit(named(name=None))
    waiting = await manager.submit(named())
    await is_taken(manager, waiting)
    await stopped(manager, waiting.id)
    await stopped(manager, running.id)
    return await manager.ledger.get(waiting.id)


async def cancelled_while_it_runs(manager: JobManager) -> Job:
    running = await manager.submit(named())
    await begun(manager, running.id)
    await is_taken(manager, running)
    await stopped(manager, running.id)
    return await manager.ledger.get(running.id)


async def cancelled_between_attempts(manager: JobManager) -> Job:
    delayed = await manager.submit(named("exit 1", retry=IN_AN_HOUR))
    await until(lambda: is_delayed(manager, delayed))
    await is_taken(manager, delayed)
    await stopped(manager, delayed.id)
    return await manager.ledger.get(delayed.id)


async def failed_with_its_need(manager: JobManager) -> Job:
    need = await manager.submit(named(name=None))
    blocked = await manager.submit(named(depends_on=(need.id,)))
    await is_taken(manager, blocked)
    await stopped(manager, need.id)
    return await over(manager, blocked.id)


async def failed_at_birth(manager: JobManager) -> Job:
    need = await over(manager, (await manager.submit(named("exit 1", name=None))).id)
    return await over(manager, (await manager.submit(named(depends_on=(need.id,)))).id)


async def interrupted(manager: JobManager) -> Job:
    running = await manager.submit(named())
    await begun(manager, running.id)
    host_of(manager).lose(f"{running.id}.1")
    return await over(manager, running.id)


ENDS: dict[str, tuple[Callable[[JobManager], Awaitable[Job]], Status]] = {
    "completed": (lambda manager: of_itself(manager, "exit 0"), Status.COMPLETED),
    "failed": (lambda manager: of_itself(manager, "exit 1"), Status.FAILED),
    "cancelled while it waits": (cancelled_while_it_waits, Status.CANCELLED),
    "cancelled while it runs": (cancelled_while_it_runs, Status.CANCELLED),
    "cancelled between attempts": (cancelled_between_attempts, Status.CANCELLED),
    "failed with its need": (failed_with_its_need, Status.FAILED),
    "failed at birth": (failed_at_birth, Status.FAILED),
    "interrupted": (interrupted, Status.INTERRUPTED),
    "out of attempts": (
        lambda manager: of_itself(manager, "exit 1", retry=AT_ONCE),
        Status.FAILED,
    ),
}


@pytest.mark.parametrize("end", ENDS)
async def test_a_name_is_free_when_its_job_is_over(build: Build, kept: Kept, end: str) -> None:
    manager = await build(store=kept.store, max_concurrent_jobs=1)
    bring_about, status = ENDS[end]
    ended = await bring_about(manager)
    assert (ended.spec.name, ended.status) == ("n", status)
    await is_free(manager)


def is_delayed(manager: JobManager, of: Job) -> bool:
    current = manager.ledger.active(of.id)
    return current is not None and current.phase is Phase.DELAYED


async def test_a_name_stays_taken_over_all_attempts_and_restarts(build: Build, kept: Kept) -> None:
    manager = await build(store=kept.store)
    delayed = await manager.submit(named("exit 1", retry=IN_AN_HOUR))
    await until(lambda: is_delayed(manager, delayed))
    await is_taken(manager, delayed)
    await manager.close()
    manager = await build(store=await kept.reopened())
    await is_taken(manager, delayed)
    await stopped(manager, delayed.id)
    await is_free(manager)


@pytest.mark.parametrize("how", ["runs", "waits for a slot", "waits for a job"])
async def test_a_restart_frees_no_name_of_an_active_job(build: Build, kept: Kept, how: str) -> None:
    host = MemoryHost()
    manager = await build(store=kept.store, host=host, max_concurrent_jobs=1)
    other = None if how == "runs" else await manager.submit(named(name=None))
    needs = (other.id,) if other and how == "waits for a job" else ()
    holder = await manager.submit(named(depends_on=needs))
    await manager.close()
    manager = await build(store=await kept.reopened(), host=host, max_concurrent_jobs=1)
    await is_taken(manager, holder)
    await stopped(manager, holder.id)
    if other:
        await stopped(manager, other.id)
    await is_free(manager)


async def test_a_name_that_several_have_is_free_when_the_last_is_over(
    build: Build, kept: Kept
) -> None:
    """An older version did not mind, and a disk that was full may have lost an end."""
    twins = [job(f"job-{number}", spec=named()) for number in "abc"]
    for each in twins:
        await kept.store.insert(each, [])
    manager = await build(store=await kept.reopened())
    for holder, ended in ((twins[2], twins[1]), (twins[2], twins[2]), (twins[0], twins[0])):
        await is_taken(manager, holder)
        await stopped(manager, ended.id)
    await is_free(manager)


async def test_a_job_that_ends_while_the_host_opens_leaves_its_name(
    build: Build, kept: Kept
) -> None:
    async def stored() -> Job | None:
        found = await kept.store.get(running.id)
        return found if found and found.is_terminal else None

    class EagerHost(MemoryHost):
        async def open(self, observer: RunObserver) -> None:
            await super().open(observer)
            observer.run_exited(f"{running.id}.1", exit_of(7))
            assert await until(stored)

    manager = await build(store=kept.store)
    running = await manager.submit(named())
    await begun(manager, running.id)
    await manager.close()
    manager = await build(store=await kept.reopened(), host=EagerHost())
    assert (await over(manager, running.id)).exit == exit_of(7)
    await is_free(manager)


async def test_a_job_that_could_not_be_stored_leaves_its_name(
    build: Build, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = await build(store=kept.store)
    with monkeypatch.context() as full:
        full.setattr(kept.store, "insert", lambda *given: failing(StoreFull()))
        with pytest.raises(StoreFull):
            await manager.submit(named())
    await is_free(manager)


@pytest.mark.parametrize("steps", range(6))
async def test_a_submitter_who_leaves_takes_the_name_with_the_job_or_not_at_all(
    build: Build, kept: Kept, steps: int
) -> None:
    """Whenever a client hangs up, a name is taken exactly as long as there is an active job."""
    manager = await build(store=kept.store)
    submitting = asyncio.ensure_future(manager.submit(named()))
    for _ in range(steps):
        await asyncio.sleep(0)
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)
    await manager.ledger.settle()
    accepted = await kept.store.unfinished()
    if accepted:
        await is_taken(manager, accepted[0])
        await stopped(manager, accepted[0].id)
    await is_free(manager)


async def test_a_key_returns_its_job_though_that_has_the_name(build: Build, kept: Kept) -> None:
    manager = await build(store=kept.store)
    keyed = named(idempotency_key="k", fingerprint="f")
    same = await asyncio.gather(*(manager.submit(keyed) for _ in range(9)))
    assert {each.id for each in same} == {same[0].id}
    other = named(idempotency_key="l", fingerprint="f")
    with pytest.raises(Conflict, match=same[0].id):
        await manager.submit(other)
    await stopped(manager, same[0].id)
    assert (await manager.submit(other)).id != same[0].id
    assert (await manager.submit(keyed)).status is Status.CANCELLED  # the key's, not the name's


async def test_a_retry_needs_the_name_as_every_job_does(build: Build, kept: Kept) -> None:
    manager = await build(store=kept.store)
    first = await of_itself(manager, "exit 1")
    holder = await manager.submit(named())
    with pytest.raises(Conflict, match=f"'n' is that of {holder.id}"):
        await manager.retry(first.id, client="test")
    await stopped(manager, holder.id)
    answers = await asyncio.gather(
        *(manager.retry(holder.id, client="test") for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in answers) == ["Conflict", "Job"]


async def test_a_retry_of_a_job_without_a_project_gets_that_of_its_directory(
    build: Build, kept: Kept, home: Path
) -> None:
    (home / ".git").touch()
    where = script("sleep", cwd=str(home))
    await kept.store.insert(
        job("job-old", Phase.FAILED, spec=spec(where, name="n"), completed_at=2.0), []
    )
    manager = await build(store=kept.store)
    again = await manager.retry("job-old", client="test")
    assert again.spec.project == str(home.resolve())


async def test_names_are_of_a_project_and_stand_for_themselves(build: Build, kept: Kept) -> None:
    manager = await build(store=kept.store)
    for project in ("/p", "/q", ""):
        for name in ("n", "N", " n", "%", "ñ", None, None):
            await manager.submit(named(name=name, project=project))
    for project in ("/p", "/q", ""):
        with pytest.raises(Conflict):
            await manager.submit(named(project=project))
    assert manager.ledger.counts.total() == 21
