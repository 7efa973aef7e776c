"""The WorkflowStore without a database: the twin that keeps the same contract."""

from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from console_automation.core.job import Job
from console_automation.core.messages import Message
from console_automation.core.workflow import Registration, Trigger, completion_key
from console_automation.core.workflow_run import RunSummary, StepState, WorkflowRun, summary

Work = Callable[[], None]


class MemoryWorkflows:
    """The workflows of a MemoryStore; `done` makes a write of a piece of work, `refused` one that
    fails, `jobs` returns the jobs that there are, `post` puts messages into the outbox."""

    def __init__(
        self,
        done: Callable[[Work], Future[None]],
        refused: Callable[[str], Future[None]],
        jobs: Callable[[], Iterable[Job]],
        post: Callable[[Sequence[Message]], None],
    ) -> None:
        self._done = done
        self._refused = refused
        self._jobs = jobs
        self._post = post
        self._registered: dict[tuple[str, str, str], Registration] = {}
        self._runs: dict[str, WorkflowRun] = {}

    def save(self, registration: Registration) -> Future[None]:
        """Add a workflow, or replace the one of its name and owner."""
        return self._done(lambda: self._registered.update({registration.place: registration}))

    async def all(self) -> list[Registration]:
        """Return the workflows by project, name and owner."""
        return [self._registered[key] for key in sorted(self._registered)]

    def delete(self, project: str, name: str, owner: str) -> Future[None]:
        """Forget a workflow."""
        return self._done(lambda: self._forget(project, name, owner))

    def add_run(self, run: WorkflowRun) -> Future[None]:
        """Add a run, with the steps that it takes over."""
        if run.spec.key is not None and self._with_key(run.spec.key):
            return self._refused(f"the key {run.spec.key!r} is taken")
        kept = replace(run, steps=dict(run.steps), lacking={}, ready=(), live=0)
        return self._done(lambda: self._runs.update({run.id: kept}))

    def save_run(self, run: WorkflowRun, messages: Sequence[Message] = ()) -> Future[None]:
        """Replace a run's state, but for its steps, and post messages."""
        return self._done(lambda: self._put(run, messages))

    def save_step(self, run_id: str, step_id: str, state: StepState) -> Future[None]:
        """Keep how a step ended."""
        return self._done(lambda: self._put_step(run_id, step_id, state))

    async def run(self, run_id: str) -> WorkflowRun | None:
        """Return a run with those of its steps that are over."""
        return self._runs.get(run_id)

    async def run_by_key(self, key: str) -> WorkflowRun | None:
        """Return the run that has a key."""
        return self._with_key(key)

    async def unfinished(self) -> list[WorkflowRun]:
        """Return the runs that are not over, oldest first."""
        return [self._runs[run_id] for run_id in sorted(self._runs) if not self._is_over(run_id)]

    async def latest(
        self, *, project: str | None, name: str | None, limit: int, owner: str | None = None
    ) -> Sequence[RunSummary]:
        """Return runs newest first."""
        newest = (self._runs[run_id] for run_id in sorted(self._runs, reverse=True))
        found = [summary(run) for run in newest if owner in (None, run.spec.owner)]
        return [
            each for each in found if project in (None, each.project) and name in (None, each.name)
        ][:limit]

    async def unanswered(
        self, trigger: Trigger, registration: Registration, *, limit: int
    ) -> list[Job]:
        """Return finished jobs that were to start a workflow and have not."""
        found = [
            (job.completed_at, job)
            for job in self._jobs()
            if job.completed_at is not None
            and job.completed_at >= registration.registered_at
            and job.spec.project == registration.project
            and registration.hears_of in (None, job.spec.owner)
            and trigger.job_name in (None, job.spec.name)
            and trigger.definition in (None, job.spec.tags.get("definition"))
            and job.status in trigger.statuses
            and not self._with_key(completion_key(registration, job.id))
        ]
        return [job for _, job in sorted(found, key=lambda each: each[0])][:limit]

    def prune(self, *, ended_before: float) -> Future[None]:
        """Forget runs that ended before a time."""
        return self._done(lambda: self._prune(ended_before))

    def _forget(self, project: str, name: str, owner: str) -> None:
        self._registered.pop((project, name, owner), None)

    def _with_key(self, key: str) -> WorkflowRun | None:
        return next((run for run in self._runs.values() if run.spec.key == key), None)

    def _is_over(self, run_id: str) -> bool:
        return self._runs[run_id].ended_at is not None

    def _put(self, run: WorkflowRun, messages: Sequence[Message]) -> None:
        self._post(messages)
        if run.id in self._runs and not self._is_over(run.id):
            self._runs[run.id] = replace(
                self._runs[run.id],
                status=run.status,
                stop=run.stop,
                reason=run.reason,
                error=run.error,
                ended_at=run.ended_at,
            )

    def _put_step(self, run_id: str, step_id: str, state: StepState) -> None:
        run = self._runs[run_id]
        self._runs[run_id] = replace(run, steps={step_id: state, **run.steps})

    def _prune(self, before: float) -> None:
        kept = {job.id for job in self._jobs()}
        self._runs = {
            run_id: run
            for run_id, run in self._runs.items()
            if run.ended_at is None or run.ended_at >= before or run.spec.trigger in kept
        }
