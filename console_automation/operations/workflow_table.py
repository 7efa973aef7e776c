"""The operations about workflows."""

from console_automation.operations import workflow_requests as requests
from console_automation.operations import workflow_texts as texts
from console_automation.operations import workflow_views as views
from console_automation.operations import workflows
from console_automation.operations.operation import Operation

WORKFLOW_OPERATIONS = (
    Operation(
        toolset="workflows",
        guarded=True,
        name="console_register_workflow",
        title="Keep a workflow",
        description=(
            "Keep a workflow: steps that are job definitions (console_register_job), each starting as"
            " soon as the steps it depends on are done. A step whose condition is false is skipped and"
            " its dependents run; when a step fails its dependents are skipped, unless"
            " continueOnError. Cycles, unknown steps and unknown jobs are refused. Replaces your"
            " workflow of that name in the project."
        ),
        request=requests.RegisterWorkflow,
        result=views.RegisteredResult,
        run=workflows.register_workflow,
        text=texts.registered,
        idempotent=True,
    ),
    Operation(
        toolset="workflows",
        guarded=True,
        name="console_execute_workflow",
        title="Run a workflow",
        description=(
            "Begin a run of a workflow and return its runId at once, or with waitMs when it is over."
            " It goes on whoever dies. With rerunOf only what did not complete is done again."
        ),
        request=requests.ExecuteWorkflow,
        result=views.RunResult,
        run=workflows.execute_workflow,
        text=texts.ran,
        destructive=True,
        open_world=True,
    ),
    Operation(
        toolset="workflows",
        guarded=True,
        name="console_get_workflow_status",
        title="Workflow run",
        description=(
            "Return how a run stands and each of its steps: status, attempts, times, result, and the"
            " jobId for console_get_job_output. With waitMs it waits for the run's end."
        ),
        request=requests.GetWorkflowStatus,
        result=views.RunResult,
        run=workflows.get_workflow_status,
        text=texts.ran,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="workflows",
        guarded=True,
        name="console_cancel_workflow",
        title="Cancel a workflow run",
        description="End a run: its live steps are ended with all their processes, no other starts.",
        request=requests.CancelWorkflow,
        result=views.CancelledResult,
        run=workflows.cancel_workflow,
        text=texts.cancelled,
        destructive=True,
        idempotent=True,
    ),
    Operation(
        toolset="workflows",
        guarded=True,
        name="console_list_workflows",
        title="List workflows",
        description="List the workflows and the latest runs.",
        request=requests.ListWorkflows,
        result=views.WorkflowsResult,
        run=workflows.list_workflows,
        text=texts.listed,
        read_only=True,
        idempotent=True,
    ),
    Operation(
        toolset="workflows",
        guarded=True,
        name="console_remove_workflow",
        title="Remove a workflow",
        description="Forget a workflow. Its runs go on, and stay.",
        request=requests.RemoveWorkflow,
        result=views.RemovedResult,
        run=workflows.remove_workflow,
        text=texts.removed,
        destructive=True,
        idempotent=True,
    ),
)
