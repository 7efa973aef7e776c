"""The use cases about jobs, for those of the cluster. Whatever its worker knows better is asked there."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import BaseModel

from console_automation.core.cluster_job import Cancel, ClusterJob, ClusterPhase
from console_automation.core.cluster_names import ANY_QUEUE
from console_automation.core.job import Status
from console_automation.core.target import parse_target
from console_automation.core.text import counted
from console_automation.engine.engine import Engine
from console_automation.errors import (
    Conflict,
    ConsoleAutomationError,
    JobNotFound,
    Unavailable,
)
from console_automation.operations import definition_requests, definition_views, texts
from console_automation.operations import requests as ask
from console_automation.operations import views as view
from console_automation.operations.cluster_kept import has_read_all, kept_page, numbered, page_of
from console_automation.operations.cluster_requests import ForgetJob
from console_automation.operations.cluster_views import (
    ForgetResult,
    chunks_before,
    cluster_job_view,
    gateway_of,
    is_cluster_job,
)
from console_automation.operations.operation import Operation
from console_automation.operations.submission import Call, telling

_OVER = tuple(each for each in Status if each not in (Status.PENDING, Status.RUNNING))
_NOT_CANCELLED = (Status.COMPLETED, Status.FAILED, Status.INTERRUPTED)
#: That a worker is asked for: with all that JSON adds it has to fit a message.
_PAGE_BYTES = 1 << 17
_PAGE_CHUNKS = 1_000


def action_for(
    operation: Operation, request: BaseModel
) -> Callable[[Engine, Call, Any], Awaitable[Any]]:
    """Return what carries out an operation for this request: jobs of the cluster are asked for there."""
    named = getattr(request, "job_ids", None) or [getattr(request, "job_id", None) or ""]
    if operation.in_cluster is None or not any(map(is_cluster_job, named)):
        return operation.run
    return operation.in_cluster


async def get_job_result(
    engine: Engine, call: Call, request: definition_requests.GetJobResult
) -> definition_views.ResultResult:
    """Return what a job came to, waiting for its end when that is wanted."""
    if request.wait_ms:
        await until_over(engine, call, request.job_id, request.wait_ms / 1000)
    return await result_of(engine, request.job_id)


async def result_of(engine: Engine, job_id: str) -> definition_views.ResultResult:
    """Return what a job came to so far."""
    seen = await _view(engine, job_id)
    result: Any = {"success": True, "jobId": job_id, "status": seen["status"]}
    result |= {name: seen[name] for name in ("exitCode", "attempt")}
    result |= {name: seen[name] for name in ("reason", "error") if name in seen}
    job = await gateway_of(engine).get(job_id)
    if job.is_over and job.outcome is not None and job.outcome.result is not None:
        result["result"] = json.loads(job.outcome.result)
    elif job.phase is ClusterPhase.COMPLETED and "definition" in job.request and not job.is_group:
        result |= await _result_there(engine, job)
    return result  # type: ignore[no-any-return]


async def _result_there(engine: Engine, job: ClusterJob) -> Mapping[str, Any]:
    """Return the result that the record does not have from the worker, which may know of none either."""
    try:
        said = await gateway_of(engine).ask(job, "console_get_job_result", {})
    except ConsoleAutomationError as error:
        return {"error": f"Whether it has a result is not known now: {error.message}"}
    return {"result": said["result"]} if "result" in said else {}


async def started(engine: Engine, call: Call, job: ClusterJob, wait: float) -> view.ExecuteResult:
    """Return what is to be said of a job that was taken in, waiting for its end when that is wanted."""
    if wait:
        await until_over(engine, call, job.id, wait)
    # What was taken in a moment ago has nothing to tell but that; its worker need not be asked.
    is_new = not wait and job.phase is ClusterPhase.PENDING and not job.is_group
    seen = cluster_job_view(engine, job) if is_new else await _view(engine, job.id)
    result: view.ExecuteResult = {
        "success": True,
        "jobId": job.id,
        "status": seen["status"],
        "job": seen,
    }
    if wait and seen["status"] in _OVER and "children" not in seen:
        options = ask.OutputOptions.model_validate({"latest": True})
        request = ask.GetJobOutput.model_construct(job_id=job.id, options=options)
        result["output"] = (await get_job_output(engine, call, request))["output"]
    return result


async def get_job_status(engine: Engine, call: Call, request: ask.GetJobStatus) -> view.JobResult:
    """Return a job, waiting for its end when that is wanted."""
    if request.wait_ms:
        await until_over(engine, call, request.job_id, request.wait_ms / 1000)
    return {"success": True, "job": await _view(engine, request.job_id)}


async def until_over(engine: Engine, call: Call, job_id: str, wait: float) -> None:
    """Wait for the end of a job, at most as long as a call may wait."""
    wait = min(wait, engine.settings.max_wait_ms / 1000, call.patience)
    waiting = gateway_of(engine).wait(job_id, timeout=wait)
    await telling(engine.settings, call, wait, waiting, lambda: f"waiting for {job_id}")


async def _view(engine: Engine, job_id: str) -> view.JobView:
    """Return a job as it is; what runs is asked of its worker, if that answers."""
    gateway = gateway_of(engine)
    job = await gateway.get(job_id)
    if job.is_group:
        return cluster_job_view(engine, job, await gateway.family(job))
    live: view.JobView | None = None
    if job.phase is ClusterPhase.CLAIMED and gateway.hears_of(job):
        try:
            live = (await gateway.ask(job, "console_get_job_status", {}))["job"]
        except (Unavailable, JobNotFound):
            live = None  # what it says then is that its worker is not heard of, if that is so
    return cluster_job_view(engine, job, live=live)


async def get_job_output(
    engine: Engine, call: Call, request: ask.GetJobOutput
) -> view.OutputResult:
    """Return a page of output from the worker that has it; if that is gone, what was kept of it."""
    gateway = gateway_of(engine)
    job = await gateway.get(request.job_id)
    options = request.options
    if job.is_group:
        raise _is_several(job, "read the output of")
    wait = min(options.wait_ms, engine.settings.max_wait_ms)
    limit = time.monotonic() + wait / 1000
    if job.holder is None:
        job = await _next_attempt(engine, job, limit)
        if job.holder is None:
            return page_of(job, (), options.since)
    before = chunks_before(job)
    asked = options.model_dump(mode="json", by_alias=True, exclude_defaults=True) | {
        "since": max(0, options.since - before),
        "maxBytes": min(options.max_bytes or engine.settings.output_page_bytes, _PAGE_BYTES),
        "limit": min(options.limit or engine.settings.output_page_chunks, _PAGE_CHUNKS),
        "waitMs": wait,
    }
    asking = gateway.ask(job, "console_get_job_output", {"options": asked}, patience=wait / 1000)
    try:
        page: Any = await telling(
            engine.settings, call, wait / 1000, asking, lambda: f"no output of {job.id} yet"
        )
    except (Unavailable, JobNotFound):
        kept = kept_page(job, engine.settings, options)
        if kept is not None:
            return kept
        if not has_read_all(job, options):
            raise  # who reads on is to miss nothing: the worker may come back
        now = await _next_attempt(engine, job, limit)
        rest = page_of(job, (), options.since)
        rest["status"] = now.status if now.epoch == job.epoch else Status.RUNNING
        return rest
    # Over is only what the record says is over; and only if its worker has said so of this page, for
    # else there may be more output than the page has, or another attempt.
    now = job
    if page["status"] in _OVER and not job.is_over:
        has_news = page["output"] or page["hasMore"]
        now = await _next_attempt(engine, job, 0 if has_news else limit)
    status = now.status if now.epoch == job.epoch else Status.RUNNING
    page |= {
        "jobId": job.id,
        "status": status,
        "output": numbered(page["output"], before),
        "nextSince": page["nextSince"] + before,
    }
    if page["firstAvailableSequence"] is not None:
        page["firstAvailableSequence"] += before
    return page  # type: ignore[no-any-return]


def _is_several(job: ClusterJob, what: str) -> Conflict:
    """Return the error for what can only be done with one of a group's jobs."""
    names = ", ".join(f"{child.id} ({child.host})" for child in job.children)
    workers = counted(len(job.children), "worker")
    return Conflict(f"Job {job.id} is for {workers}; {what} each: {names}.", jobId=job.id)


