"""Everything that starts workflows: clients, signed requests, ends of jobs.

A run acts as the principal who began it, one that began by itself as the workflow's owner. Its jobs have
the directory in which the workflow was registered.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from console_automation.core.access import Action, Principal
from console_automation.core.definition import Caller
from console_automation.core.job import Job, Status
from console_automation.core.text import from_json
from console_automation.core.workflow import Registration, completion_key
from console_automation.core.workflow_life import Graph, completed_steps
from console_automation.core.workflow_run import (
    MANUAL,
    WEBHOOK,
    RunReason,
    RunSpec,
    RunSummary,
    WorkflowRun,
)
from console_automation.engine.definitions import Definitions
from console_automation.engine.feed import Change
from console_automation.engine.jobs import JobManager
from console_automation.engine.json_schemas import mismatch
from console_automation.engine.permissions import Kind
from console_automation.engine.refusals import note_refusal
from console_automation.engine.workflow_registry import WorkflowRegistry, completions
from console_automation.engine.workflow_runs import KEY, WorkflowRuns
from console_automation.errors import (
    BadRequest,
    Conflict,
    ConsoleAutomationError,
    LimitReached,
    Unavailable,
)
from console_automation.ports.stores import WorkflowStore

log = logging.getLogger(__name__)

_UNANSWERED = 1_000  #: ends of jobs that are answered after a crash, by trigger
_PAUSE_SECONDS = 1.0  #: before what the service could not do is tried again


class Workflows:
    """The engine's public face for workflows."""

    def __init__(
        self,
        *,
        jobs: JobManager,
        definitions: Definitions,
        store: WorkflowStore,
        new_id: Callable[[], str],
    ) -> None:
        self.runs = WorkflowRuns(jobs=jobs, definitions=definitions, store=store)
        self.registry = WorkflowRegistry(
            settings=jobs.settings, clock=jobs.clock, definitions=definitions, store=store
        )
        self._jobs = jobs
        self._permissions = definitions.permissions
        self._store = store
        self._new_id = new_id
        self._settings = jobs.settings
        self._keyed = asyncio.Lock()  #: held from looking for a key to having stored it
        self._answering = asyncio.Lock()  #: ends of jobs are answered in turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._deafen: Callable[[], None] | None = None

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Load what is registered, take up the runs that are not over, answer ends that nobody has."""
        await self.registry.open()
        self._deafen = self._jobs.ledger.feed.listen(self._heard)
        await self.runs.open()
        for registration in self.registry.awaiting:
            for trigger in completions(registration):
                for job in await self._store.unanswered(trigger, registration, limit=_UNANSWERED):
                    self._answer(job)

    async def close(self) -> None:
        """Let go. Idempotent."""
        if self._deafen is not None:
            self._deafen()
            self._deafen = None
        self.runs.close()
        for task in self._tasks:
            task.cancel()

    # -- runs --------------------------------------------------------------------------------

    async def execute(
        self,
        registration: Registration,
        given: Any,
        caller: Caller,
        *,
        trigger: str = MANUAL,
        key: str | None = None,
    ) -> WorkflowRun:
        """Begin a run; with a key that another run has, return that one.

        Raises AccessDenied, BadRequest for an input that does not match, or a job that is not there any
        more, Conflict for a key that stands for something else, LimitReached, Unavailable.
        """
        workflow = registration.workflow
        principal = await self._checked(registration, given, caller)
        wrong = mismatch(workflow.input_schema, given, "input") if workflow.input_schema else None
        if wrong is not None:
            place, what = wrong
            raise BadRequest(f"{place}: {what}. Nothing was started.", field=place)
        self.registry.check_jobs(registration, principal)
        spec = RunSpec(
            workflow=workflow,
            project=registration.project,
            caller=replace(caller, cwd=registration.caller.cwd),
            input=given,
            created_at=self._jobs.clock.now(),
            trigger=trigger,
            key=key,
            workflow_owner=registration.owner,
        )
        if key is None:
            return await self._begin(WorkflowRun(id=self._new_id(), spec=spec))
        async with self._keyed:
            known = await self._store.run_by_key(key)
            if known is None:
                return await self._begin(WorkflowRun(id=self._new_id(), spec=spec))
        before = known.spec
        if (before.project, before.workflow.name, before.input) != (
            spec.project,
            workflow.name,
            given,
        ):
            raise Conflict(
                f"The idempotencyKey was used for another workflow or input, run {known.id}. Use a new"
                " one, or repeat the request unchanged.",
                runId=known.id,
            )
        return await self.runs.get(known.id)

    async def _checked(self, registration: Registration, given: Any, caller: Caller) -> Principal:
        """Return for whom a caller may begin a run. Raises AccessDenied."""
        principal = self._permissions.principal(caller)
        decision = registration.decide(principal, Action.EXECUTE)
        name = registration.workflow.name
        await self._permissions.check_execute(decision, principal, Kind.WORKFLOW, name, given)
        return principal

    async def rerun(self, run_id: str, caller: Caller) -> WorkflowRun:
        """Begin a run that does again what did not complete in another, and what depends on that.

        It has the workflow and the input of that. Who is no admin has to be still allowed to
        execute the workflow. Raises WorkflowNotFound, Conflict, and as `execute`.
        """
        principal = self._permissions.principal(caller)
        old = await self.runs.get(run_id, principal)
        if not principal.is_admin:
            name, owner = old.spec.workflow.name, old.spec.workflow_owner
            current = self.registry.find(name, old.spec.project, principal, owner)
            await self._checked(current, old.spec.input, caller)
        if not old.is_over:
            raise Conflict(
                f"Run {run_id} is {old.status}; cancel it, or wait for its end.", runId=run_id
            )
        if old.status is Status.COMPLETED:
            raise Conflict(
                f"Run {run_id} completed; there is nothing to do again. Execute the workflow anew.",
                runId=run_id,
            )
        spec = replace(
            old.spec,
            caller=replace(caller, cwd=old.spec.caller.cwd),
            created_at=self._jobs.clock.now(),
            trigger=MANUAL,
            key=None,
            rerun_of=run_id,
        )
        steps = completed_steps(Graph(spec.workflow), old)
        return await self._begin(WorkflowRun(id=self._new_id(), spec=spec, steps=steps))

    async def _begin(self, run: WorkflowRun) -> WorkflowRun:
        most = self._settings.max_workflow_runs
        if len(self.runs) >= most:
            raise LimitReached(
                f"{most} workflow runs go on, which is the limit (setting max_workflow_runs). Cancel"
                " some, or wait until they are over."
            )
        await self.runs.start(run)
        return await self.runs.get(run.id)

    async def cancel(self, run_id: str) -> bool:
        """End a run with its live steps; False when it was over. Raises WorkflowNotFound."""
        return await self.runs.stop(run_id, RunReason.CANCELLED)

    async def latest(
        self, *, project: str | None, name: str | None, limit: int, principal: Principal
    ) -> Sequence[RunSummary]:
        """Return the runs that are a principal's to see, newest first."""
        owner = None if principal.is_admin else principal.name
        found = await self._store.latest(project=project, name=name, limit=limit, owner=owner)
        return [replace(each, status=self.runs.status_of(each.id, each.status)) for each in found]

    # -- triggers ----------------------------------------------------------------------------

    async def webhook(self, path: str, body: bytes, signature: str) -> WorkflowRun:
        """Begin the run that a signed request asks for; its body is the input.

        `signature` is `sha256=` and the HMAC-SHA256 of the body, in hexadecimal digits. Raises
        WorkflowNotFound for an unknown path and for a wrong signature alike, and as `execute`.
        """
        registration = self.registry.signed(path, body, signature)
        try:
            given = from_json(body)
        except (ValueError, RecursionError) as error:
            raise BadRequest(f"The body is no JSON document: {error}", field="body") from None
        if not isinstance(given, dict):
            raise BadRequest(
                "The body is no JSON object, which is the input of a run.", field="body"
            )
        return await self.execute(registration, given, registration.caller, trigger=WEBHOOK)

    def _heard(self, change: Change) -> None:
        self.runs.heard(change)
        if change.after.is_terminal:
            self._answer(change.after)

    def _answer(self, job: Job) -> None:
        """Begin the runs that a job's end is to start: of workflows of those who may see the job. Steps
        start none, so nothing goes in circles."""
        if (job.spec.idempotency_key or "").startswith(KEY):
            return
        for registration in self.registry.awaiting:
            if _is_awaited(registration, job):
                task = asyncio.create_task(self._execute_after(registration, job))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _execute_after(self, registration: Registration, job: Job) -> None:
        """Begin the run that a job's end is to start, however long there is no room for it, or no disk;
        not when the workflow is gone by then."""
        async with self._answering:
            while (current := self._awaiting(registration, job)) is not None:
                try:
                    await self._execute_for(current, job)
                    return
                except (LimitReached, Unavailable) as error:
                    log.warning(
                        "workflow %s has to wait for its run after %s: %s",
                        current.workflow.name,
                        job.id,
                        error,
                    )
                    await asyncio.sleep(_PAUSE_SECONDS)
                except ConsoleAutomationError as error:
                    name = current.workflow.name
                    note_refusal(self._jobs, current.caller, error, of="completion", subject=job.id)
                    log.error("the end of %s could not start workflow %s: %s", job.id, name, error)
                    return

    def _awaiting(self, registration: Registration, job: Job) -> Registration | None:
        """Return a workflow as it is now, if the end of a job still is to start it."""
        for each in self.registry.awaiting:
            if each.place == registration.place and _is_awaited(each, job):
                return each
        return None

    async def _execute_for(self, registration: Registration, job: Job) -> None:
        result = job.result or await self._jobs.ledger.store.result(job.id)
        ended: dict[str, Any] = {
            "id": job.id,
            "name": job.spec.name,
            "definition": job.spec.contract and job.spec.contract.definition,
            "status": job.status.value,
        }
        if result is not None:
            ended["result"] = json.loads(result)
        await self.execute(
            registration,
            {"job": ended},
            registration.caller,
            trigger=job.id,
            key=completion_key(registration, job.id),
        )


def _is_awaited(registration: Registration, job: Job) -> bool:
    if registration.project != job.spec.project:
        return False
    if registration.hears_of not in (None, job.spec.owner):
        return False
    contract = job.spec.contract
    return any(
        trigger.job_name in (None, job.spec.name)
        and trigger.definition in (None, contract and contract.definition)
        and job.status in trigger.statuses
        for trigger in completions(registration)
    )
