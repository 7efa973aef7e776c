"""Forgetting jobs that are over and sessions that are closed: by age on a timer, and when a client asks."""

import asyncio
import logging
from collections.abc import Sequence

from console_automation.core.cluster_names import CLUSTER_KEYS
from console_automation.core.job import Status
from console_automation.engine.consoles import ConsoleManager
from console_automation.engine.jobs import JobManager
from console_automation.engine.screens import Screens
from console_automation.errors import Conflict, ConsoleAutomationError
from console_automation.ports.stores import JobFilter, Keys

log = logging.getLogger(__name__)

FINISHED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)
_BATCH = 200


class Retention:
    """Removes what is past its time. Jobs that are not over are never touched."""

    def __init__(self, manager: JobManager, consoles: ConsoleManager, screens: Screens) -> None:
        self._manager = manager
        self._consoles = consoles
        self._screens = screens
        self._settings = manager.settings
        #: What a worker has run for the cluster stays until the cluster knows how it ended.
        self._spared = (
            Keys(prefix=CLUSTER_KEYS, is_theirs=False) if self._settings.cluster_worker else None
        )
        self._timer: asyncio.Task[None] | None = None
        self._cleaning = asyncio.Lock()  # two at once would both count what one of them removes

    def open(self) -> None:
        """Clean up, now and then again."""
        self._timer = asyncio.create_task(self._forever())

    def close(self) -> None:
        """Stop the timer."""
        if self._timer:
            self._timer.cancel()

    async def clean(
        self,
        *,
        max_age: float,
        keep: int = 0,
        statuses: Sequence[Status] = FINISHED,
        project: str | None = None,
    ) -> int:
        """Remove finished jobs older than `max_age` seconds, sparing the newest `keep`; with `project`
        only that project's."""
        before = self._manager.clock.now() - max_age
        removed = 0
        async with self._cleaning:
            while batch := await self._manager.ledger.store.expired(
                statuses=statuses,
                ended_before=before,
                keep=keep,
                limit=_BATCH,
                project=project,
                keys=self._spared,
            ):
                await self._manager.delete(batch)
                removed += len(batch)
        return removed

    async def forget(self, job_id: str) -> None:
        """Remove one job that is over. Raises JobNotFound, Conflict."""
        async with self._cleaning:
            job = await self._manager.ledger.get(job_id)
            if not job.is_terminal:
                raise Conflict(
                    f"Job {job_id} is {job.status}; only a finished job can be removed. Cancel it first,"
                    " or wait for its end.",
                    jobId=job_id,
                    status=job.status,
                )
            if self._spared and (job.spec.idempotency_key or "").startswith(self._spared.prefix):
                raise Conflict(
                    f"Job {job_id} was run for the cluster; it is removed when its time is over.",
                    jobId=job_id,
                )
            await self._manager.delete([job])

    async def clean_sessions(self, *, max_age: float) -> list[str]:
        """Forget sessions closed longer ago than `max_age` seconds, and the finished jobs of each."""
        before = self._manager.clock.now() - max_age
        removed: list[str] = []
        async with self._cleaning:
            while batch := await self._consoles.store.closed(before=before, limit=_BATCH):
                for session in batch:
                    await self._forget_jobs_of(session.id)
                    self._screens.forget(session.id)
                    await self._consoles.delete(session)
                removed += [session.id for session in batch]
        return removed

    async def _forget_jobs_of(self, session_id: str) -> None:
        wanted = JobFilter(statuses=FINISHED, session_id=session_id)
        while (page := await self._manager.ledger.page(wanted, before=None, limit=_BATCH))[0]:
            await self._manager.delete(page[0])

    async def close_inactive(self, idle: float) -> list[str]:
        """Close the sessions in which nothing was printed for `idle` seconds."""
        latest = self._manager.clock.now() - idle
        unused = [
            each for each in self._consoles.live if self._consoles.last_activity(each) < latest
        ]
        grace = self._settings.kill_grace_ms / 1000
        await asyncio.gather(
            *(self._consoles.stop(each.id, force=False, grace=grace) for each in unused)
        )
        return [each.id for each in unused]

    async def _forever(self) -> None:
        while True:
            try:
                age = self._settings.retain_jobs_ms / 1000
                removed = await self.clean(max_age=age)
                await self.clean_sessions(max_age=age)
                oldest = self._manager.clock.now() - self._settings.retain_audit_ms / 1000
                await self._manager.ledger.store.trim_audit(before=oldest)
            except ConsoleAutomationError as error:
                log.error("cleaning up failed, will try again: %s", error)
            else:
                if removed:
                    log.info("removed %d jobs past their time", removed)
            await asyncio.sleep(self._settings.job_cleanup_interval_ms / 1000)
