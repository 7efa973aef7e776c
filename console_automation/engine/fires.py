"""What a fire of a schedule becomes: the spec of an ordinary job, and that job."""

import json
from dataclasses import dataclass, replace

from console_automation.core.job import Job, JobSpec
from console_automation.core.schedule import Overlap, Schedule, Version, job_key
from console_automation.engine.definitions import Definitions
from console_automation.engine.jobs import JobManager
from console_automation.errors import (
    AccessDenied,
    BadRequest,
    DefinitionNotFound,
    JobNotFound,
    LimitReached,
)

_MOST_NEEDS = 100  #: jobs that one waits for, the newest: their number is kept with each job

Refusal = AccessDenied | BadRequest | DefinitionNotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What jobs of a version are made from, or why there are none, as of now."""

    version: Version
    spec: JobSpec | None = None
    refusal: Refusal | None = None

    def required(self) -> JobSpec:
        """Return the spec. Raises the refusal."""
        if self.spec is None:
            assert self.refusal is not None
            raise self.refusal
        return self.spec


class Fires:
    """Makes the jobs of schedules."""

    def __init__(self, jobs: JobManager, definitions: Definitions) -> None:
        self._jobs = jobs
        self._definitions = definitions

    def asks_guards(self, version: Version) -> bool:
        """Whether `made` has to ask a guard, which may take its time."""
        contract = version.spec.contract
        if version.caller is None or contract is None:
            return False
        return self._definitions.asks_guards(contract.definition, version.caller)

    async def made(self, version: Version) -> Made:
        """Return what a job is made from: a typed one as its definition is now, and refused to whom that
        refuses it now."""
        contract = version.spec.contract
        if version.caller is None or contract is None:
            return Made(version=version, spec=version.spec)
        try:
            spec = await self._definitions.job_spec(
                contract.definition, contract.input, version.caller
            )
        except (AccessDenied, BadRequest, DefinitionNotFound) as refusal:
            return Made(version=version, refusal=refusal)
        return Made(version=version, spec=spec)

    async def submitted(self, schedule: Schedule, key: str) -> Job | None:
        """Return the job that goes by a key in its schedule."""
        return await self._jobs.ledger.store.find_by_key(job_key(schedule, key))

    async def submit(self, schedule: Schedule, key: str, spec: JobSpec) -> Job:
        """Make the job. Raises what `JobManager.submit` raises."""
        before = await self._queue(schedule)
        environment = {
            **spec.command.environment,
            "CONSOLE_AUTOMATION_SCHEDULE": schedule.id,
            "CONSOLE_AUTOMATION_METADATA": json.dumps(schedule.metadata),
        }
        return await self._jobs.submit(
            replace(
                spec,
                command=replace(spec.command, environment=environment),
                tags={**spec.tags, "schedule": schedule.name},
                created_at=self._jobs.clock.now(),
                depends_on=before[:_MOST_NEEDS],
                even_if_failed=bool(before),
                idempotency_key=job_key(schedule, key),
                fingerprint=schedule.id,
            )
        )

    def is_busy(self, schedule: Schedule) -> bool:
        """Whether the latest job of a schedule is not over."""
        return self._unfinished(schedule.last_job_id) is not None

    async def is_full(self, schedule: Schedule) -> bool:
        """Whether a schedule that queues has as many jobs in its queue as its history remembers."""
        return len(await self._queue(schedule)) >= self._jobs.settings.schedule_history

    async def check_full(self, schedule: Schedule) -> None:
        """Raise LimitReached when the queue of a schedule is full."""
        if await self.is_full(schedule):
            most = self._jobs.settings.schedule_history
            raise LimitReached(
                f"{most} jobs of schedule {schedule.name!r} are not over, which is as many as its queue"
                " holds (setting schedule_history). Wait until some are, or cancel some."
            )

    async def _queue(self, schedule: Schedule) -> tuple[str, ...]:
        """Return the jobs that are not over of a schedule that queues, newest first.

        Each waits for all before it, and not for the last one alone: that may be cancelled while it
        waits, and then neither the one behind it nor the next fire is to run beside the one that runs.
        """
        if schedule.overlap is not Overlap.QUEUE or schedule.last_job_id is None:
            return ()
        ledger = self._jobs.ledger
        try:
            latest = ledger.active(schedule.last_job_id) or await ledger.get(schedule.last_job_id)
        except JobNotFound:
            return ()
        found = {} if latest.is_terminal else {latest.id: latest}
        walk = [latest]
        for job in walk:  # grows meanwhile
            for each in job.spec.depends_on:
                other = None if each in found else self._unfinished(each)
                if other is not None:
                    found[each] = other
                    walk.append(other)
        return tuple(found)

    def _unfinished(self, job_id: str | None) -> Job | None:
        job = self._jobs.ledger.active(job_id or "")
        return None if job is None or job.is_terminal else job
