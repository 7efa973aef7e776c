"""Forgetting jobs that are over: by age on a timer, and when a client asks."""

import asyncio
import logging
from collections.abc import Sequence

from console_automation.core.job import Status
from console_automation.engine.jobs import JobManager
from console_automation.errors import ConsoleAutomationError

log = logging.getLogger(__name__)

FINISHED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)
_BATCH = 200


class Retention:
    """Removes what is past its time. Jobs that are not over are never touched."""

    def __init__(self, manager: JobManager) -> None:
        self._manager = manager
        self._settings = manager.settings
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
        self, *, max_age: float, keep: int = 0, statuses: Sequence[Status] = FINISHED
    ) -> int:
        """Remove finished jobs older than `max_age` seconds, sparing the newest `keep`."""
        before = self._manager.clock.now() - max_age
        removed = 0
        async with self._cleaning:
            while batch := await self._manager.ledger.store.expired(
                statuses=statuses, ended_before=before, keep=keep, limit=_BATCH
            ):
                await self._manager.delete(batch)
                removed += len(batch)
        return removed

    async def _forever(self) -> None:
        while True:
            try:
                removed = await self.clean(max_age=self._settings.retain_jobs_ms / 1000)
                oldest = self._manager.clock.now() - self._settings.retain_audit_ms / 1000
                await self._manager.ledger.store.trim_audit(before=oldest)
            except ConsoleAutomationError as error:
                log.error("cleaning up failed, will try again: %s", error)
            else:
                if removed:
                    log.info("removed %d jobs past their time", removed)
            await asyncio.sleep(self._settings.job_cleanup_interval_ms / 1000)
