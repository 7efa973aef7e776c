"""What a principal who is no admin may do: the one place that every request passes.

They may call the operations that look at permissions themselves, with a scope some others, and name
their own jobs and runs of workflows. What is somebody else's is answered for like what does not exist.
"""

from pydantic import BaseModel

from console_automation.engine.engine import Engine
from console_automation.errors import AccessDenied, JobNotFound
from console_automation.operations.cluster_views import gateway_of, is_cluster_job
from console_automation.operations.operation import Operation
from console_automation.operations.submission import Call


async def check_access(
    engine: Engine, call: Call, operation: Operation, request: BaseModel
) -> None:
    """Raise AccessDenied for what is the admins' alone, JobNotFound or WorkflowNotFound for a job or a
    workflow's run of somebody else."""
    principal = call.principal
    if call.scope is not None and call.scope not in principal.scopes:
        raise AccessDenied(
            f"This needs the scope {call.scope}, which {principal.name} does not have."
        )
    if not operation.is_for(principal):
        raise AccessDenied(
            f"{operation.name} is for the user of this machine; {principal.name} may run job"
            " definitions (console_list_job_definitions, console_execute_job)."
        )
    named = getattr(request, "job_ids", None) or [getattr(request, "job_id", None)]
    for job_id in filter(None, named):
        if not principal.owns(await _owner(engine, job_id)):
            raise JobNotFound(job_id)
    for field in ("run_id", "rerun_of"):
        run_id = getattr(request, field, None)
        if run_id is not None:
            await engine.workflows.runs.get(run_id, principal)


async def _owner(engine: Engine, job_id: str) -> str:
    if is_cluster_job(job_id):
        return (await gateway_of(engine).get(job_id)).owner
    return (await engine.jobs.ledger.get(job_id)).spec.owner
