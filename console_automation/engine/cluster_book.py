"""The jobs of the cluster as they stand in its records. Events are the only way to change one, and
compare-and-set is what makes each of them happen once."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass

from console_automation.core.cluster_codec import job_from_bytes, job_to_bytes
from console_automation.core.cluster_job import ClusterJob, without_output
from console_automation.core.cluster_lifecycle import Event, advance
from console_automation.core.seal import Forged, seal, unseal
from console_automation.errors import BadRequest, JobNotFound, LimitReached
from console_automation.ports.cluster import Gone, Records, Stale, Stored

log = logging.getLogger(__name__)

#: of a new record: NATS takes a mebibyte at once, and an end says it all again
_LARGEST = 256 * 1024
#: of any: what does not fit a message of NATS leaves output and result at the worker
_LARGEST_END = 1_000_000
#: From this share on a bucket takes no new jobs, so that those it has can be claimed and come to an end.
_FULL = 0.8
_SPACIOUS = 0.4  #: and below this it is not looked at each time
_LOOKS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Known:
    """A job as it is, or was: the revision tells."""

    job: ClusterJob
    revision: int


@dataclass(frozen=True, slots=True)
class Step:
    """What an event did to a job; nothing, when both are the same."""

    before: ClusterJob
    known: Known

    @property
    def after(self) -> ClusterJob:
        """The job as it is now."""
        return self.known.job


class ClusterBook:
    """Reads, makes and changes them. Everything raises Unavailable when the cluster is away.

    `retain` is how many seconds a job is kept once it is over.
    """

    def __init__(self, records: Records, key: bytes, *, retain: float) -> None:
        self._records = records
        self._key = key
        self.retain = retain
        self._fill = 1.0  #: as it was when that was looked at
        self._looked_at = -math.inf

    async def get(self, job_id: str) -> ClusterJob:
        """Return a job as it is now. Raises JobNotFound."""
        return (await self.look(job_id)).job

    async def look(self, job_id: str) -> Known:
        """Return a job as it is now, so that it can be changed. Raises JobNotFound."""
        stored = await self._records.get(job_id)
        job = stored and self._opened(stored)
        if not stored or not job:
            raise JobNotFound(job_id)
        return Known(job, stored.revision)

    async def create(self, job: ClusterJob) -> bool:
        """Store a new job; False when there is one of its id.

        Raises BadRequest when it is too large, LimitReached when there is no room.
        """
        await self._check_room()
        body = seal(self._key, job.id, job_to_bytes(job))
        if len(body) > _LARGEST and job.group is None:  # of a child the group was small enough
            raise BadRequest(
                f"The request takes {len(body)} bytes; a job of the cluster has at most {_LARGEST}. Put"
                " what is large (options.stdin, options.environment) into a file that its workers can"
                " read.",
                field="options.stdin",
            )
        try:
            await self._records.create(job.id, body)
        except Stale:
            return False
        return True

    async def _check_room(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._fill > _SPACIOUS or now - self._looked_at > _LOOKS_SECONDS:
            self._fill = await self._records.fill()
            self._looked_at = now
        if self._fill > _FULL:
            raise LimitReached(
                f"The cluster is full ({self._fill:.0%} of setting cluster_max_bytes; the rest is for"
                " the jobs it has). Nothing was submitted. It has room again when finished jobs are"
                " forgotten (setting cluster_retain_ms)."
            )

    async def apply(self, job_id: str, event: Event, known: Known | None = None) -> Step:
        """Let an event happen to a job, whoever else is at it; return what came of it.

        Who knows how the job was a moment ago says so; where that still holds it need not be read again.
        Raises JobNotFound, and InvalidTransition when a claim comes too late.
        """
        while True:
            found = known or await self.look(job_id)
            after = advance(found.job, event)
            if after != found.job:
                body = seal(self._key, job_id, job_to_bytes(after))
                if len(body) > _LARGEST_END:
                    after = without_output(after)
                    body = seal(self._key, job_id, job_to_bytes(after))
                # A child is kept for its group, and forgotten after it.
                keep = self.retain if after.is_over and after.group is None else None
                try:
                    revision = await self._records.update(
                        job_id, body, revision=found.revision, keep=keep
                    )
                except Stale:
                    pass
                else:
                    return Step(found.job, Known(after, revision))
            elif known is None:
                return Step(found.job, found)
            known = None

    async def delete(self, job_id: str) -> None:
        """Forget a job."""
        await self._records.delete(job_id)

    async def watch(self) -> AsyncIterator[ClusterJob | Gone | None]:
        """Yield every job, then None, then every change. Raises Unavailable when it has to begin again."""
        async for each in self._records.watch():
            if isinstance(each, Stored):
                job = self._opened(each)
                if job is not None:
                    yield job
            else:
                yield each

    def _opened(self, stored: Stored) -> ClusterJob | None:
        try:
            return job_from_bytes(unseal(self._key, stored.key, stored.value))
        except Forged:
            log.error(
                "the record of %s does not have the cluster's seal; it is ignored", stored.key
            )
        except (ValueError, LookupError, TypeError):
            log.exception("the record of %s cannot be read; it is ignored", stored.key)
        return None
