"""Those who wait for jobs to end."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, eq=False)
class _Wait:
    """One who waits, until so many more jobs have told."""

    missing: int
    over: "asyncio.Future[None]"

    def end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)


class Waiters:
    """For every job, those who wait for it."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[_Wait]] = {}

    def tell(self, job_id: str) -> None:
        """What is waited for has happened to this job."""
        for wait in self._waiting.pop(job_id, ()):
            wait.missing -= 1
            if wait.missing <= 0:
                wait.end()

    async def wait(self, job_ids: Iterable[str], *, enough: int, timeout: float) -> None:
        """Return when `enough` of the jobs have told from now on, or the time is up."""
        if enough <= 0 or timeout <= 0:
            return
        loop = asyncio.get_running_loop()
        wait = _Wait(enough, loop.create_future())
        awaited = list(job_ids)
        for job_id in awaited:
            self._waiting.setdefault(job_id, []).append(wait)
        timer = loop.call_later(timeout, wait.end)
        try:
            await wait.over
        finally:
            timer.cancel()
            for job_id in awaited:
                self._leave(job_id, wait)

    def _leave(self, job_id: str, wait: _Wait) -> None:
        waiting = self._waiting.get(job_id)
        if waiting and wait in waiting:
            waiting.remove(wait)
            if not waiting:
                del self._waiting[job_id]


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended: a cancellation gets lost where an error comes at the same moment,
    as in a TaskGroup, and in libraries that swallow it."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)
