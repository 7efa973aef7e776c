"""The plain-data form of workflows and their runs, for the database. JSON types only."""

from typing import Any

from console_automation.core.codec import (
    Plain,
    notify_from_plain,
    notify_to_plain,
    retry_from_plain,
    retry_to_plain,
    rules_from_plain,
    rules_to_plain,
)
from console_automation.core.definition import Caller
from console_automation.core.workflow import Step, Trigger, TriggerKind, Workflow
from console_automation.core.workflow_run import RunSpec, StepState, StepStatus


def workflow_to_plain(workflow: Workflow) -> Plain:
    """Return the workflow as plain data."""
    schema = workflow.input_schema
    return {
        "name": workflow.name,
        "description": workflow.description,
        "input_schema": None if schema is None else dict(schema),
        "max_concurrency": workflow.max_concurrency,
        "timeout": workflow.timeout,
        "steps": [_step_to_plain(step) for step in workflow.steps],
        "triggers": [_trigger_to_plain(trigger) for trigger in workflow.triggers],
        "notify": [notify_to_plain(each) for each in workflow.notify],
        "permissions": rules_to_plain(workflow.permissions),
    }


def workflow_from_plain(plain: Plain) -> Workflow:
    """Return the workflow that `workflow_to_plain` was given."""
    return Workflow(
        **{
            **plain,
            "steps": tuple(_step_from_plain(step) for step in plain["steps"]),
            "triggers": tuple(_trigger_from_plain(trigger) for trigger in plain["triggers"]),
            "notify": tuple(map(notify_from_plain, plain["notify"])),
            "permissions": rules_from_plain(plain.get("permissions", ())),
        }
    )


def _step_to_plain(step: Step) -> Plain:
    return {
        "id": step.id,
        "job": step.job,
        "depends_on": list(step.depends_on),
        "input": step.input,
        "condition": step.condition,
        "continue_on_error": step.continue_on_error,
        "timeout": step.timeout,
        "retry": step.retry and retry_to_plain(step.retry),
    }


def _step_from_plain(plain: Plain) -> Step:
    retry = plain["retry"]
    return Step(
        **{
            **plain,
            "depends_on": tuple(plain["depends_on"]),
            "retry": retry and retry_from_plain(retry),
        }
    )


def _trigger_to_plain(trigger: Trigger) -> Plain:
    return {
        "kind": trigger.kind.value,
        "path": trigger.path,
        "definition": trigger.definition,
        "job_name": trigger.job_name,
        "statuses": list(trigger.statuses),
    }


def _trigger_from_plain(plain: Plain) -> Trigger:
    return Trigger(
        **{**plain, "kind": TriggerKind(plain["kind"]), "statuses": tuple(plain["statuses"])}
    )


def caller_to_plain(caller: Caller) -> Plain:
    """Return the caller as plain data."""
    return {
        "client": caller.client,
        "principal": caller.principal,
        "environment": dict(caller.environment),
        "cwd": caller.cwd,
    }


def run_spec_to_plain(spec: RunSpec) -> Plain:
    """Return what was asked for as plain data."""
    return {
        "workflow": workflow_to_plain(spec.workflow),
        "project": spec.project,
        "caller": caller_to_plain(spec.caller),
        "input": spec.input,
        "created_at": spec.created_at,
        "trigger": spec.trigger,
        "key": spec.key,
        "rerun_of": spec.rerun_of,
        "workflow_owner": spec.workflow_owner,
    }


def run_spec_from_plain(plain: Plain) -> RunSpec:
    """Return the spec that `run_spec_to_plain` was given."""
    return RunSpec(
        **{
            **plain,
            "workflow": workflow_from_plain(plain["workflow"]),
            "caller": Caller(**plain["caller"]),
        }
    )


def step_state_to_plain(state: StepState) -> Plain:
    """Return how a step stands as plain data, but for its result."""
    return {
        "status": state.status.value,
        "reason": state.reason,
        "error": state.error,
        "job_id": state.job_id,
        "attempts": state.attempts,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "taken_from": state.taken_from,
    }


def step_state_from_plain(plain: Plain, *, has_result: bool, result: Any) -> StepState:
    """Return the state that `step_state_to_plain` was given."""
    return StepState(
        **{**plain, "status": StepStatus(plain["status"])}, has_result=has_result, result=result
    )