async def _next_attempt(engine: Engine, job: ClusterJob, limit: float) -> ClusterJob:
    """Return the job once a worker has taken it that had it not, it is over, or the time has come."""
    gateway = gateway_of(engine)
    while True:
        now = await gateway.get(job.id)
        left = limit - time.monotonic()
        if now.is_over or now.epoch != job.epoch or left <= 0:
            return now
        await gateway.changes.wait([job.id], enough=1, timeout=min(left, 1.0))


async def cancel_job(engine: Engine, call: Call, request: ask.CancelJob) -> view.CancelResult:
    """End a job wherever it is, and return when that is done, or nearly."""
    gateway, settings = gateway_of(engine), engine.settings
    grace = settings.kill_grace_ms if request.grace_ms is None else request.grace_ms
    cancel = Cancel(signal=request.signal, grace_ms=grace, by=call.client)
    asked = await gateway.cancel(request.job_id, cancel)
    limit = min(grace + 2_000, settings.max_wait_ms) / 1000
    await gateway.wait(request.job_id, timeout=limit if asked else 0)
    seen = await _view(engine, request.job_id)
    if not asked:
        message = f"{seen['id']} was over already: {texts.verdict(seen)}. Nothing was changed."
    elif seen["status"] == Status.INTERRUPTED:
        message = f"{texts.job_line(seen)}. Should it still go on there, it is ended."
    elif seen["status"] in _OVER:
        message = texts.job_line(seen)
    else:
        message = (
            f"{seen['id']} is to be ended; its worker has not said yet that it is. Call"
            " console_get_job_status with waitMs."
        )
    return {
        "success": True,
        "jobId": seen["id"],
        "cancelled": asked and seen["status"] not in _NOT_CANCELLED,
        "status": seen["status"],
        "message": message,
    }


