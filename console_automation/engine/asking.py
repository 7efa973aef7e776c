"""Putting questions to the workers that have jobs, and believing only what answers under the seal."""

import asyncio
from collections.abc import Mapping
from typing import Any

from console_automation.core.cluster_job import ClusterJob, ClusterPhase
from console_automation.core.question import Question, answer_from_bytes, question_to_bytes
from console_automation.core.seal import Forged, unseal
from console_automation.core.target import host_key
from console_automation.engine.roster import Roster
from console_automation.errors import Conflict, JobNotFound, Unavailable
from console_automation.ports.cluster import ClusterBus
from console_automation.ports.machine import Clock

_ANSWER_SECONDS = 5.0
_BEGINNING_SECONDS = 5.0  #: that a worker may take between claiming a job and having it
_BEGINNING_PAUSE = 0.05


class Asking:
    """A gateway's questions."""

    def __init__(self, bus: ClusterBus, roster: Roster, clock: Clock, key: bytes) -> None:
        self._bus = bus
        self._roster = roster
        self._clock = clock
        self._key = key

    def hears_of(self, job: ClusterJob) -> bool:
        """Whether the worker that has a job has been heard of within its lease, as far as is known."""
        if not self._roster.listens.is_set():
            return True
        if job.holder is None:
            return False
        found = self._roster.get(self._roster.name_of(job.holder))
        return bool(found and found.is_live and found.worker.instance == job.holder.instance)

    async def ask(
        self,
        job: ClusterJob,
        operation: str,
        arguments: Mapping[str, Any],
        *,
        by: str = "",
        patience: float = 0,
    ) -> Mapping[str, Any]:
        """Return what the worker that has a job answers to an operation on it.

        `by` is the client who wants something changed. A worker that has just claimed a job may not have
        it yet, and is asked again. Raises Unavailable when it cannot be reached, and what it refuses with.
        """
        loop = asyncio.get_running_loop()
        limit = loop.time() + _BEGINNING_SECONDS
        while True:
            asked = Question(
                job_id=job.id,
                epoch=job.epoch,
                operation=operation,
                arguments=arguments,
                at=self._clock.now(),
                by=by,
            )
            try:
                return await self._answer(job, asked, timeout=patience + _ANSWER_SECONDS)
            except JobNotFound:
                if job.phase is not ClusterPhase.CLAIMED or loop.time() > limit:
                    raise
            await asyncio.sleep(_BEGINNING_PAUSE)

    async def _answer(
        self, job: ClusterJob, asked: Question, *, timeout: float
    ) -> Mapping[str, Any]:
        if job.holder is None:
            raise Conflict(
                f"Job {job.id} is {job.status}; no worker has it.", jobId=job.id, status=job.status
            )
        host = self._roster.name_of(job.holder)
        if not self.hears_of(job):
            raise Unavailable(
                f"Worker {host}, which has job {job.id}, has not been heard of for a while. It may go"
                " on there."
            )
        sent = question_to_bytes(asked, self._key, host)
        answer = await self._bus.ask(host_key(host), sent, timeout=timeout)
        try:
            return answer_from_bytes(unseal(self._key, f"answer/{asked.nonce}", answer))
        except Forged:
            raise Unavailable(f"What answered for worker {host} is not of this cluster.") from None
