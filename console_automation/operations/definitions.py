"""The use cases about job definitions."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

from console_automation.core.access import Action, Rule
from console_automation.core.definition import Caller, JobDefinition, Source
from console_automation.core.job import Job
from console_automation.engine.commands import project_of
from console_automation.engine.engine import Engine
from console_automation.operations import definition_requests as ask
from console_automation.operations import definition_views as view
from console_automation.operations.cluster_execution import execute_definition
from console_automation.operations.jobs import ended, job_view
from console_automation.operations.submission import Call, retry_policy


def definition_of(request: ask.RegisterJob, *, source: Source) -> JobDefinition:
    """Return the definition that a request, or a table of a project's file, describes."""
    return JobDefinition(
        name=request.name,
        description=request.description,
        command=request.command,
        args=None if request.args is None else tuple(request.args),
        environment=request.environment,
        working_directory=request.working_directory,
        input_schema=request.input_schema,
        output_schema=request.output_schema,
        timeout=None if request.timeout is None else request.timeout / 1000,
        retry=retry_policy(request.retry),
        tags=tuple(request.tags),
        labels=request.labels,
        permissions=rules_of(request.permissions),
        hidden=request.hide_from_discovery,
        target=request.target,
        source=source,
    )


def rules_of(permissions: Sequence[ask.Permission]) -> tuple[Rule, ...]:
    """Return the rules that a request gives."""
    return tuple(
        Rule(
            action=Action(each.action),
            roles=tuple(each.roles),
            scopes=tuple(each.scopes),
            guard=each.custom,
        )
        for each in permissions
    )


def caller_of(call: Call) -> Caller:
    """Return for whom the jobs of a call are made."""
    return Caller(
        client=call.client,
        principal=call.principal.name,
        environment=call.environment,
        cwd=call.cwd,
    )


async def register_job(engine: Engine, call: Call, request: ask.RegisterJob) -> view.RegisterResult:
    """Keep a definition."""
    definition = definition_of(request, source=Source.REGISTERED)
    replaced = await engine.definitions.register(definition, call.principal)
    return {"success": True, "name": definition.name, "replaced": replaced}


async def remove_job(engine: Engine, call: Call, request: ask.RemoveJob) -> view.RemoveResult:
    """Forget a definition."""
    await engine.definitions.remove(request.name, call.principal)
    return {"success": True, "name": request.name}


async def list_job_definitions(
    engine: Engine, call: Call, request: ask.ListJobDefinitions
) -> view.DefinitionsResult:
    """Return a page of definitions, by name."""
    project = project_of(call.cwd)
    if request.name is not None:
        found = [engine.definitions.find(request.name, project, call.principal)]
    else:
        found = [
            each
            for each in engine.definitions.listed(project, call.principal)
            if each.matches(tags=request.tags, labels=request.labels, query=request.query)
        ]
    rest = [each for each in found if request.after is None or each.name > request.after]
    shown = rest[: request.limit]
    result: view.DefinitionsResult = {
        "success": True,
        "definitions": [view.definition_view(each) for each in shown],
        "total": len(found),
    }
    if len(rest) > len(shown):
        result["nextAfter"] = shown[-1].name
    return result


async def execute_job(engine: Engine, call: Call, request: ask.ExecuteJob) -> view.ResultResult:
    """Start a defined job, and wait for its result unless it is to stay in the background."""
    definition, given = await engine.definitions.permitted(
        request.name, request.input, caller_of(call)
    )
    target = request.target or definition.target
    if target is not None:
        return await execute_definition(engine, call, request, definition, given, target)
    spec = engine.definitions.spec_of(definition, given, caller_of(call))
    if request.idempotency_key is not None:
        asked = json.dumps([request.name, request.input, spec.command.cwd], sort_keys=True)
        spec = replace(
            spec,
            idempotency_key=own_key(call, request.idempotency_key),
            fingerprint=hashlib.sha256(asked.encode()).hexdigest(),
        )
    job = await engine.jobs.submit(spec)
    if not request.background:
        job = await ended(engine, call, job, engine.settings.max_wait_ms / 1000)
    return await _result(engine, job)


def own_key(call: Call, key: str) -> str:
    """Return a key as nobody else has it, no other principal and no schedule: it would find their job."""
    return key if call.principal.is_admin else f"principal:{call.principal.name}:{key}"


async def get_job_result(
    engine: Engine, call: Call, request: ask.GetJobResult
) -> view.ResultResult:
    """Return what a job came to, waiting for its end when that is wanted."""
    job = await engine.jobs.ledger.get(request.job_id)
    if request.wait_ms:
        job = await ended(engine, call, job, request.wait_ms / 1000)
    return await _result(engine, job)


async def _result(engine: Engine, job: Job) -> view.ResultResult:
    seen = job_view(engine, job)
    result: view.ResultResult = {
        "success": True,
        "jobId": job.id,
        "status": job.status,
        "exitCode": seen["exitCode"],
        "attempt": seen["attempt"],
    }
    if "reason" in seen:
        result["reason"] = seen["reason"]
    if "error" in seen:
        result["error"] = seen["error"]
    data = await engine.jobs.ledger.store.result(job.id) if job.is_terminal else None
    if data is not None:
        result["result"] = json.loads(data)
    return result