async def send_job_input(engine: Engine, call: Call, request: ask.SendJobInput) -> view.InputResult:
    """Write to the stdin of a job on its worker."""
    gateway = gateway_of(engine)
    job = await gateway.get(request.job_id)
    if job.is_group:
        raise _is_several(job, "send it to")
    arguments = {"input": request.input, "eof": request.eof}
    said: Any = await gateway.ask(job, "console_send_job_input", arguments, by=call.client)
    return {**said, "jobId": job.id}  # type: ignore[typeddict-item]


async def wait_for_jobs(engine: Engine, call: Call, request: ask.WaitForJobs) -> view.WaitResult:
    """Wait until all the jobs, or one of them, are over, wherever they are."""
    limit = engine.settings.max_wait_ms
    timeout = min(limit if request.timeout is None else request.timeout, limit) / 1000
    await telling(
        engine.settings,
        call,
        timeout,
        _all_or_any(engine, request, timeout),
        lambda: f"waiting for {counted(len(request.job_ids), 'job')}",
    )
    seen = await asyncio.gather(*(_any_view(engine, job_id) for job_id in request.job_ids))
    return {
        "success": True,
        "jobs": list(seen),
        "unfinished": [each["id"] for each in seen if each["status"] not in _OVER],
    }


async def _all_or_any(engine: Engine, request: ask.WaitForJobs, timeout: float) -> None:
    waits = [
        asyncio.ensure_future(
            gateway_of(engine).wait(job_id, timeout=timeout)
            if is_cluster_job(job_id)
            else engine.jobs.wait([job_id], timeout=timeout)
        )
        for job_id in dict.fromkeys(request.job_ids)
    ]
    until = asyncio.FIRST_COMPLETED if request.mode == "any" else asyncio.ALL_COMPLETED
    try:
        done, _ = await asyncio.wait(waits, return_when=until)
        for each in done:
            each.result()
    finally:
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def _any_view(engine: Engine, job_id: str) -> view.JobView:
    if is_cluster_job(job_id):
        return await _view(engine, job_id)
    job = await engine.jobs.ledger.get(job_id)
    return view.job_view(job, engine.output.counts(job), engine.jobs.standing(job))


async def forget_job(engine: Engine, call: Call, request: ForgetJob) -> ForgetResult:
    """Remove a finished job, with its children."""
    await gateway_of(engine).forget(request.job_id)
    return {"success": True, "jobId": request.job_id, "forgotten": True}


async def retry_job(engine: Engine, call: Call, request: ask.RetryJob) -> view.ExecuteResult:
    """Take a job that is over into the cluster again, for the same target."""
    gateway = gateway_of(engine)
    job = await gateway.get(request.job_id)
    if not await gateway.is_over(job.id):
        raise Conflict(
            f"Job {job.id} is {job.status}; only a finished job can be retried. Cancel it first, or wait"
            " for its end.",
            jobId=job.id,
            status=job.status,
        )
    again = ClusterJob(
        id=gateway.new_id(),
        request=job.request,
        target=job.target,
        queue=ANY_QUEUE,
        created_at=engine.jobs.clock.now(),
        client=call.client,
        owner=job.owner,
        retry=job.retry,
        retry_of=job.id,
    )
    taken = await gateway.submit(again, parse_target(job.target))
    return await started(engine, call, taken, 0)
