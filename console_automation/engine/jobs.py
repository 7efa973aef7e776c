"""The JobManager: accepts jobs, runs them within the caps, and knows what became of them.

It decides which events happen to which job; the ledger is where they are applied and committed, the
dispatcher says when a run may begin, the host carries it out.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from console_automation.config import Settings
from console_automation.core import lifecycle
from console_automation.core.job import Job, JobSpec, Phase, Status
from console_automation.core.lifecycle import (
    CancelRequested,
    DependencyFailed,
    Due,
    Effect,
    Event,
    NotStarted,
    Picked,
    Submitted,
    Unblocked,
)
from console_automation.core.text import human_seconds
from console_automation.engine.admission import Admission
from console_automation.engine.commands import project_of
from console_automation.engine.dependencies import Dependencies
from console_automation.engine.dispatcher import Dispatcher, Standing
from console_automation.engine.feed import Change
from console_automation.engine.ledger import Ledger
from console_automation.engine.names import Names
from console_automation.engine.observer import Observer, RunOwners
from console_automation.engine.reports import Reports
from console_automation.engine.waiters import Waiters
from console_automation.errors import (
    BadRequest,
    Conflict,
    JobNotFound,
    LimitReached,
    Unavailable,
)
from console_automation.ports.machine import Clock
from console_automation.ports.runs import RunHost
from console_automation.ports.stores import Store

log = logging.getLogger(__name__)

STOPPING_SECONDS = 10.0  #: for jobs that are killed to be gone


class JobManager:
    """The engine's public face for jobs."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        host: RunHost,
        clock: Clock,
        admission: Admission,
        new_id: Callable[[], str],
    ) -> None:
        self.settings = settings
        self.host = host
        self.clock = clock
        self.admission = admission
        self.ledger = Ledger(store, self._carry_out)
        self.dispatcher = Dispatcher(settings, admission, self._begin)
        self.changes = Waiters()  #: for any step in a job's life
        self.reports = Reports(
            ledger=self.ledger,
            host=host,
            clock=clock,
            changes=self.changes,
            result_limit=settings.result_limit_bytes,
        )
        self.observer = Observer(
            self.ledger,
            self.dispatcher,
            clock,
            lambda run_id: host.confirm(run_id, discard=False),
            self.reports,
        )
        self.owners = RunOwners(self.observer)
        self._new_id = new_id
        self._ends = Waiters()
        self._dependencies = Dependencies()
        self._names = Names()
        self._keys: dict[str, asyncio.Task[Job]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._effects: dict[type[Effect], Callable[[Job, Any], None]] = {
            lifecycle.Enqueue: lambda job, effect: self._enqueue(job),
            lifecycle.Dequeue: lambda job, effect: self.dispatcher.forget(job.id),
            lifecycle.WakeAt: self._wake_at,
            lifecycle.StartRun: self._start_run,
            lifecycle.StopRun: self._stop_run,
            lifecycle.FreeSlot: lambda job, effect: self.dispatcher.release(job.id),
            lifecycle.Settle: lambda job, effect: self._settle(job),
        }

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up every job that is not over, then run what may run."""
        jobs = await self.ledger.open()
        for job in jobs:
            self._names.take(job)
            if job.is_live:
                await self.reports.resume(job)
        await self.host.open(self.owners)
        for job in jobs:
            current = self.ledger.active(job.id)  # runs may have ended while the host opened
            if current:
                self._take_up(current)
        for job in jobs:
            if job.phase is Phase.BLOCKED:
                await self._look_at_needs(job)
        self.dispatcher.open()

    def _take_up(self, job: Job) -> None:
        if job.phase is Phase.READY:
            self.dispatcher.push(job)
        elif job.phase is Phase.DELAYED:
            self._wake_at(job, lifecycle.WakeAt(at=job.not_before or 0.0))
        elif job.is_live and job.run_id is not None:
            self.dispatcher.occupy(job)
            self.host.adopt(job.run_id)
            if job.phase is Phase.STOPPING:
                self.host.stop(job.run_id, signal=15, grace=job.spec.command.grace)

    async def drain(self, timeout: float) -> None:
        """Accept and start nothing more, and return when nothing runs or the time is up."""
        self.dispatcher.close()
        loop = asyncio.get_running_loop()
        limit = loop.time() + timeout
        while (live := self.dispatcher.holders) and (left := limit - loop.time()) > 0:
            await self.changes.wait(live, enough=1, timeout=left)

    async def stop_all(self, *, grace: float) -> None:
        """Cancel every live run and return when they are over; pending jobs stay pending."""
        self.dispatcher.close()
        for job_id in self.dispatcher.holders:
            await self.cancel(job_id, signal=15, grace=grace, by="shutdown")
        await self.drain(timeout=grace + STOPPING_SECONDS)

    async def close(self) -> None:
        """Let go: pending jobs stay pending, live runs go on under their shims."""
        self.dispatcher.close()
        for timer in self._timers.values():
            timer.cancel()
        self.reports.close()
        await self.host.close()
        await self.ledger.settle()

    # -- what clients ask --------------------------------------------------------------------

    async def submit(self, spec: JobSpec) -> Job:
        """Accept a job. When this returns the job is on the disk and will be seen through.

        Raises BadRequest for unknown dependencies, Conflict when the idempotency key belongs to
        another request, LimitReached when too many jobs wait, Unavailable when it cannot be stored.
        """
        key = spec.idempotency_key
        if key is None:
            return await self._accept(spec)
        if key not in self._keys:
            # A task of its own: it goes on for the others when the first submitter gives up.
            self._keys[key] = asyncio.create_task(self._accept_once(key, spec))
        job = await asyncio.shield(self._keys[key])
        if not spec.repeats(job.spec):
            raise Conflict(
                f"idempotencyKey {key!r} was used for another request, job {job.id}. Use a new key"
                " for a new command, or repeat the request unchanged.",
                jobId=job.id,
            )
        return await self.ledger.get(job.id)

    async def _accept_once(self, key: str, spec: JobSpec) -> Job:
        try:
            return await self.ledger.store.find_by_key(key) or await self._accept(spec)
        finally:
            del self._keys[key]

    async def _accept(self, spec: JobSpec) -> Job:
        if not self.dispatcher.is_open:
            raise Unavailable("The service is shutting down; try again in a moment.")
        if self.ledger.counts[Status.PENDING] >= self.settings.max_pending_jobs:
            raise LimitReached(
                f"{self.settings.max_pending_jobs} jobs are waiting, which is the limit. Cancel"
                " some, or wait until they have run."
            )
        needs = await self._needs(spec.depends_on)
        open_needs = [need.id for need in needs if not need.is_terminal]
        failed = next((n for n in needs if n.is_terminal and not lifecycle.is_met(spec, n)), None)
        self._refuse_taken_name(spec)
        at = self.clock.now()
        submitted = Submitted(at=at, blocked=bool(open_needs) or failed is not None)
        job = self.ledger.submit(self._new_id(), spec, submitted)
        self._names.take(job)
        events: list[Event] = []
        if failed:
            events.append(DependencyFailed(at=at, job_id=failed.id))
        elif open_needs:
            self._dependencies.add(job.id, open_needs)
        elif self.dispatcher.try_at_once(job):
            events.append(self._picked(job))
        await asyncio.shield(self.ledger.apply(job.id, *events, submitted=submitted))
        return await self.ledger.get(job.id)

    def _refuse_taken_name(self, spec: JobSpec) -> None:
        holder = self._names.holder(spec.project, spec.name)
        if holder is not None:
            raise Conflict(
                f"The name {spec.name!r} is that of {holder}, which is not over. Take another name, wait"
                " for its end, or cancel it.",
                jobId=holder,
            )

    async def _needs(self, job_ids: Sequence[str]) -> list[Job]:
        try:
            return await self.ledger.get_all(job_ids)
        except JobNotFound as error:
            raise BadRequest(
                f"options.dependsOn: {error.message}", field="options.dependsOn"
            ) from None

    async def cancel(self, job_id: str, *, signal: int, grace: float, by: str) -> bool:
        """Ask for a job's end; False when it was over already. Raises JobNotFound."""
        job = await self.ledger.get(job_id)
        if job.is_terminal:
            return False
        asked = CancelRequested(at=self.clock.now(), signal=signal, grace=grace, by=by)
        try:
            await asyncio.shield(self.ledger.apply(job_id, asked))
        except Unavailable as error:
            # The store cannot note it now, but the run is being stopped all the same.
            log.warning("cancelling %s without a record: %s", job_id, error)
        return True

    async def retry(self, job_id: str, *, client: str) -> Job:
        """Submit a finished job's command again as a new job. Raises JobNotFound, Conflict."""
        job = await self.ledger.get(job_id)
        if not job.is_terminal:
            raise Conflict(
                f"Job {job_id} is {job.status}; only a finished job can be retried. Cancel it first,"
                " or wait for its end.",
                jobId=job_id,
                status=job.status,
            )
        again = replace(
            job.spec,
            created_at=self.clock.now(),
            client=client,
            project=job.spec.project or project_of(job.spec.command.cwd),
            retry_of=job_id,
            idempotency_key=None,
            depends_on=(),
        )
        return await self.submit(again)

    async def wait(
        self, job_ids: Sequence[str], *, timeout: float, enough: int | None = None
    ) -> list[Job]:
        """Return the jobs when `enough` of them (all by default) are over, or the time is up.

        Raises JobNotFound.
        """
        jobs = await self.ledger.get_all(job_ids)
        open_jobs = [job.id for job in jobs if not job.is_terminal]
        missing = (len(jobs) if enough is None else enough) - (len(jobs) - len(open_jobs))
        if missing > 0 and timeout > 0:
            await self._ends.wait(open_jobs, enough=missing, timeout=timeout)
        return [await self.ledger.get(job.id) for job in jobs]

    def standing(self, job: Job) -> Standing | None:
        """Return why a pending job is not running yet, None for any other."""
        if job.phase is Phase.BLOCKED:
            return Standing(None, f"waits for {', '.join(self._dependencies.lacking(job.id))}")
        if job.phase is Phase.DELAYED:
            pause = human_seconds(max(0.0, (job.not_before or 0.0) - self.clock.now()))
            return Standing(None, f"attempt {job.attempt} ended, the next one begins in {pause}")
        return self.dispatcher.standing(job) if job.phase is Phase.READY else None

    async def delete(self, jobs: Sequence[Job]) -> None:
        """Forget jobs that are over, with their output.

        The output goes first: what a crash leaves over is then still on record, and goes next time.
        It also makes the room that a full disk needs for the rest.
        """
        for job in jobs:
            for number in range(1, job.dispatches + 1):
                self.host.discard(f"{job.id}.{number}")
        await self.ledger.delete(jobs)

    # -- effects -----------------------------------------------------------------------------

    def _carry_out(
        self, change: Change, effects: Sequence[Effect], error: BaseException | None
    ) -> None:
        """The ledger has committed a change, or failed to."""
        job = change.after
        if error is None or not self._was_only_asked(change):
            for effect in effects:
                self._effects[type(effect)](job, effect)
        self.changes.tell(job.id)
        if error is None and job.exit is not None and job.run_id is not None and not job.is_live:
            left_nothing = job.exit.output.bytes == 0 and job.spec.contract is None
            self.host.confirm(job.run_id, discard=left_nothing)
        self.dispatcher.pump()

    def _was_only_asked(self, change: Change) -> bool:
        """Take back what cannot be done without a record; False for what has happened."""
        job = change.after
        if change.before is None:
            self.dispatcher.forget(job.id)
            self._dependencies.drop(job.id)
            self._names.free(job)
            return True
        if isinstance(change.events[-1], Picked) and job.run_id is not None:
            self.dispatcher.hold_back("the last start could not be recorded")
            self.ledger.apply_fact(job.id, NotStarted(at=self.clock.now(), run_id=job.run_id))
            return True
        return False

    def _enqueue(self, job: Job) -> None:
        if self.ledger.active(job.id) is job:
            self.dispatcher.push(job)

    def _wake_at(self, job: Job, effect: lifecycle.WakeAt) -> None:
        delay = max(0.0, effect.at - self.clock.now())
        loop = asyncio.get_running_loop()
        self._timers[job.id] = loop.call_later(delay, self._wake, job.id)

    def _wake(self, job_id: str) -> None:
        self._timers.pop(job_id, None)
        job = self.ledger.active(job_id)
        if job and job.phase is Phase.DELAYED:
            self.ledger.apply_fact(job_id, Due(at=self.clock.now()))

    def _begin(self, job_id: str) -> None:
        job = self.ledger.active(job_id)
        assert job is not None
        self.ledger.apply_fact(job_id, self._picked(job))

    def _picked(self, job: Job) -> Picked:
        run_id = f"{job.id}.{job.dispatches + 1}"
        return Picked(at=self.clock.now(), run_id=run_id, boot_id=self.clock.boot_id)

    def _start_run(self, job: Job, effect: lifecycle.StartRun) -> None:
        if effect.previous_run_id:
            self.host.discard(effect.previous_run_id)
        self.reports.follow(job)
        self.host.start(effect.run_id, job.command, before=job.output)

    def _stop_run(self, job: Job, effect: lifecycle.StopRun) -> None:
        self.host.stop(effect.run_id, signal=effect.signal, grace=effect.grace)

    def _settle(self, job: Job) -> None:
        self._dependencies.drop(job.id)
        self._names.free(job)
        timer = self._timers.pop(job.id, None)
        if timer:
            timer.cancel()
        self._ends.tell(job.id)
        for dependent in self._dependencies.dependents(job.id):
            self._tell_dependent(dependent, job)

    def _tell_dependent(self, dependent: str, need: Job) -> None:
        job = self.ledger.active(dependent)
        if job is not None and lifecycle.is_met(job.spec, need):
            self._met(dependent, need.id)
        else:
            failed = DependencyFailed(at=self.clock.now(), job_id=need.id)
            self.ledger.apply_fact(dependent, failed)

    def _met(self, dependent: str, need_id: str) -> None:
        if self._dependencies.met(dependent, need_id):
            self.ledger.apply_fact(dependent, Unblocked(at=self.clock.now()))

    async def _look_at_needs(self, job: Job) -> None:
        """After a restart: find out which needs of a blocked job are still open."""
        self._dependencies.add(job.id, job.spec.depends_on)
        for need_id in dict.fromkeys(job.spec.depends_on):
            try:
                need = await self.ledger.get(need_id)
            except JobNotFound:
                need = None
            current = self.ledger.active(job.id)
            if current is None or current.phase is not Phase.BLOCKED:
                return
            if need is None:
                # Only what is over is ever forgotten, and had it not been met then this job would
                # have failed too, by a write before that.
                self._met(job.id, need_id)
            elif need.is_terminal:
                self._tell_dependent(job.id, need)
