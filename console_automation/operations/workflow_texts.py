"""What a model reads of workflows beside the structured answer."""

from __future__ import annotations

from console_automation.core.access import LOCAL
from console_automation.core.text import counted, human_seconds, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from console_automation.operations.workflow_views import (
        CancelledResult,
        RegisteredResult,
        RemovedResult,
        RunResult,
        RunView,
        StepView,
        WorkflowsResult,
        WorkflowView,
    )

_LINES = 30
_OPEN = ("pending", "running")


def registered(result: RegisteredResult) -> str:
    """Tell of a kept workflow."""
    workflow = result["workflow"]
    what = "replaced; runs of the old one go on with that" if result["replaced"] else "kept"
    steps = counted(len(workflow["steps"]), "step")
    return f"{workflow['name']} ({steps}) is {what}. Run it with console_execute_workflow."


def run_line(run: RunView) -> str:
    """Say in one line what a run is and how it stands."""
    took = f" after {human_seconds(run['durationMs'] / 1000)}" if "durationMs" in run else ""
    why = f" ({run['reason']})" if "reason" in run else ""
    error = f": {one_line(run['error'], 200)}" if "error" in run else ""
    return f"{run['runId']} `{run['workflow']}`: {run['status']}{why}{took}{error}"


def step_line(step: StepView) -> str:
    """Say in one line how a step stands."""
    why = f" ({step['reason']})" if "reason" in step else ""
    error = f": {one_line(step['error'], 200)}" if "error" in step else ""
    attempts = f", attempt {step['attempts']}" if step["attempts"] > 1 else ""
    job = f" [{step['jobId']}]" if "jobId" in step else ""
    return f"  {step['id']}: {step['status']}{why}{attempts}{error}{job}"


def ran(result: RunResult) -> str:
    """Tell how a run and its steps stand."""
    run, steps = result["run"], result["steps"]
    counts = ", ".join(f"{count} {status}" for status, count in result["counts"].items())
    lines = [run_line(run), f"  steps: {counts}", *map(step_line, steps[:_LINES])]
    if len(steps) > _LINES:
        lines.append(f"  … {len(steps) - _LINES} more in the structured result")
    if run["status"] in _OPEN:
        lines.append("It goes on by itself; console_get_workflow_status with waitMs waits for it.")
    elif run["status"] != "completed":
        lines.append(
            f"console_execute_workflow rerunOf={run['runId']} does again what did not complete."
        )
    return "\n".join(lines)


def cancelled(result: CancelledResult) -> str:
    """Tell what became of it."""
    line = run_line(result["run"])
    if not result["cancelled"]:
        return f"It was over already, nothing was changed: {line}"
    if result["run"]["status"] in _OPEN:
        return f"Its steps are being ended: {line}"
    return line


def listed(result: WorkflowsResult) -> str:
    """Tell of the workflows and the latest runs."""
    workflows, runs = result["workflows"], result["runs"]
    lines = [counted(len(workflows), "workflow"), *map(workflow_line, workflows)]
    return "\n".join([*lines, *(["latest runs:"] if runs else []), *map(run_line, runs)])


def workflow_line(workflow: WorkflowView) -> str:
    """Say in one line what a workflow is."""
    steps = counted(len(workflow["steps"]), "step")
    triggers = "".join(f", {each['type']}" for each in workflow["triggers"])
    about = one_line(workflow["description"], 80)
    whose = "" if workflow["owner"] == LOCAL.name else f", of {workflow['owner']}"
    return f"  {workflow['name']} ({steps}{triggers}{whose}){': ' if about else ''}{about}"


def removed(result: RemovedResult) -> str:
    """Tell that a workflow is gone."""
    return f"{result['name']} is gone. Its runs go on, and stay."
