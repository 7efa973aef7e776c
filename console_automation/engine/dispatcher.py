"""The dispatcher: who waits, who holds a slot, and whether another run may begin now."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from console_automation.config import Settings
from console_automation.core.job import Job
from console_automation.core.queue import Hindrance, ReadyQueue
from console_automation.core.text import counted
from console_automation.engine.admission import Admission

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a pending job stands. `why` is for the client to read."""

    position: int | None
    why: str


class Dispatcher:
    """Picks jobs off the ready queue. `begin` is called with the id of each job that got a slot."""

    def __init__(
        self, settings: Settings, admission: Admission, begin: Callable[[str], None]
    ) -> None:
        self.queue = ReadyQueue(
            total=settings.max_concurrent_jobs,
            per_session=settings.max_concurrent_jobs_per_session,
        )
        self.is_open = False
        self._admission = admission
        self._begin = begin
        self._objection: str | None = None
        self._pause: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Begin to start runs."""
        self.is_open = True
        self.pump()

    def close(self) -> None:
        """Start nothing more."""
        self.is_open = False
        if self._pause:
            self._pause.cancel()

    def push(self, job: Job) -> None:
        """Have a job wait for its turn."""
        if job.id not in self.queue:
            self.queue.push(job.id, priority=job.spec.priority, session_id=job.spec.session_id)

    def try_at_once(self, job: Job) -> bool:
        """Have a new job wait; True when it got a slot on the spot."""
        self.push(job)
        while self._may_start() and (job_id := self.queue.pick()):
            if job_id == job.id:
                return True
            self._begin(job_id)
        return False

    def forget(self, job_id: str) -> None:
        """Take a job out, whether it waits or holds a slot."""
        self.queue.remove(job_id)
        self.queue.release(job_id)

    def pump(self) -> None:
        """Begin whatever may begin."""
        while len(self.queue) and self._may_start():
            job_id = self.queue.pick()
            if job_id is None:
                return
            self._begin(job_id)

    def hold_back(self, why: str) -> None:
        """Begin nothing for a moment, then look again."""
        self._objection = why
        if self._pause is None:
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = self._objection = None
        self.pump()

    def _may_start(self) -> bool:
        if not self.is_open or self._pause is not None or self.queue.live >= self.queue.total:
            return False
        objection = self._admission.objection(self.queue.live)
        if objection:
            self.hold_back(objection)
        return objection is None

    def standing(self, job: Job) -> Standing | None:
        """Return why a job in the queue does not run, None for one that is not in it."""
        hindrance = self.queue.hindrance(job.id)
        if hindrance is None:
            return None
        if hindrance is Hindrance.TOTAL_CAP:
            why = f"{self.queue.live} of {counted(self.queue.total, 'slot')} taken"
        elif hindrance is Hindrance.SESSION_CAP:
            cap = self.queue.per_session
            why = f"session {job.spec.session_id!r} runs {counted(cap, 'job')} already, as many as it may"
        else:
            why = self._objection or "it starts as soon as it is its turn"
        return Standing(self.queue.position(job.id), why)
