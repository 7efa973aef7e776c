"""What clients see of workflows and their runs."""

import json
from collections import Counter
from typing import Any, NotRequired

from typing_extensions import TypedDict

from console_automation.core.job import Job, Status
from console_automation.core.text import iso, sanitize
from console_automation.core.workflow import Registration, Trigger, TriggerKind
from console_automation.core.workflow_run import (
    RunSummary,
    StepState,
    StepStatus,
    WorkflowRun,
    summary,
)

_LARGEST_RESULT = 10_000  #: characters of JSON

#: What a reader looks for first.
_RANK = {
    StepStatus.FAILED: 0,
    StepStatus.INTERRUPTED: 0,
    StepStatus.CANCELLED: 1,
    StepStatus.RUNNING: 2,
}


class WorkflowTriggerView(TypedDict):
    """What starts a workflow by itself. The secret of a webhook is not shown."""

    type: str
    path: NotRequired[str]
    job: NotRequired[str]
    jobName: NotRequired[str]
    statuses: NotRequired[list[str]]


class WorkflowView(TypedDict):
    """A workflow."""

    name: str
    project: str
    owner: str
    description: str
    steps: list[str]
    inputSchema: NotRequired[dict[str, Any]]
    maxConcurrency: NotRequired[int]
    timeout: int
    triggers: list[WorkflowTriggerView]
    registeredAt: str


class StepView(TypedDict):
    """How a step of a run stands."""

    id: str
    status: str
    reason: NotRequired[str]
    error: NotRequired[str]
    jobId: NotRequired[str]
    attempts: int
    startedAt: NotRequired[str]
    endedAt: NotRequired[str]
    takenFrom: NotRequired[str]
    result: NotRequired[Any]
    resultOmitted: NotRequired[bool]


class RunView(TypedDict):
    """A run of a workflow."""

    runId: str
    workflow: str
    project: str
    status: Status
    reason: NotRequired[str]
    error: NotRequired[str]
    trigger: str
    rerunOf: NotRequired[str]
    createdAt: str
    endedAt: NotRequired[str]
    durationMs: NotRequired[int]


class RegisteredResult(TypedDict):
    """A kept workflow."""

    success: bool
    workflow: WorkflowView
    replaced: bool


class RunResult(TypedDict):
    """A run with its steps. `counts` is about all of them, by status."""

    success: bool
    run: RunView
    counts: dict[str, int]
    steps: list[StepView]


class CancelledResult(TypedDict):
    """What became of a run that was to end."""

    success: bool
    cancelled: bool
    run: RunView


class WorkflowsResult(TypedDict):
    """The workflows, and the latest runs."""

    success: bool
    workflows: list[WorkflowView]
    runs: list[RunView]


class RemovedResult(TypedDict):
    """A workflow that is gone."""

    success: bool
    name: str
    project: str


def workflow_view(registration: Registration) -> WorkflowView:
    """Return a workflow as clients see it."""
    workflow = registration.workflow
    view: WorkflowView = {
        "name": workflow.name,
        "project": registration.project,
        "owner": registration.owner,
        "description": sanitize(workflow.description),
        "steps": [step.id for step in workflow.steps],
        "timeout": round(workflow.timeout * 1000),
        "triggers": [_trigger_view(each) for each in workflow.triggers],
        "registeredAt": iso(registration.registered_at),
    }
    if workflow.input_schema is not None:
        view["inputSchema"] = dict(workflow.input_schema)
    if workflow.max_concurrency is not None:
        view["maxConcurrency"] = workflow.max_concurrency
    return view


def _trigger_view(trigger: Trigger) -> WorkflowTriggerView:
    view: WorkflowTriggerView = {"type": trigger.kind.value}
    if trigger.path is not None:
        view["path"] = trigger.path
    if trigger.definition is not None:
        view["job"] = trigger.definition
    if trigger.job_name is not None:
        view["jobName"] = trigger.job_name
    if trigger.kind is TriggerKind.COMPLETION:
        view["statuses"] = list(trigger.statuses)
    return view


def run_view(run: RunSummary) -> RunView:
    """Return a run as clients see it, without its steps."""
    view: dict[str, Any] = {
        "runId": run.id,
        "workflow": run.name,
        "project": run.project,
        "status": run.status,
        "reason": run.reason,
        "error": run.error and sanitize(run.error),
        "trigger": run.trigger,
        "rerunOf": run.rerun_of,
        "createdAt": iso(run.created_at),
    }
    if run.ended_at is not None:
        view["endedAt"] = iso(run.ended_at)
        view["durationMs"] = round((run.ended_at - run.created_at) * 1000)
    return {key: value for key, value in view.items() if value is not None}  # type: ignore[return-value]


def run_result(run: WorkflowRun, jobs: dict[str, Job], *, limit: int) -> RunResult:
    """Return a run with its steps; `jobs` are those of steps that are running, by id."""
    ordered = [(step.id, run.steps.get(step.id, StepState())) for step in run.spec.workflow.steps]
    shown = sorted(ordered, key=lambda each: _RANK.get(each[1].status, 3))[:limit]
    return {
        "success": True,
        "run": run_view(summary(run)),
        "counts": dict(Counter(state.status.value for _, state in ordered)),
        "steps": [
            _step_view(step_id, state, jobs.get(state.job_id or "")) for step_id, state in shown
        ],
    }


def _step_view(step_id: str, state: StepState, job: Job | None) -> StepView:
    started, attempts = state.started_at, state.attempts
    if job is not None:
        started, attempts = job.started_at, job.attempt
    view: dict[str, Any] = {
        "id": step_id,
        "status": state.status.value,
        "reason": state.reason,
        "error": state.error and sanitize(state.error),
        "jobId": state.job_id,
        "attempts": attempts,
        "startedAt": started and iso(started),
        "endedAt": state.ended_at and iso(state.ended_at),
        "takenFrom": state.taken_from,
    }
    present = {key: value for key, value in view.items() if value is not None}
    if state.has_result:
        if len(json.dumps(state.result)) <= _LARGEST_RESULT:
            present["result"] = state.result
        else:
            present["resultOmitted"] = True
    return present  # type: ignore[return-value]
