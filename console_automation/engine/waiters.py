"""Those who wait for jobs to end."""

import asyncio
from collections.abc import Iterable


class Waiters:
    """One list of futures per job; a job's end resolves them."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    def tell(self, job_id: str) -> None:
        """The job is over."""
        for end in self._waiting.pop(job_id, ()):
            if not end.done():
                end.set_result(None)

    async def wait(self, job_ids: Iterable[str], *, enough: int, timeout: float) -> None:
        """Return when `enough` of the jobs have ended from now on, or the time is up."""
        loop = asyncio.get_running_loop()
        ends = {job_id: loop.create_future() for job_id in job_ids}
        for job_id, end in ends.items():
            self._waiting.setdefault(job_id, []).append(end)
        limit = loop.time() + timeout
        pending = set(ends.values())
        try:
            while pending and enough > 0 and (left := limit - loop.time()) > 0:
                done, pending = await asyncio.wait(
                    pending, timeout=left, return_when=asyncio.FIRST_COMPLETED
                )
                enough -= len(done)
        finally:
            for job_id, end in ends.items():
                self._leave(job_id, end)

    def _leave(self, job_id: str, end: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(job_id)
        if waiting and end in waiting:
            waiting.remove(end)
            if not waiting:
                del self._waiting[job_id]
