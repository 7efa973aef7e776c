"""Taking jobs of the cluster into the engine of this machine, and seeing them through.

Each epoch that a worker holds is one ordinary job under a key of its own, so neither a crash nor a word
that comes twice makes a second one. Its end is in this machine's store first, then in the cluster's
record; while that cannot be written it is tried again, and what is not there yet after a restart is found
by looking.
"""

import asyncio
import logging
import os
import re
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any

from console_automation.core.cluster_job import (
    ClusterJob,
    ClusterPhase,
    Copy,
    Holder,
    due_in,
    is_unfinished,
)
from console_automation.core.cluster_lifecycle import Claimed, Copied, Ended, Refused
from console_automation.core.cluster_names import ANY_QUEUE, CLUSTER_KEYS, key_of, queue_of
from console_automation.core.job import Job
from console_automation.engine.cluster import Cluster, Workload
from console_automation.engine.cluster_book import Known
from console_automation.engine.commands import inherited
from console_automation.engine.engine import Engine
from console_automation.engine.feed import Change
from console_automation.engine.retention import FINISHED
from console_automation.engine.waiters import end_all
from console_automation.errors import (
    ConsoleAutomationError,
    InvalidTransition,
    JobNotFound,
    LimitReached,
    Unavailable,
)
from console_automation.frontends.worker.answers import Answers, on_behalf
from console_automation.frontends.worker.presence import Presence
from console_automation.frontends.worker.telling import copy_of, has_news, outcome_of
from console_automation.operations.cluster_taking import TAKING
from console_automation.operations.submission import Call
from console_automation.operations.table import OPERATIONS, invoke
from console_automation.ports.cluster import Hint
from console_automation.ports.stores import Keys

log = logging.getLogger(__name__)

_FETCH_SECONDS = 5.0
_AGAIN_SECONDS = 0.5
_BUSY_SECONDS = 0.2
_FORGOTTEN_AT_ONCE = 200
_KEY = re.compile(re.escape(CLUSTER_KEYS) + r"(.+):([0-9]{1,9})")  #: as key_of makes them
_TAKING = {"console_execute_async": OPERATIONS["console_execute_async"], **TAKING}


