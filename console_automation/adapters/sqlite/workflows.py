"""The WorkflowStore over SQLite: workflows, their runs and steps, and their rows."""

import sqlite3
from asyncio import Future
from collections.abc import Sequence
from typing import Any

from console_automation.adapters.sqlite.database import Database, Statement
from console_automation.adapters.sqlite.outbox import SqliteOutbox
from console_automation.adapters.sqlite.rows import dump, job_of, load
from console_automation.core.definition import Caller
from console_automation.core.job import Job, Status
from console_automation.core.messages import Message
from console_automation.core.workflow import Registration, Trigger, completion_key
from console_automation.core.workflow_codec import (
    caller_to_plain,
    run_spec_from_plain,
    run_spec_to_plain,
    step_state_from_plain,
    step_state_to_plain,
    workflow_from_plain,
    workflow_to_plain,
)
from console_automation.core.workflow_run import RunReason, RunSummary, StepState, WorkflowRun


class SqliteWorkflows:
    """Keeps the workflows beside the jobs; `database` is opened and closed by the store of those."""

    def __init__(self, database: Database, sql: dict[str, str], outbox: SqliteOutbox) -> None:
        self._database = database
        self._sql = sql
        self._outbox = outbox

    def save(self, registration: Registration) -> Future[None]:
        """Add a workflow, or replace the one of its name and owner."""
        values = {
            "project": registration.project,
            "name": registration.workflow.name,
            "owner": registration.owner,
            "registered_at": registration.registered_at,
            "definition": dump(workflow_to_plain(registration.workflow)),
            "caller": dump(caller_to_plain(registration.caller)),
            "secrets": dump(dict(registration.secrets)),
        }
        return self._database.write([(self._sql["save_workflow"], values)])

    async def all(self) -> list[Registration]:
        """Return the workflows by project, name and owner."""
        sql = self._sql["all_workflows"]
        return await self._database.read(
            lambda connection: [_registration(row) for row in connection.execute(sql)]
        )

    def delete(self, project: str, name: str, owner: str) -> Future[None]:
        """Forget a workflow."""
        values = {"project": project, "name": name, "owner": owner}
        return self._database.write([(self._sql["delete_workflow"], values)])

    def add_run(self, run: WorkflowRun) -> Future[None]:
        """Add a run, with the steps that it takes over."""
        spec = run.spec
        values = {
            "project": spec.project,
            "name": spec.workflow.name,
            "owner": spec.owner,
            "key": spec.key,
            "cause": spec.trigger,
            "rerun_of": spec.rerun_of,
            "created_at": spec.created_at,
            "spec": dump(run_spec_to_plain(spec)),
            **_state(run),
        }
        taken_over = [self._step(run.id, step_id, each) for step_id, each in run.steps.items()]
        return self._database.write([(self._sql["insert_workflow_run"], values), *taken_over])

    def save_run(self, run: WorkflowRun, messages: Sequence[Message] = ()) -> Future[None]:
        """Replace a run's state, but for its steps, and post messages."""
        changed = (self._sql["update_workflow_run"], _state(run))
        return self._database.write([changed, *self._outbox.posts(messages)])

    def save_step(self, run_id: str, step_id: str, state: StepState) -> Future[None]:
        """Keep how a step ended, in a moment."""
        return self._database.write([self._step(run_id, step_id, state)], urgent=False)

    def _step(self, run_id: str, step_id: str, state: StepState) -> Statement:
        values = {
            "run_id": run_id,
            "step": step_id,
            "state": dump(step_state_to_plain(state)),
            "result": dump(state.result) if state.has_result else None,
        }
        return self._sql["save_workflow_step"], values

    async def run(self, run_id: str) -> WorkflowRun | None:
        """Return a run with those of its steps that are over."""
        found = await self._runs("workflow_run_by_id", id=run_id)
        return found[0] if found else None

    async def run_by_key(self, key: str) -> WorkflowRun | None:
        """Return the run that has a key."""
        found = await self._runs("workflow_run_by_key", key=key)
        return found[0] if found else None

    async def unfinished(self) -> list[WorkflowRun]:
        """Return the runs that are not over, oldest first."""
        return await self._runs("unfinished_workflow_runs")

    async def latest(
        self, *, project: str | None, name: str | None, limit: int, owner: str | None = None
    ) -> Sequence[RunSummary]:
        """Return runs newest first."""
        sql = self._sql["latest_workflow_runs"]
        values = {"project": project, "name": name, "owner": owner, "limit": limit}
        return await self._database.read(
            lambda connection: [_summary(row) for row in connection.execute(sql, values)]
        )

    async def unanswered(
        self, trigger: Trigger, registration: Registration, *, limit: int
    ) -> list[Job]:
        """Return finished jobs that were to start a workflow and have not."""
        sql = self._sql["unanswered_jobs"]
        values = {
            "since": registration.registered_at,
            "project": registration.project,
            "owner": registration.hears_of,
            "job_name": trigger.job_name,
            "definition": trigger.definition,
            "statuses": dump(list(trigger.statuses)),
            "key": completion_key(registration, ""),
            "limit": limit,
        }
        return await self._database.read(
            lambda connection: [job_of(row) for row in connection.execute(sql, values)]
        )

    def prune(self, *, ended_before: float) -> Future[None]:
        """Forget runs that ended before a time."""
        values = {"before": ended_before}
        return self._database.write(
            [(self._sql[each], values) for each in ("prune_workflow_steps", "prune_workflow_runs")],
            urgent=False,
        )

    async def _runs(self, query: str, **values: Any) -> list[WorkflowRun]:
        sql, of_run = self._sql[query], self._sql["workflow_steps"]

        def work(connection: sqlite3.Connection) -> list[WorkflowRun]:
            return [
                _run(row, connection.execute(of_run, {"id": row["id"]}))
                for row in connection.execute(sql, values).fetchall()
            ]

        return await self._database.read(work)


def _registration(row: sqlite3.Row) -> Registration:
    return Registration(
        workflow=workflow_from_plain(load(row["definition"])),
        project=row["project"],
        caller=Caller(**load(row["caller"])),
        registered_at=row["registered_at"],
        secrets=load(row["secrets"]),
    )


def _state(run: WorkflowRun) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status.value,
        "stop": run.stop,
        "reason": run.reason,
        "error": run.error,
        "ended_at": run.ended_at,
    }


def _run(row: sqlite3.Row, steps: sqlite3.Cursor) -> WorkflowRun:
    return WorkflowRun(
        id=row["id"],
        spec=run_spec_from_plain(load(row["spec"])),
        status=Status(row["status"]),
        stop=row["stop"] and RunReason(row["stop"]),
        reason=row["reason"] and RunReason(row["reason"]),
        error=row["error"],
        ended_at=row["ended_at"],
        steps={
            each["step"]: step_state_from_plain(
                load(each["state"]),
                has_result=each["result"] is not None,
                result=None if each["result"] is None else load(each["result"]),
            )
            for each in steps
        },
    )


def _summary(row: sqlite3.Row) -> RunSummary:
    return RunSummary(
        id=row["id"],
        project=row["project"],
        name=row["name"],
        status=Status(row["status"]),
        trigger=row["cause"],
        rerun_of=row["rerun_of"],
        reason=row["reason"] and RunReason(row["reason"]),
        error=row["error"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )
