"""The ledger: every job's state, in memory and on the disk, and the one way to change it.

`apply` advances a job by events, gives the new state to the store and, when that is committed, hands
the effects over. A commit that fails takes back what was merely asked for (a submission); what has
happened (a start, an end) stays true in memory and is saved again later.

Memory holds the jobs that are not over, and the last thousand that are. A terminal status is not
shown while its commit is under way, so that no crash takes it back. Should the commit fail it is shown
all the same, because it has happened: after a crash the run's exit record says it again. Only the
cancellation of a job that never ran has no such record.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from console_automation.core import lifecycle
from console_automation.core.job import Job, JobSpec, Status
from console_automation.core.lifecycle import Effect, Event, Started, Submitted
from console_automation.core.messages import messages_of
from console_automation.engine.feed import Change, Feed
from console_automation.errors import JobNotFound
from console_automation.ports.stores import Entry, JobFilter, Store

log = logging.getLogger(__name__)

_RECENT = 1000
_RETRY_SECONDS = 1.0

CarryOut = Callable[[Change, Sequence[Effect], BaseException | None], None]


class Ledger:
    """Keeps the jobs. `carry_out` hears of every change once its commit has succeeded or failed."""

    def __init__(self, store: Store, carry_out: CarryOut) -> None:
        self.store = store
        self.feed: Feed[Change] = Feed()
        self.counts: Counter[Status] = Counter()
        self.posted: Callable[[], None] = lambda: None  #: called when messages are in the outbox
        self._carry_out = carry_out
        self._jobs: dict[str, Job] = {}
        self._recent: OrderedDict[str, Job] = OrderedDict()
        self._saving: dict[str, asyncio.Future[None]] = {}
        self._unsaved: dict[str, list[Entry]] = {}  #: what a failed commit left out of the journal
        self._loop: asyncio.AbstractEventLoop

    async def open(self) -> list[Job]:
        """Load and return every job that is not over."""
        self._loop = asyncio.get_running_loop()
        self.counts.update(await self.store.counts())
        jobs = await self.store.unfinished()
        self._jobs = {job.id: job for job in jobs}
        return jobs

    async def settle(self) -> None:
        """Return when no commit is under way."""
        while self._saving:
            await asyncio.wait(list(self._saving.values()))

    # -- reading -----------------------------------------------------------------------------

    def active(self, job_id: str) -> Job | None:
        """Return a job that is not over (or whose end is not saved yet)."""
        return self._jobs.get(job_id)

    def is_saving(self, job_id: str) -> bool:
        """Whether a commit of this job is under way."""
        return job_id in self._saving

    async def get(self, job_id: str) -> Job:
        """Return a job. Raises JobNotFound."""
        job = self._jobs.get(job_id)
        if job is not None and job.is_terminal and job_id in self._saving:
            await asyncio.wait([self._saving[job_id]])
        job = self._jobs.get(job_id) or self._recent.get(job_id) or await self.store.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def get_all(self, job_ids: Iterable[str]) -> list[Job]:
        """Return jobs as they are at this moment: one that is open will tell of its end.

        Raises JobNotFound.
        """
        while True:
            jobs = [await self.get(job_id) for job_id in dict.fromkeys(job_ids)]
            if all(job.is_terminal or self._is_open(job.id) for job in jobs):
                return jobs

    def _is_open(self, job_id: str) -> bool:
        job = self._jobs.get(job_id)
        return job is not None and not job.is_terminal

    async def page(
        self, wanted: JobFilter, *, before: str | None, limit: int
    ) -> tuple[list[Job], int]:
        """Return jobs newest first, older than the job `before`, and how many match in all."""
        jobs, total = await self.store.page(wanted, before=before, limit=limit)
        return self.fresh(jobs), total

    def fresh(self, stored: Iterable[Job]) -> list[Job]:
        """Return jobs that were read from the store, as they stand now."""
        return [self._freshest(job) for job in stored]

    def _freshest(self, stored: Job) -> Job:
        """Return the job as memory has it, unless that is news the store does not have yet."""
        job = self._jobs.get(stored.id)
        return stored if job is None or job.status is not stored.status else job

    # -- changing ----------------------------------------------------------------------------

    def submit(self, job_id: str, spec: JobSpec, event: Submitted) -> Job:
        """Put a new job into memory; the first `apply` commits it."""
        job, _ = lifecycle.submit(job_id, spec, event)
        self._jobs[job_id] = job
        return job

    def apply(
        self,
        job_id: str,
        *events: Event,
        submitted: Submitted | None = None,
        notes: Sequence[Entry] = (),
    ) -> "asyncio.Future[None]":
        """Advance a job, commit it, and have the effects carried out when that is done.

        With `submitted` the job is new. `notes` come into the journal before the events. The future
        fails when the commit does.
        """
        before = self._jobs[job_id]
        job, effects = before, list[Effect]()
        for event in events:
            job, more = lifecycle.advance(job, event)
            effects += more
        if job is before and not submitted:
            settled = self._loop.create_future()
            settled.set_result(None)
            return settled
        self._jobs[job_id] = job
        told = (submitted, *events) if submitted else events
        entries = [*notes, *(_entry(job_id, event) for event in told)]
        if submitted:
            saved = self.store.insert(job, entries, messages_of(job))
        else:
            entries = self._unsaved.pop(job_id, []) + entries
            urgent = not all(isinstance(event, Started) for event in events)
            saved = self.store.update(job, entries, messages_of(job), urgent=urgent)
        change = Change(None if submitted else before, job, told)
        self._follow(saved, lambda error: self._committed(change, entries, effects, error), job_id)
        return saved

    def apply_fact(self, job_id: str, event: Event, notes: Sequence[Entry] = ()) -> None:
        """Apply an event that nobody waits for; a failed commit is logged and repeated."""
        self.apply(job_id, event, notes=notes).add_done_callback(lambda saved: saved.exception())

    def note(self, entries: Sequence[Entry]) -> None:
        """Append to the journal what changes no job; if that fails it is gone."""
        self.store.append(entries).add_done_callback(_log_failure)

    def _follow(
        self,
        saved: "asyncio.Future[None]",
        then: Callable[[BaseException | None], None],
        job_id: str,
    ) -> None:
        self._saving[job_id] = saved

        def done(saved: "asyncio.Future[None]") -> None:
            if self._saving.get(job_id) is saved:
                del self._saving[job_id]
            then(saved.exception())

        saved.add_done_callback(done)

    def _committed(
        self,
        change: Change,
        entries: list[Entry],
        effects: Sequence[Effect],
        error: BaseException | None,
    ) -> None:
        job = change.after
        if job.id not in self._jobs:
            return  # it got a slot while it was being accepted, and then was not
        if error is None:
            self._count(change)
            self._retire_if_over(job)
        elif change.before is None:
            log.error("job %s was not accepted: %s", job.id, error)
            del self._jobs[job.id]
        else:
            log.error("job %s could not be saved, will try again: %s", job.id, error)
            self._count(change)
            self._save_later(job.id, entries)
        self._carry_out(change, effects, error)
        if error is None or change.before is not None:
            self.feed.publish(change, about=change.after.id)

    def _save_later(self, job_id: str, entries: list[Entry]) -> None:
        self._unsaved.setdefault(job_id, []).extend(entries)
        self._loop.call_later(_RETRY_SECONDS, self._save_again, job_id)

    def _save_again(self, job_id: str) -> None:
        job = self._jobs.get(job_id) or self._recent.get(job_id)
        entries = self._unsaved.pop(job_id, None)
        if job is not None and entries is not None:
            saved = self.store.update(job, entries, messages_of(job))
            self._follow(saved, lambda error: self._saved_again(job, entries, error), job_id)

    def _saved_again(self, job: Job, entries: list[Entry], error: BaseException | None) -> None:
        if error is None:
            self._retire_if_over(job)
            self._carry_out(Change(job, job, ()), (), None)
        else:
            self._save_later(job.id, entries)

    def _count(self, change: Change) -> None:
        if change.before is not None:
            self.counts[change.before.status] -= 1
        self.counts[change.after.status] += 1

    def _retire_if_over(self, job: Job) -> None:
        """Move a job that is over, and saved, out of the working set."""
        if job.is_terminal and job.id in self._jobs:
            del self._jobs[job.id]
            self._recent[job.id] = replace(job, result=None)
            if len(self._recent) > _RECENT:
                self._recent.popitem(last=False)
            if job.spec.notify:
                self.posted()

    async def delete(self, jobs: Sequence[Job]) -> None:
        """Forget jobs that are over."""
        await self.store.delete([job.id for job in jobs])
        for job in jobs:
            self._recent.pop(job.id, None)
            self.counts[job.status] -= 1


def _log_failure(saved: "asyncio.Future[None]") -> None:
    if not saved.cancelled() and saved.exception() is not None:
        log.error("what a job told could not be put on record: %s", saved.exception())


def _entry(job_id: str, event: Event) -> Entry:
    data: dict[str, Any] = {}
    match event:
        case lifecycle.CancelRequested():
            data = {"signal": event.signal, "grace": event.grace, "by": event.by}
        case lifecycle.Picked():
            data = {"run": event.run_id}
        case lifecycle.Started():
            data = {"run": event.run_id, "pid": event.pid}
        case lifecycle.Exited():
            end = event.exit
            data = {"run": event.run_id, "cause": end.cause, "code": end.code, "signal": end.signal}
        case lifecycle.Lost():
            data = {"run": event.run_id, "reason": event.reason}
        case lifecycle.DependencyFailed():
            data = {"dependency": event.job_id}
    return Entry(job_id=job_id, at=event.at, event=type(event).__name__, data=data)