class WorkerService:
    """Takes jobs of the cluster. `me.instance` is that of the state directory."""

    def __init__(
        self, engine: Engine, cluster: Cluster, *, me: Holder, labels: Mapping[str, str]
    ) -> None:
        settings = engine.settings
        self._engine = engine
        self._cluster = cluster
        self._book = cluster.book
        self._me = me
        self._lease = settings.cluster_lease_ms / 1000
        self._copy_after = settings.cluster_copy_ms / 1000
        self._call = Call(
            client=f"worker:{me.host}",
            environment=inherited(os.environ, settings.environment),
            cwd=os.path.expanduser("~"),
        )
        self._presence = Presence(engine, cluster, me=me, labels=labels, holds=self._holds)
        self._answers = Answers(engine, cluster, me=me, call=self._call)
        self._workload = cluster.workload = Workload()
        self._claiming = 0  #: claims under way: slots that are spoken for
        self._held: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._room = asyncio.Event()  #: set when it may be that another job can be taken
        self._look = asyncio.Event()  #: set when the records are to be looked at
        self._has_looked = False  #: at every record, for what this worker had before it was started
        self._unsure: set[str] = set()  #: jobs that it may have, and does not hold
        self._tasks: set[asyncio.Task[None]] = set()

    # -- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to take jobs, as soon as the cluster is there."""
        self._cluster.connected = self._look.set
        self._cluster.roster.changed = self._room.set
        self._engine.jobs.ledger.feed.listen(self._job_changed)
        for work in (
            self._presence.forever(awake=self._look.set, enrolled=self._room.set),
            self._answers.forever(),
            self._take_forever(ANY_QUEUE),
            self._take_forever(queue_of(self._me.host)),
            self._look_forever(),
        ):
            self._spawn(work)

    async def close(self) -> None:
        """Take nothing more. What runs goes on as the daemon's settings say; its ends are told by the
        next worker on this state directory."""
        await end_all([*self._tasks, *self._held.values()])

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _job_changed(self, change: Change) -> None:
        if not change.after.is_live:
            self._room.set()

    # -- taking ------------------------------------------------------------------------------

    def _free(self) -> int:
        """How many jobs it can take now: slots that nobody has, waits for, or is about to get."""
        dispatcher = self._engine.jobs.dispatcher
        if not (self._presence.takes_jobs and dispatcher.is_open):
            return 0
        queue = dispatcher.queue
        return max(0, queue.total - queue.live - len(queue) - self._claiming)

    def _holds(self) -> int:
        """How many jobs of the cluster it has, or is about to have."""
        return self._claiming + len(self._held)

    async def _take_forever(self, queue: str) -> None:
        while True:
            while (free := self._free()) == 0:
                self._room.clear()
                await self._room.wait()
            try:
                hints = await self._cluster.bus.hints(queue, limit=free, wait=_FETCH_SECONDS)
            except Unavailable:
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            for hint in hints:
                if self._free():
                    self._claiming += 1
                    self._spawn(self._take(hint))
                else:
                    await hint.later(_BUSY_SECONDS)

    async def _take(self, hint: Hint) -> None:
        """Take a job, if it still waits; a slot is kept for it."""
        try:
            known = await self._claimed(hint)
            if known is not None:
                local = await self._submitted(known.job)
                if local is not None:
                    self._hold(known.job.id, known.job.epoch, local, known)
        except ConsoleAutomationError as error:
            log.info("whether %s was taken is not known yet: %s", hint.job_id, error)
            self._doubt(hint.job_id)
        except Exception:
            log.exception("taking %s failed", hint.job_id)
            self._doubt(hint.job_id)
        finally:
            self._claiming -= 1
            self._room.set()

    def _doubt(self, job_id: str) -> None:
        """Whether a job is this worker's is to be looked up."""
        self._unsure.add(job_id)
        self._look.set()

    async def _claimed(self, hint: Hint) -> Known | None:
        """Return the job, which is this worker's now; None when it is not to be had."""
        now = self._engine.jobs.clock.now()
        try:
            known = await self._book.look(hint.job_id)
            if known.job.phase is ClusterPhase.PENDING and (left := due_in(known.job, now)):
                await hint.later(left)
                return None
            step = await self._book.apply(hint.job_id, Claimed(at=now, holder=self._me), known)
        except (JobNotFound, InvalidTransition):
            await hint.done()
            return None
        await hint.done()
        self._workload.claims += 1
        return step.known

    async def _submitted(self, job: ClusterJob) -> Job | None:
        """Return the job of this machine that it becomes; None when it was given back."""
        key = key_of(job.id, job.epoch)
        if "definition" in job.request:
            name = "take_definition"
            arguments = {each: job.request[each] for each in ("definition", "input")} | {"key": key}
            if earlier := job.request.get("earlier", 0) + job.attempt - 1:
                arguments["earlier"] = earlier
        else:
            name = "console_execute_async"
            options = {**job.request.get("options", {}), "idempotencyKey": key}
            arguments = {**job.request, "options": options}
        call = on_behalf(self._call, job.client)
        answer = await invoke(self._engine, name, arguments, call, offered=_TAKING)
        if answer.is_error:
            await self._give_back(job, str(answer.view["error"]))
            return None
        return await self._engine.jobs.ledger.get(str(answer.view["jobId"]))

    async def _give_back(self, job: ClusterJob, why: str) -> None:
        log.warning("%s is given back: %s", job.id, why)
        self._workload.refusals += 1
        limit = self._engine.settings.cluster_max_deliveries
        at = self._engine.jobs.clock.now()
        step = await self._insist(job.id, Refused(at=at, epoch=job.epoch, why=why, limit=limit))
        if step is not None:
            await self._hint(step)

    async def _hint(self, job: ClusterJob) -> None:
        if job.phase is ClusterPhase.PENDING:
            try:
                await self._cluster.bus.hint(job.queue, job.id)
            except Unavailable as error:
                log.info("no hint for %s now, a gateway will see to it: %s", job.id, error)

    # -- seeing through ----------------------------------------------------------------------

    def _hold(self, job_id: str, epoch: int, local: Job, known: Known | None = None) -> None:
        held = job_id, epoch
        if held not in self._held:
            task = asyncio.create_task(self._see_through(held, local, known))
            self._held[held] = task
            self._workload.held += 1
            task.add_done_callback(partial(self._let_go, held))

    def _let_go(self, held: tuple[str, int], task: asyncio.Task[None]) -> None:
        """Cease to hold it. Where its end could not be told, that is for the next look."""
        del self._held[held]
        self._workload.held -= 1
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the end of %s, epoch %d, could not be told", *held, exc_info=error)
            self._unsure.add(held[0])

    async def _see_through(self, held: tuple[str, int], local: Job, known: Known | None) -> None:
        """Wait for the end and bring it into the record, however long NATS is away."""
        job_id, epoch = held
        copy: Copy | None = None
        while not local.is_terminal:
            [local] = await self._engine.jobs.wait([local.id], timeout=self._copy_after)
            if not local.is_terminal:
                copy, known = await self._copied(held, local, copy, known)
        outcome = await outcome_of(self._engine, self._call, local)
        at = local.completed_at or self._engine.jobs.clock.now()
        ended = Ended(at=at, epoch=epoch, host=self._me.host, outcome=outcome)
        self._workload.untold += 1
        try:
            after = await self._insist(job_id, ended, known)
        finally:
            self._workload.untold -= 1
        if after is not None:
            await self._hint(after)

    async def _copied(
        self, held: tuple[str, int], local: Job, last: Copy | None, known: Known | None
    ) -> tuple[Copy | None, Known | None]:
        """Have a copy of what a run has told in the record, for the time when this worker is gone. Return
        the latest one, and the job as it is then. What cannot be written now is a matter of the next."""
        job_id, epoch = held
        copy = await copy_of(self._engine, self._call, local)
        if not has_news(copy, last):
            return last, known
        event = Copied(at=copy.at, epoch=epoch, copy=copy)
        try:
            return copy, (await self._book.apply(job_id, event, known)).known
        except (JobNotFound, Unavailable, LimitReached) as error:
            log.info("no copy of %s was made: %s", job_id, error)
            return last, known

    async def _insist(
        self, job_id: str, event: Ended | Refused, known: Known | None = None
    ) -> ClusterJob | None:
        """Let it happen as soon as that can be; return what came of it, None when the job is forgotten."""
        while True:
            try:
                return (await self._book.apply(job_id, event, known)).after
            except JobNotFound:
                return None
            except (Unavailable, LimitReached) as error:
                log.info("the record of %s cannot be written, will try again: %s", job_id, error)
                await asyncio.sleep(_AGAIN_SECONDS)

    # -- looking at the records ---------------------------------------------------------------

    async def _look_forever(self) -> None:
        """Look at the records after every new connection, and now and then: a word may have been lost."""
        while True:
            try:
                async with asyncio.timeout(self._lease):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()
            try:
                if not self._has_looked:
                    await self._take_up()
                    self._has_looked = True
                for job_id in list(self._unsure):
                    await self._make_sure(job_id)
                for job_id, epoch in list(self._held):
                    await self._look_at(job_id, epoch)
                await self._forget_told()
            except ConsoleAutomationError as error:
                log.info("the records cannot be looked at now: %s", error)
            except Exception:
                log.exception("looking at the records failed")

    async def _forget_told(self) -> None:
        """Remove jobs past their time; the end of each is in its record, or it would be held."""
        manager = self._engine.jobs
        held = {key_of(*each) for each in self._held}
        past = await manager.ledger.store.expired(
            statuses=FINISHED,
            ended_before=manager.clock.now() - manager.settings.retain_jobs_ms / 1000,
            keep=0,
            limit=_FORGOTTEN_AT_ONCE,
            keys=Keys(prefix=CLUSTER_KEYS, is_theirs=True),
        )
        await manager.delete([job for job in past if job.spec.idempotency_key not in held])

    async def _take_up(self) -> None:
        """Hold whatever this worker has taken and whose end is not told; and whatever runs here, be it
        that the records say that it was cancelled meanwhile, or is another worker's."""
        for local in await self._engine.jobs.ledger.store.unfinished():
            if found := _KEY.fullmatch(local.spec.idempotency_key or ""):
                self._hold(found[1], int(found[2]), local)
        async for job in self._book.watch():
            if job is None:
                return
            if isinstance(job, ClusterJob) and self._has(job) and is_unfinished(job):
                await self._take_up_one(job)

    async def _make_sure(self, job_id: str) -> None:
        """Hold a job if it is this worker's. While nobody has it, a claim that was not answered may still
        come through."""
        try:
            job = await self._book.get(job_id)
        except JobNotFound:
            pass
        else:
            if self._has(job) and is_unfinished(job):
                await self._take_up_one(job)
            if job.phase is ClusterPhase.PENDING:
                return
        self._unsure.discard(job_id)

    def _has(self, job: ClusterJob) -> bool:
        """Whether the records say that it is this worker's, whatever its host name was."""
        return job.holder is not None and job.holder.instance == self._me.instance

    async def _take_up_one(self, job: ClusterJob) -> None:
        store = self._engine.jobs.ledger.store
        local = await store.find_by_key(key_of(job.id, job.epoch))
        if local is not None:
            self._hold(job.id, job.epoch, await self._engine.jobs.ledger.get(local.id))
        elif job.phase is ClusterPhase.CLAIMED:
            # It was claimed, and then came the crash: it has not begun, or it would be on record here.
            local = await self._submitted(job)
            if local is not None:
                self._hold(job.id, job.epoch, local)

    async def _look_at(self, job_id: str, epoch: int) -> None:
        """End what is not wanted any more: it was cancelled, forgotten, or given to another worker."""
        try:
            job = await self._book.get(job_id)
        except JobNotFound:
            await self._stop(job_id, epoch, "its record was removed")
            return
        if job.epoch != epoch:
            await self._stop(job_id, epoch, f"it is worker {job.holder and job.holder.host}'s now")
        elif job.cancel:
            cancel = {"signal": job.cancel.signal, "graceMs": job.cancel.grace_ms}
            await self._stop(job_id, epoch, f"{job.cancel.by} cancelled it", cancel)

    async def _stop(
        self, job_id: str, epoch: int, why: str, cancel: Mapping[str, Any] | None = None
    ) -> None:
        local = await self._engine.jobs.ledger.store.find_by_key(key_of(job_id, epoch))
        if local is not None and not local.is_terminal:
            log.warning("ending %s, epoch %d of %s: %s", local.id, epoch, job_id, why)
            arguments = {"jobId": local.id, **(cancel or {})}
            self._spawn(self._ended(arguments))

    async def _ended(self, arguments: Mapping[str, Any]) -> None:
        await invoke(self._engine, "console_cancel_job", dict(arguments), self._call)
