"""The use cases about workflows."""

from console_automation.config import Settings
from console_automation.core.access import Action
from console_automation.core.job import Job
from console_automation.core.workflow import Step, Trigger, TriggerKind, Workflow
from console_automation.core.workflow_run import StepStatus, WorkflowRun, summary
from console_automation.engine.commands import named_project, project_of
from console_automation.engine.engine import Engine
from console_automation.errors import AccessDenied
from console_automation.operations import workflow_requests as ask
from console_automation.operations import workflow_views as view
from console_automation.operations.definitions import caller_of, own_key, rules_of
from console_automation.operations.notifying import notified
from console_automation.operations.submission import Call, retry_policy, telling

STEPS_SHOWN = 100  #: where nobody says how many


def workflow_of(request: ask.RegisterWorkflow, settings: Settings) -> Workflow:
    """Return the workflow that a request describes, but for the secrets."""
    return Workflow(
        name=request.name,
        description=request.description,
        input_schema=request.input_schema,
        steps=tuple(_step_of(step) for step in request.steps),
        max_concurrency=request.max_concurrency,
        timeout=request.timeout / 1000,
        triggers=tuple(_trigger_of(trigger) for trigger in request.triggers),
        notify=notified(settings, request.notify, field="notify"),
        permissions=rules_of(request.permissions),
    )


def _step_of(step: ask.Step) -> Step:
    return Step(
        id=step.id,
        job=step.job,
        depends_on=tuple(step.depends_on),
        input=step.input,
        condition=step.condition,
        continue_on_error=step.continue_on_error,
        timeout=None if step.timeout is None else step.timeout / 1000,
        retry=None if step.retry is None else retry_policy(step.retry),
    )


def _trigger_of(trigger: ask.WorkflowTrigger) -> Trigger:
    return Trigger(
        kind=TriggerKind(trigger.type),
        path=trigger.path,
        definition=trigger.job,
        job_name=trigger.job_name,
        statuses=tuple(trigger.statuses),
    )


async def register_workflow(
    engine: Engine, call: Call, request: ask.RegisterWorkflow
) -> view.RegisteredResult:
    """Keep a workflow."""
    if request.notify and not call.principal.is_admin:
        raise AccessDenied(
            f"{call.principal.name} may have nobody told of ends, and no command run at them: notify is for"
            " the user of this machine. Leave it out."
        )
    secrets = {each.path: each.secret for each in request.triggers if each.path and each.secret}
    registration, replaced = await engine.workflows.registry.register(
        workflow_of(request, engine.settings), secrets, caller_of(call)
    )
    return {
        "success": True,
        "workflow": view.workflow_view(registration),
        "replaced": replaced,
    }


async def execute_workflow(
    engine: Engine, call: Call, request: ask.ExecuteWorkflow
) -> view.RunResult:
    """Begin a run, and wait for its end when that is wanted."""
    workflows = engine.workflows
    if request.rerun_of is not None:
        run = await workflows.rerun(request.rerun_of, caller_of(call))
    else:
        assert request.name is not None
        project = named_project(request.project, field="project") or project_of(call.cwd)
        registration = workflows.registry.find(request.name, project, call.principal, request.owner)
        key = request.idempotency_key
        run = await workflows.execute(
            registration,
            request.input,
            caller_of(call),
            key=None if key is None else f"execute:{own_key(call, key)}",
        )
    return await _result(engine, call, run, wait=request.wait_ms, limit=STEPS_SHOWN)


async def get_workflow_status(
    engine: Engine, call: Call, request: ask.GetWorkflowStatus
) -> view.RunResult:
    """Return a run with its steps, waiting for its end when that is wanted."""
    run = await engine.workflows.runs.get(request.run_id)
    return await _result(engine, call, run, wait=request.wait_ms, limit=request.limit)


async def cancel_workflow(
    engine: Engine, call: Call, request: ask.CancelWorkflow
) -> view.CancelledResult:
    """End a run, and return when that is done, or nearly."""
    asked = await engine.workflows.cancel(request.run_id)
    limit = min(engine.settings.kill_grace_ms + 2_000, engine.settings.max_wait_ms) / 1000
    run = await engine.workflows.runs.wait(request.run_id, timeout=limit)
    return {
        "success": True,
        "cancelled": asked,
        "run": view.run_view(summary(run)),
    }


async def list_workflows(
    engine: Engine, call: Call, request: ask.ListWorkflows
) -> view.WorkflowsResult:
    """Return the workflows and the latest runs."""
    project = named_project(request.project, field="project")
    found = engine.workflows.registry.visible(call.principal, project, Action.LIST)
    runs = await engine.workflows.latest(
        project=project, name=request.name, limit=request.limit, principal=call.principal
    )
    return {
        "success": True,
        "workflows": [
            view.workflow_view(each) for each in found if request.name in (None, each.workflow.name)
        ],
        "runs": [view.run_view(each) for each in runs],
    }


async def remove_workflow(
    engine: Engine, call: Call, request: ask.RemoveWorkflow
) -> view.RemovedResult:
    """Forget a workflow."""
    project = named_project(request.project, field="project") or project_of(call.cwd)
    gone = await engine.workflows.registry.remove(
        request.name, project, call.principal, request.owner
    )
    return {"success": True, "name": request.name, "project": gone.project}


async def _result(
    engine: Engine, call: Call, run: WorkflowRun, *, wait: float, limit: int
) -> view.RunResult:
    runs = engine.workflows.runs
    wait = min(wait / 1000, engine.settings.max_wait_ms / 1000, call.patience)
    if wait:
        waiting = runs.wait(run.id, timeout=wait)
        run = await telling(
            engine.settings, call, wait, waiting, lambda: f"{run.id}: {runs.progress(run.id)}"
        )
    return run_result(engine, run, limit=limit)


def run_result(engine: Engine, run: WorkflowRun, *, limit: int = STEPS_SHOWN) -> view.RunResult:
    """Return a run with its steps as clients see it."""
    return view.run_result(run, _jobs_of(engine, run), limit=limit)


def _jobs_of(engine: Engine, run: WorkflowRun) -> dict[str, Job]:
    """Return the jobs of the steps that are running."""
    live = (
        engine.jobs.ledger.active(state.job_id)
        for state in run.steps.values()
        if state.status is StepStatus.RUNNING and state.job_id is not None
    )
    return {job.id: job for job in live if job is not None}
