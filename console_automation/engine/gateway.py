"""The gateway: takes jobs into the cluster, answers for any of them, and sees that none is forgotten.

What it has in memory is a copy of the records, kept by watching them: for lists and waiting, and to
find what is stuck. Whatever decides is read again, and changed by compare-and-set, so that any number of
gateways may do the same at once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from console_automation.core import target as targets
from console_automation.core.cluster_job import (
    Cancel,
    Child,
    ClusterJob,
    ClusterPhase,
    is_unfinished,
    status_of_group,
    without_output,
)
from console_automation.core.cluster_lifecycle import (
    CancelAsked,
    ChildrenOver,
    NotResponding,
    WorkerLost,
    child_of,
)
from console_automation.core.cluster_names import queue_of
from console_automation.core.target import Reach, Target
from console_automation.engine.asking import Asking
from console_automation.engine.cluster_book import ClusterBook
from console_automation.engine.roster import Roster
from console_automation.engine.waiters import Waiters, end_all
from console_automation.errors import (
    BadRequest,
    Conflict,
    JobNotFound,
    LimitReached,
    Unavailable,
)
from console_automation.ports.cluster import ClusterBus, Gone
from console_automation.ports.machine import Clock

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 0.5
_LOOK_SECONDS = 5.0  #: a wait looks at the record itself this often, should the watch lag
_ANSWER_SECONDS = 5.0
_UNHINTED_SECONDS = 2.0


class Gateway:
    """The engine's public face for jobs of the cluster.

    `lost_after` is how many seconds a worker may be silent before its jobs are given up.
    """

    def __init__(
        self,
        *,
        bus: ClusterBus,
        book: ClusterBook,
        roster: Roster,
        clock: Clock,
        key: bytes,
        lost_after: float,
        new_id: Callable[[], str],
    ) -> None:
        self.bus = bus
        self.book = book
        self.roster = roster
        self.clock = clock
        self.new_id = new_id
        self.jobs: dict[str, ClusterJob] = {}  #: a copy of what there is, as far as it was heard of
        self.changes = Waiters()
        asking = Asking(bus, roster, clock, key)
        self.ask, self.hears_of = asking.ask, asking.hears_of
        self._lost_after = lost_after
        self._caught_up = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # -- life --------------------------------------------------------------------------------

    def open(self) -> None:
        """Begin to watch and to look after what is there."""
        work = (self._watch(), self._look_after_forever())
        self._tasks = [asyncio.create_task(each) for each in work]

    async def close(self) -> None:
        """Let go; nothing here is needed by anybody else."""
        await end_all(self._tasks)

    # -- what clients ask --------------------------------------------------------------------

    async def submit(self, job: ClusterJob, target: Target) -> ClusterJob:
        """Take a job in. When this returns it is on the cluster's disks and will be seen through.

        Raises BadRequest when the target means nobody, Conflict when the id is that of another request,
        LimitReached when there is no room, Unavailable when the cluster cannot be reached: then it may have
        been taken in, and asking again with the same idempotency key tells.
        """
        known = await self._existing(job)
        if known is None:
            job = await self._aimed(job, target)
            known = job if await self.book.create(job) else await self._existing(job)
        if known is None:
            raise Unavailable("The job was removed while it was taken in; try again.")
        self.jobs.setdefault(known.id, known)
        try:
            await self._spread([known])
        except (Unavailable, LimitReached) as error:
            log.info("%s is taken in, its children are made later: %s", known.id, error)
        return known

    async def _existing(self, job: ClusterJob) -> ClusterJob | None:
        """Return the job that an earlier call with the same key has made."""
        if not job.fingerprint:
            return None
        try:
            known = await self.book.get(job.id)
        except JobNotFound:
            return None
        if known.fingerprint != job.fingerprint:
            raise Conflict(
                f"idempotencyKey was used for another request, job {known.id}. Use a new key for a new"
                " command, or repeat the request unchanged.",
                jobId=known.id,
            )
        return known

    async def _aimed(self, job: ClusterJob, target: Target) -> ClusterJob:
        """Return the job with the queue or the children that its target means at this moment."""
        await _in_time(self.roster.listens, "nothing was submitted")
        if not self.roster.has_one_for(target):
            members = [each.member for each in self.roster.standings()]
            found = targets.meant(target, members)
            if not found:
                raise BadRequest(targets.nobody(target, members), field="options.target")
            if target.is_group:
                children = tuple(
                    Child(id=f"{job.id}-{number}", host=each.host)
                    for number, each in enumerate(found, start=1)
                )
                return replace(job, children=children, queue="")
        return replace(job, queue=queue_of(target.value)) if target.reach is Reach.HOST else job

    async def _spread(self, jobs: Iterable[ClusterJob]) -> None:
        """Make the children of what is a group, and say of what waits that it does."""
        for job in jobs:
            if job.is_group:
                children = [child_of(job, child) for child in job.children]
                made = await asyncio.gather(*(self.book.create(each) for each in children))
                if any(made) and job.cancel is None:
                    await self._cancel_late(job.id)
                await self._hint(each for each, new in zip(children, made, strict=True) if new)
            else:
                await self._hint([job])

    async def _cancel_late(self, group_id: str) -> None:
        """Cancel a group's children if it was cancelled while they were made: not all were there then."""
        try:
            group = await self.book.get(group_id)
        except JobNotFound:
            return
        if group.cancel:
            await self.cancel(group_id, group.cancel)

    async def _hint(self, jobs: Iterable[ClusterJob]) -> None:
        """Put hints out. One that cannot be is put out later, by whoever looks after the jobs."""
        for job in jobs:
            if job.phase is ClusterPhase.PENDING:
                try:
                    await self.bus.hint(job.queue, job.id)
                except Unavailable as error:
                    log.info("no hint for %s now: %s", job.id, error)
                    return

    async def get(self, job_id: str) -> ClusterJob:
        """Return a job as it is. Raises JobNotFound, Unavailable."""
        return await self.book.get(job_id)

    async def known(self) -> list[ClusterJob]:
        """Return the jobs there are. Raises Unavailable when they have not all been heard of yet."""
        await _in_time(self._caught_up, "its jobs are not known")
        return list(self.jobs.values())

    async def family(self, job: ClusterJob) -> tuple[ClusterJob, ...]:
        """Return the children of a group as they are, those that are forgotten left out."""
        found = await asyncio.gather(
            *(self.book.get(child.id) for child in job.children), return_exceptions=True
        )
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, JobNotFound):
                raise each
        return tuple(each for each in found if isinstance(each, ClusterJob))

    async def is_over(self, job_id: str) -> bool:
        """Whether a job, and each of its children, is over. Raises JobNotFound."""
        job = await self.book.get(job_id)
        if job.is_over or not job.is_group:
            return job.is_over
        family = await self.family(job)
        return len(family) == len(job.children) and all(each.is_over for each in family)

    async def wait(self, job_id: str, *, timeout: float) -> bool:
        """Return whether a job is over, as soon as it is, or when the time is up. Raises JobNotFound."""
        loop = asyncio.get_running_loop()
        limit = loop.time() + timeout
        while not await self.is_over(job_id):
            if loop.time() >= limit:
                return False
            await self._end_of(job_id, until=min(limit, loop.time() + _LOOK_SECONDS))
        return True

    async def _end_of(self, job_id: str, *, until: float) -> None:
        """Return when a job is over, or gone, as far as is heard of; in any case at a time of the loop.

        What is known is looked at before each wait: it may be newer than the record that was read.
        """
        loop = asyncio.get_running_loop()
        while not self._seems_over(job_id) and (left := until - loop.time()) > 0:
            job = self.jobs.get(job_id)
            watched = [job_id, *(child.id for child in job.children)] if job else [job_id]
            await self.changes.wait(watched, enough=1, timeout=left)
            if job and job_id not in self.jobs:
                return

    def _seems_over(self, job_id: str) -> bool:
        """Whether a job, and each of its children, is over as far as is heard of."""
        job = self.jobs.get(job_id)
        if job is None or job.is_over or not job.is_group:
            return job is not None and job.is_over
        return all(self._seems_over(child.id) for child in job.children)

    async def cancel(self, job_id: str, cancel: Cancel) -> bool:
        """Ask for the end of a job, or of all children; False when it was over. Raises JobNotFound."""
        step = await self.book.apply(job_id, CancelAsked(at=self.clock.now(), cancel=cancel))
        if step.after.is_group:
            family = await self.family(step.after)
            asked = await asyncio.gather(*(self.cancel(each.id, cancel) for each in family))
            return any(asked) or (len(family) < len(step.after.children) and not step.after.is_over)
        is_wanted = step.before != step.after or not step.after.is_over
        if is_wanted and is_unfinished(step.after):
            # The record says it already: a worker that does not hear this will see it there.
            await self._tell_holder(step.after, cancel)
        return is_wanted

    async def _tell_holder(self, job: ClusterJob, cancel: Cancel) -> None:
        asked = {"signal": cancel.signal, "graceMs": cancel.grace_ms}
        patience = cancel.grace_ms / 1000
        try:
            await self.ask(job, "console_cancel_job", asked, by=cancel.by, patience=patience)
        except (Unavailable, JobNotFound) as error:
            log.info("%s is to be cancelled, its worker was not told yet: %s", job.id, error)

    async def forget(self, job_id: str) -> None:
        """Remove a job that is over, with its children. Raises JobNotFound, Conflict."""
        job = await self.book.get(job_id)
        if job.group is not None:  # a group would make it anew
            raise Conflict(f"Job {job_id} is removed with {job.group}, of which it is a part.")
        if not await self.is_over(job_id):
            raise Conflict(f"Job {job_id} is not over; cancel it first.", jobId=job_id)
        for each in (job_id, *(child.id for child in job.children)):
            await self.book.delete(each)

    # -- watching ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            try:
                seen: set[str] | None = set()
                async for each in self.book.watch():
                    if isinstance(each, ClusterJob):
                        self._heard(each)
                        if seen is not None:
                            seen.add(each.id)
                    elif isinstance(each, Gone):
                        self.jobs.pop(each.key, None)
                        self.changes.tell(each.key)
                    elif seen is not None:
                        for job_id in set(self.jobs) - seen:
                            del self.jobs[job_id]
                        seen = None
                        self._caught_up.set()
            except Unavailable as error:
                log.info("the jobs of the cluster cannot be watched, will try again: %s", error)
            self._caught_up.clear()
            await asyncio.sleep(_AGAIN_SECONDS)

    def _heard(self, job: ClusterJob) -> None:
        known = self.jobs.get(job.id)
        if job.holder and (known is None or known.epoch < job.epoch):
            self.roster.hear(job.holder.host, job.holder.instance)
        self.jobs[job.id] = without_output(job)
        self.changes.tell(job.id)

    # -- looking after -----------------------------------------------------------------------

    async def _look_after_forever(self) -> None:
        """Look after everything now and then. After sleep, or deafness, count all silence anew."""
        loop = asyncio.get_running_loop()
        interval = max(0.2, min(5.0, self._lost_after / 4))
        while True:
            before = loop.time()
            await asyncio.sleep(interval)
            if loop.time() - before > 2 * interval + 1.0 or not self.bus.is_connected:
                self.roster.listen_anew()
            if not (self._caught_up.is_set() and self.roster.listens.is_set()):
                continue
            try:
                await self._look_after()
            except (Unavailable, LimitReached) as error:
                log.info("the jobs of the cluster cannot be looked after now: %s", error)
            except Exception:
                log.exception("looking after the jobs of the cluster failed")

    async def _look_after(self) -> None:
        jobs = list(self.jobs.values())
        waiting = [job for job in jobs if job.phase is ClusterPhase.PENDING and not job.is_group]
        await self._hint_anew(waiting)
        for job in waiting:
            await self._give_up_child(job)
        for job in jobs:
            try:
                await self._look_after_one(job)
            except LimitReached as error:  # the others do not need what this one does not get
                log.info("%s cannot be looked after now: %s", job.id, error)

    async def _look_after_one(self, job: ClusterJob) -> None:
        if job.phase is ClusterPhase.CLAIMED:
            await self._give_up_lost(job)
        elif job.is_group and not job.is_over:
            await self._complete_group(job)
        elif job.group is not None and job.is_over and job.group not in self.jobs:
            await self._forget_child(job, job.group)

    async def _hint_anew(self, waiting: Sequence[ClusterJob]) -> None:
        """Put out again the hints that are lost: a crash came between a record and its hint."""
        latest = self.clock.now() - _UNHINTED_SECONDS
        due = [job for job in waiting if (job.not_before or job.created_at) < latest]
        if due:
            hinted = await self.bus.hinted()
            await self._hint(job for job in due if job.id not in hinted)

    async def _give_up_child(self, job: ClusterJob) -> None:
        """Give up what was for a worker among several that does not respond: the others are done."""
        if job.group is None:
            return
        found = self.roster.get(job.target)
        if found is None or (not found.is_live and found.silence >= self._lost_after):
            await self._apply(job, NotResponding(at=self.clock.now(), host=job.target))

    async def _give_up_lost(self, job: ClusterJob) -> None:
        holder = job.holder
        if holder is None:
            return
        host = self.roster.name_of(holder)
        if self.roster.silence(host, holder.instance) >= self._lost_after:
            log.warning("worker %s is lost, %s with it", holder.host, job.id)
            step = await self._apply(job, WorkerLost(at=self.clock.now(), epoch=job.epoch))
            await self._hint([step] if step else [])

    async def _complete_group(self, job: ClusterJob) -> None:
        """Make the children that a crash left unmade; when all are over, say so."""
        children = [self.jobs.get(child.id) for child in job.children]
        if None in children:
            if job.id in self.jobs:  # or it was forgotten while others were looked after
                await self._spread([job])  # a crash left them unmade
            return
        known = tuple(each for each in children if each)
        if all(each.is_over for each in known):
            over = ChildrenOver(at=self.clock.now(), status=status_of_group(job, known))
            await self._apply(job, over)

    async def _forget_child(self, job: ClusterJob, group: str) -> None:
        """Remove a child when its group is forgotten: before, it would be made a second time."""
        try:
            await self.book.get(group)
        except JobNotFound:
            await self.book.delete(job.id)

    async def _apply(self, job: ClusterJob, event: Any) -> ClusterJob | None:
        try:
            return (await self.book.apply(job.id, event)).after
        except JobNotFound:
            return None


async def _in_time(known: asyncio.Event, otherwise: str) -> None:
    """Return when something is known. Raises Unavailable when the cluster is away."""
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            await known.wait()
    except TimeoutError:
        raise Unavailable(f"The cluster (nats_url) cannot be reached: {otherwise}.") from None
