"""The registry of workflows, and everything that starts them: clients, signed requests, ends of jobs.

A workflow belongs to the project in which it was registered, and its runs' jobs have that directory.
"""

import asyncio
import difflib
import hmac
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from console_automation.core.access import LOCAL
from console_automation.core.definition import Caller
from console_automation.core.job import Job, Status
from console_automation.core.workflow import (
    Registration,
    Trigger,
    TriggerKind,
    Workflow,
    check,
    completion_key,
)
from console_automation.core.workflow_life import Graph, completed_steps
from console_automation.core.workflow_run import (
    MANUAL,
    WEBHOOK,
    RunReason,
    RunSpec,
    RunSummary,
    WorkflowRun,
)
from console_automation.engine.commands import project_of
from console_automation.engine.definitions import Definitions
from console_automation.engine.feed import Change
from console_automation.engine.jobs import JobManager
from console_automation.engine.json_schemas import check_schema, mismatch
from console_automation.engine.workflow_runs import KEY, WorkflowRuns
from console_automation.errors import (
    BadRequest,
    Conflict,
    ConsoleAutomationError,
    DefinitionNotFound,
    LimitReached,
    WorkflowNotFound,
)
from console_automation.ports.stores import WorkflowStore

log = logging.getLogger(__name__)

_UNANSWERED = 1_000  #: ends of jobs that are answered after a crash, by trigger


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
        self._jobs = jobs
        self._definitions = definitions
        self._store = store
        self._new_id = new_id
        self._settings = jobs.settings
        self._registered: dict[tuple[str, str], Registration] = {}
        self._awaiting: list[Registration] = []  #: those that the end of a job may start
        self._keyed = asyncio.Lock()  #: held from looking for a key to having stored it
        self._tasks: set[asyncio.Task[None]] = set()
        self._deafen: Callable[[], None] | None = None

    # -- life --------------------------------------------------------------------------------

    async def open(self) -> None:
        """Load what is registered, take up the runs that are not over, answer ends that nobody has."""
        for each in await self._store.all():
            self._registered[each.project, each.workflow.name] = each
        self._note_awaiting()
        self._deafen = self._jobs.ledger.feed.listen(self._heard)
        await self.runs.open()
        for registration in self._awaiting:
            for trigger in _completions(registration):
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

    # -- the registry ------------------------------------------------------------------------

    async def register(
        self, workflow: Workflow, secrets: Mapping[str, str], caller: Caller
    ) -> tuple[Registration, bool]:
        """Keep a workflow, in place of the one of that name in its project; also returns whether there
        was one. Runs go on with what they began with.

        Raises BadRequest for what could not be carried out, Conflict for the path of another's webhook,
        LimitReached.
        """
        registration = Registration(
            workflow=workflow,
            project=project_of(caller.cwd),
            caller=caller,
            registered_at=self._jobs.clock.now(),
            secrets=secrets,
        )
        place = (registration.project, workflow.name)
        self._check(registration)
        is_known = place in self._registered
        if not is_known and len(self._registered) >= self._settings.max_workflows:
            raise LimitReached(
                f"{self._settings.max_workflows} workflows are registered, which is the limit (setting"
                " max_workflows). Remove one with console_remove_workflow."
            )
        await self._store.save(registration)
        self._registered[place] = registration
        self._note_awaiting()
        return registration, is_known

    def _check(self, registration: Registration) -> None:
        workflow = registration.workflow
        most = self._settings.max_workflow_steps
        if len(workflow.steps) > most:
            raise BadRequest(
                f"steps: {len(workflow.steps)} are more than the {most} that a workflow may have"
                " (setting max_workflow_steps).",
                field="steps",
            )
        check(workflow)
        self._check_jobs(registration)
        if workflow.input_schema is not None:
            check_schema(workflow.input_schema, "inputSchema")
        for path in registration.secrets:
            holder = self._with_hook(path)
            if holder and (holder.project, holder.workflow.name) != (
                registration.project,
                workflow.name,
            ):
                raise Conflict(
                    f"triggers: the webhook {path!r} is that of workflow {holder.workflow.name!r} in"
                    f" {holder.project}. Take another path."
                )

    def _check_jobs(self, registration: Registration) -> None:
        found: set[str] = set()
        for number, step in enumerate(registration.workflow.steps):
            if step.job in found:
                continue
            try:
                self._definitions.find(step.job, registration.project, LOCAL)
                found.add(step.job)
            except DefinitionNotFound as error:
                raise BadRequest(
                    f"step {step.id!r}, job: {error.message}", field=f"steps.{number}.job"
                ) from None

    async def remove(self, name: str, project: str) -> Registration:
        """Forget a workflow. Its runs go on, and stay. Raises WorkflowNotFound."""
        found = self.find(name, project)
        await self._store.delete(found.project, name)
        self._registered.pop((found.project, name), None)
        self._note_awaiting()
        return found

    def _note_awaiting(self) -> None:
        self._awaiting = [each for each in self._registered.values() if _completions(each)]

    def registered(self, project: str | None = None) -> list[Registration]:
        """Return the workflows, of a project or of all, by project and name."""
        found = [self._registered[place] for place in sorted(self._registered)]
        return [each for each in found if project in (None, each.project)]

    def find(self, name: str, project: str) -> Registration:
        """Return the workflow that a name means in a project: its own, else the only one there is.

        Raises WorkflowNotFound, and BadRequest when several projects have one.
        """
        if (project, name) in self._registered:
            return self._registered[project, name]
        elsewhere = [each for each in self.registered() if each.workflow.name == name]
        if len(elsewhere) > 1:
            places = ", ".join(each.project for each in elsewhere[:5])
            raise BadRequest(
                f"name: several projects have a workflow {name!r}: {places}. Say which with project.",
                field="name",
            )
        if elsewhere:
            return elsewhere[0]
        known = {each.workflow.name for each in self.registered()}
        close = difflib.get_close_matches(name, known, n=1)
        meant = f"Did you mean {close[0]!r}?" if close else "console_list_workflows shows them."
        raise WorkflowNotFound(f"There is no workflow {name!r}. {meant}", name=name)

    def _with_hook(self, path: str) -> Registration | None:
        return next((each for each in self._registered.values() if path in each.secrets), None)

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

        Raises BadRequest for an input that does not match, or a job that is not there any more,
        Conflict for a key that stands for something else, LimitReached, Unavailable.
        """
        workflow = registration.workflow
        wrong = mismatch(workflow.input_schema, given, "input") if workflow.input_schema else None
        if wrong is not None:
            place, what = wrong
            raise BadRequest(f"{place}: {what}. Nothing was started.", field=place)
        self._check_jobs(registration)
        spec = RunSpec(
            workflow=workflow,
            project=registration.project,
            caller=replace(caller, cwd=registration.caller.cwd),
            input=given,
            created_at=self._jobs.clock.now(),
            trigger=trigger,
            key=key,
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

    async def rerun(self, run_id: str, caller: Caller) -> WorkflowRun:
        """Begin a run that does again what did not complete in another, and what depends on that.

        It has the workflow and the input of that. Raises WorkflowNotFound, Conflict, and as `execute`.
        """
        old = await self.runs.get(run_id)
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
        self, *, project: str | None, name: str | None, limit: int
    ) -> Sequence[RunSummary]:
        """Return runs newest first."""
        found = await self._store.latest(project=project, name=name, limit=limit)
        return [replace(each, status=self.runs.status_of(each.id, each.status)) for each in found]

    # -- triggers ----------------------------------------------------------------------------

    async def webhook(self, path: str, body: bytes, signature: str) -> WorkflowRun:
        """Begin the run that a signed request asks for; its body is the input.

        `signature` is `sha256=` and the HMAC-SHA256 of the body, in hexadecimal digits. Raises
        WorkflowNotFound for an unknown path and for a wrong signature alike, and as `execute`.
        """
        registration = self._with_hook(path)
        secret = registration.secrets[path] if registration else ""
        expected = "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()) or registration is None:
            raise WorkflowNotFound("There is no such webhook, or the signature is not right.")
        try:
            given = json.loads(body)
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
        """Begin the runs that a job's end is to start. Steps start none, so nothing goes in circles."""
        if (job.spec.idempotency_key or "").startswith(KEY):
            return
        for registration in self._awaiting:
            if registration.project == job.spec.project and _is_awaited(registration, job):
                task = asyncio.create_task(self._execute_after(registration, job))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _execute_after(self, registration: Registration, job: Job) -> None:
        result = job.result or await self._jobs.ledger.store.result(job.id)
        ended: dict[str, Any] = {
            "id": job.id,
            "name": job.spec.name,
            "definition": job.spec.contract and job.spec.contract.definition,
            "status": job.status.value,
        }
        if result is not None:
            ended["result"] = json.loads(result)
        try:
            await self.execute(
                registration,
                {"job": ended},
                registration.caller,
                trigger=job.id,
                key=completion_key(registration, job.id),
            )
        except ConsoleAutomationError as error:
            name = registration.workflow.name
            log.error("the end of %s could not start workflow %s: %s", job.id, name, error)


def _completions(registration: Registration) -> list[Trigger]:
    triggers = registration.workflow.triggers
    return [each for each in triggers if each.kind is TriggerKind.COMPLETION]


def _is_awaited(registration: Registration, job: Job) -> bool:
    contract = job.spec.contract
    return any(
        trigger.job_name in (None, job.spec.name)
        and trigger.definition in (None, contract and contract.definition)
        and job.status in trigger.statuses
        for trigger in _completions(registration)
    )
