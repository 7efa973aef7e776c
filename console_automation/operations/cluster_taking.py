"""What a worker has done besides what is offered to clients: a typed job, whose definition came with it."""

from dataclasses import replace

from pydantic import Field
from typing_extensions import TypedDict

from console_automation.core.codec import definition_from_plain
from console_automation.core.job import Status
from console_automation.core.retry import RetryPolicy
from console_automation.engine.engine import Engine
from console_automation.operations.definition_requests import Json
from console_automation.operations.definitions import caller_of
from console_automation.operations.operation import Operation
from console_automation.operations.requests import Name, Request
from console_automation.operations.submission import Call


class TakeDefinition(Request):
    """A definition in its plain form, and an input that was checked where it was given."""

    definition: Json
    input: Json
    key: Name
    earlier: int = Field(0, ge=0, description="Attempts that were made before this one.")


class TakenResult(TypedDict):
    """The job that it became."""

    success: bool
    jobId: str
    status: Status


async def take_definition(engine: Engine, call: Call, request: TakeDefinition) -> TakenResult:
    """Submit a typed job, once for a key. The cluster sees to its retries."""
    definition = definition_from_plain(request.definition)
    spec = engine.definitions.spec_of(definition, request.input, caller_of(call))
    spec = replace(
        spec,
        contract=spec.contract and replace(spec.contract, earlier=request.earlier),
        retry=RetryPolicy(),
        idempotency_key=request.key,
        fingerprint=request.key,
    )
    job = await engine.jobs.submit(spec)
    return {"success": True, "jobId": job.id, "status": job.status}


TAKING = {
    "take_definition": Operation(
        toolset="cluster",
        name="take_definition",
        title="Take a typed job",
        description="Run a typed job of the cluster.",
        request=TakeDefinition,
        result=TakenResult,
        run=take_definition,
        text=lambda result: str(result["jobId"]),
    )
}
