"""The dispatcher: who waits, who holds a slot, and whether another run may begin now.

Carriers have slots of their own, as many again: they do nothing but wait for jobs of the cluster, which
may need the others, here or on a machine that waits for this one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from console_automation.config import Settings
from console_automation.core.job import Job
from console_automation.core.queue import Hindrance, ReadyQueue
from console_automation.core.text import counted
from console_automation.engine.admission import Admission
from console_automation.engine.carrying import is_carrier

_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a pending job stands. `why` is for the client to read."""

    position: int | None
    why: str


class Dispatcher:
    """Picks jobs off the ready queues. `begin` is called with the id of each job that got a slot."""

    def __init__(
        self, settings: Settings, admission: Admission, begin: Callable[[str], None]
    ) -> None:
        self.queue, self._carriers = (
            ReadyQueue(
                total=settings.max_concurrent_jobs,
                per_session=settings.max_concurrent_jobs_per_session,
            )
            for _ in range(2)
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
        queue = self._queue_of(job)
        if job.id not in queue:
            queue.push(job.id, priority=job.spec.priority, session_id=job.spec.session_id)

    def try_at_once(self, job: Job) -> bool:
        """Have a new job wait; True when it got a slot on the spot."""
        self.push(job)
        queue = self._queue_of(job)
        while self._may_start(queue) and (job_id := queue.pick()):
            if job_id == job.id:
                return True
            self._begin(job_id)
        return False

    def forget(self, job_id: str) -> None:
        """Take a job out, whether it waits or holds a slot."""
        for queue in (self.queue, self._carriers):
            queue.remove(job_id)
        self.release(job_id)

    def release(self, job_id: str) -> None:
        """Give a job's slot back; a job without one is no error."""
        for queue in (self.queue, self._carriers):
            queue.release(job_id)

    def occupy(self, job: Job) -> None:
        """Take a slot for a run that is already live, whatever the caps say."""
        self._queue_of(job).occupy(job.id, job.spec.session_id)

    @property
    def holders(self) -> list[str]:
        """The jobs that hold a slot."""
        return [*self.queue.holders, *self._carriers.holders]

    def _queue_of(self, job: Job) -> ReadyQueue:
        return self._carriers if is_carrier(job.spec.command) else self.queue

    def pump(self) -> None:
        """Begin whatever may begin."""
        for queue in (self.queue, self._carriers):
            while len(queue) and self._may_start(queue) and (job_id := queue.pick()):
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

    def _may_start(self, queue: ReadyQueue) -> bool:
        if not self.is_open or self._pause is not None or queue.live >= queue.total:
            return False
        objection = self._admission.objection(queue.live)
        if objection:
            self.hold_back(objection)
        return objection is None

    def standing(self, job: Job) -> Standing | None:
        """Return why a job in the queue does not run, None for one that is not in it."""
        queue = self._queue_of(job)
        hindrance = queue.hindrance(job.id)
        if hindrance is None:
            return None
        if hindrance is Hindrance.TOTAL_CAP:
            why = f"{queue.live} of {counted(queue.total, 'slot')} taken"
        elif hindrance is Hindrance.SESSION_CAP:
            cap = queue.per_session
            why = f"session {job.spec.session_id!r} runs {counted(cap, 'job')} already, as many as it may"
        else:
            why = self._objection or "it starts as soon as it is its turn"
        return Standing(queue.position(job.id), why)
