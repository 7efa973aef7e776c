"""What the engine needs of the database for workflows. Adapters keep it; one test suite for all."""

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from console_automation.core.job import Job
from console_automation.core.workflow import Registration, Trigger
from console_automation.core.workflow_run import RunSummary, StepState, WorkflowRun


class WorkflowStore(Protocol):
    """The workflows and their runs, durable. Writes are those of the Store."""

    def save(self, registration: Registration) -> Future[None]:
        """Add a workflow, or replace the one of that name in its project."""
        ...

    async def all(self) -> list[Registration]:
        """Return the workflows, by project and name."""
        ...

    def delete(self, project: str, name: str) -> Future[None]:
        """Forget a workflow; its runs stay. An unknown one is no error."""
        ...

    def add_run(self, run: WorkflowRun) -> Future[None]:
        """Add a run, with the steps that it takes over from another, in one transaction.

        Fails with Unavailable when another run has its key.
        """
        ...

    def save_run(self, run: WorkflowRun) -> Future[None]:
        """Replace a run's state, but for its steps. One that is over is final, whatever is asked."""
        ...

    def save_step(self, run_id: str, step_id: str, state: StepState) -> Future[None]:
        """Keep how a step ended. It may wait a moment for other writes to share a transaction."""
        ...

    async def run(self, run_id: str) -> WorkflowRun | None:
        """Return a run with those of its steps that are over."""
        ...

    async def run_by_key(self, key: str) -> WorkflowRun | None:
        """Return the run that has a key."""
        ...

    async def unfinished(self) -> list[WorkflowRun]:
        """Return the runs that are not over, oldest first."""
        ...

    async def latest(
        self, *, project: str | None, name: str | None, limit: int
    ) -> Sequence[RunSummary]:
        """Return runs newest first."""
        ...

    async def unanswered(
        self, trigger: Trigger, registration: Registration, *, limit: int
    ) -> list[Job]:
        """Return finished jobs whose end was to start a workflow since it was registered and for which
        there is no run; oldest first."""
        ...

    def prune(self, *, ended_before: float) -> Future[None]:
        """Forget runs that ended before a time, but for those whose trigger is a job that is kept:
        these are what tells that its end has been answered."""
        ...


def completion_key(registration: Registration, job_id: str) -> str:
    """Return the key of the run that a job's end starts."""
    return f"completion:{registration.project}:{registration.workflow.name}:{job_id}"
