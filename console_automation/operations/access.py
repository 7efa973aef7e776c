"""What a principal who is no admin may do: the one place that every request passes.

They may call the operations that look at permissions themselves, and name their own jobs. A job of
somebody else is answered for like one that does not exist.
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
    """Raise AccessDenied for what is the admins' alone, JobNotFound for a job of somebody else."""
    principal = call.principal
    if not operation.guarded:
        raise AccessDenied(
            f"{operation.name} is for the user of this machine; {principal.name} may run job"
            " definitions (console_list_job_definitions, console_execute_job)."
        )
    named = getattr(request, "job_ids", None) or [getattr(request, "job_id", None)]
    for job_id in filter(None, named):
        if not principal.owns(await _owner(engine, job_id)):
            raise JobNotFound(job_id)


async def _owner(engine: Engine, job_id: str) -> str:
    if is_cluster_job(job_id):
        return (await gateway_of(engine).get(job_id)).owner
    return (await engine.jobs.ledger.get(job_id)).spec.owner
