"""The use cases about jobs. Each takes the application, the call it is part of, and a checked request."""

import signal
import time

from console_automation.core.job import (
    Job,
    Status,
)
from console_automation.core.output import text_of
from console_automation.core.text import counted, human_bytes, human_seconds, sanitize
from console_automation.engine.commands import named_project
from console_automation.engine.engine import Engine
from console_automation.engine.references import meant
from console_automation.engine.retention import FINISHED
from console_automation.errors import AccessDenied, BadRequest, Conflict
from console_automation.operations import requests as ask
from console_automation.operations import texts
from console_automation.operations import views as view
from console_automation.operations.cluster_execution import execute_in_cluster
from console_automation.operations.cluster_lists import list_cluster_jobs
from console_automation.operations.cluster_requests import ForgetJob
from console_automation.operations.cluster_views import ForgetResult, is_cluster_job
from console_automation.operations.session_commands import execute_in_session, in_scope
from console_automation.operations.submission import (
    Call,
    background_spec,
    job_spec,
    newest,
    query_of,
    telling,
)
from console_automation.ports.stores import JobFilter


async def execute_async(
    engine: Engine, call: Call, request: ask.ExecuteAsync
) -> view.ExecuteResult:
    """Submit a job, and wait for its end when that is wanted."""
    options = request.options
    if options.target is not None:
        return await execute_in_cluster(engine, call, request)
    _refuse_others(call, "a command of their own has options.target")
    call = await in_scope(engine, call, options.session_id)
    job = await engine.jobs.submit(background_spec(engine, call, request))
    if options.wait_ms:
        job = await ended(engine, call, job, options.wait_ms / 1000)
    result: view.ExecuteResult = {
        "success": True,
        "jobId": job.id,
        "status": job.status,
        "job": job_view(engine, job),
    }
    if options.wait_ms and job.is_terminal:
        page = await engine.output.read(job.id, newest(engine.settings))
        result["output"] = view.chunk_views(page.page.chunks, raw=False)
    return result


async def execute_command(
    engine: Engine, call: Call, request: ask.ExecuteCommand
) -> view.CommandResult:
    """Run a command in the foreground; when its time is up it goes on as a job."""
    if request.session_id is not None:
        return await execute_in_session(engine, call, request, request.session_id)
    options = request.options
    settings = engine.settings
    wait = settings.max_wait_ms if options.timeout is None else options.timeout
    timeout = options.timeout if options.kill_on_timeout else None
    spec = job_spec(
        engine,
        call,
        request,
        options,
        timeout=(settings.job_timeout_ms if timeout is None else timeout) / 1000 or None,
        output_limit=settings.output_limit_bytes,
    )
    began = time.monotonic()
    job = await engine.jobs.submit(spec)
    if options.kill_on_timeout:
        wait += settings.kill_grace_ms + 2_000
    job = await ended(engine, call, job, wait / 1000)
    waited = time.monotonic() - began
    return await command_result(engine, job, waited)


async def command_result(engine: Engine, job: Job, waited: float) -> view.CommandResult:
    """Return what a foreground command has come to; `waited` seconds count while it is not over."""
    read = await engine.output.read(job.id, newest(engine.settings))
    shown = sum(len(chunk.data) for chunk in read.page.chunks)
    seen = view.job_view(read.printer, read.counts, None)
    result: view.CommandResult = {
        "success": True,
        "jobId": job.id,
        "status": job.status,
        "exitCode": seen["exitCode"],
        "durationMs": seen.get("durationMs", round(waited * 1000)),
        "timeout": seen["timeout"],
        "output": sanitize(text_of(read.page.chunks)),
        "omittedBytes": max(0, read.counts.bytes - shown),
        "nextSince": read.page.next_since,
    }
    if "reason" in seen:
        result["reason"] = seen["reason"]
    if "signal" in seen:
        result["signal"] = seen["signal"]
    if "error" in seen:
        result["error"] = seen["error"]
    if "leftovers" in seen:
        result["leftovers"] = seen["leftovers"]
    return result


async def get_job_status(engine: Engine, call: Call, request: ask.GetJobStatus) -> view.JobResult:
    """Return a job, waiting for its end when that is wanted."""
    job = await engine.jobs.ledger.get(request.job_id)
    if request.wait_ms:
        job = await ended(engine, call, job, request.wait_ms / 1000)
    seen = job_view(engine, job)
    progress, log = await engine.jobs.reports.told_by(job)
    if progress is not None:
        seen["progress"] = view.progress_view(progress)
    if log:
        seen["logs"] = [sanitize(line) for line in log]
    return {"success": True, "job": seen}


async def get_job_output(
    engine: Engine, call: Call, request: ask.GetJobOutput
) -> view.OutputResult:
    """Return a page of output, waiting for some when that is wanted."""
    query = query_of(engine.settings, request.options)
    reading = engine.output.read(request.job_id, query)
    if query.wait:
        page = await telling(
            engine.settings, call, query.wait, reading, lambda: f"no output of {request.job_id} yet"
        )
    else:
        page = await reading
    return view.output_view(page, raw=request.options.raw)


async def cancel_job(engine: Engine, call: Call, request: ask.CancelJob) -> view.CancelResult:
    """End a job with all its processes and return when that is done, or nearly."""
    settings = engine.settings
    grace = settings.kill_grace_ms if request.grace_ms is None else request.grace_ms
    asked = await engine.jobs.cancel(
        request.job_id,
        signal=signal.Signals[request.signal],
        grace=grace / 1000,
        by=call.client,
    )
    limit = min(grace + 2_000, settings.max_wait_ms) / 1000
    [job] = await engine.jobs.wait([request.job_id], timeout=limit)
    seen = job_view(engine, job)
    if not asked:
        message = f"{job.id} was over already: {texts.verdict(seen)}. Nothing was changed."
    elif job.status is Status.CANCELLED:
        message = f"{texts.job_line(seen)}. None of its processes is left."
    elif job.is_terminal:
        message = f"It ended by itself before the signal came: {texts.job_line(seen)}"
    else:
        message = (
            f"{request.signal} was sent to {job.id}; whatever is left after"
            f" {human_seconds(grace / 1000)} is killed. Call console_get_job_status with waitMs."
        )
    return {
        "success": True,
        "jobId": job.id,
        "cancelled": asked and (job.status is Status.CANCELLED or not job.is_terminal),
        "status": job.status,
        "message": message,
    }


async def list_jobs(engine: Engine, call: Call, request: ask.ListJobs) -> view.ListResult:
    """Return a page of jobs, newest first."""
    options = request.options
    if options.cluster is not None or is_cluster_job(options.ref or ""):
        return await list_cluster_jobs(engine, call, options)
    ledger, at_most = engine.jobs.ledger, options.limit + 1
    project = named_project(options.project, field="options.project")
    owner = None if call.principal.is_admin else call.principal.name
    if options.ref is not None:
        _refuse_filters(options)
        jobs, total = await meant(
            ledger, options.ref, project=project, limit=options.limit, owner=owner
        )
    else:
        wanted = JobFilter(
            statuses=_statuses(options.status),
            session_id=options.session_id,
            name=options.name,
            project=project,
            owner=owner,
            tags=options.tags,
        )
        jobs, total = await ledger.page(wanted, before=options.cursor, limit=at_most)
    shown = jobs[: options.limit]
    result: view.ListResult = {
        "success": True,
        "jobs": [job_view(engine, job) for job in shown],
        "total": total,
    }
    if len(jobs) > len(shown):
        result["nextCursor"] = shown[-1].id
    return result


def _refuse_filters(options: ask.ListOptions) -> None:
    if options.status or options.session_id or options.name or options.tags or options.cursor:
        raise BadRequest(
            "Only options.project and options.limit go with options.ref; leave the others out.",
            field="options.ref",
        )


def _statuses(asked: ask.ListedStatus | None) -> tuple[Status, ...]:
    if asked == "active":
        return tuple(status for status in Status if status not in FINISHED)
    return () if asked is None else (Status(asked),)


async def get_job_metrics(
    engine: Engine, call: Call, request: ask.GetJobMetrics
) -> view.MetricsResult:
    """Return the figures."""
    counts = engine.jobs.ledger.counts
    timings = await engine.jobs.ledger.store.timings()
    queue = engine.jobs.dispatcher.queue
    return {
        "success": True,
        "metrics": {
            "totalJobs": counts.total(),
            "pendingJobs": counts[Status.PENDING],
            "runningJobs": counts[Status.RUNNING],
            "completedJobs": counts[Status.COMPLETED],
            "failedJobs": counts[Status.FAILED],
            "cancelledJobs": counts[Status.CANCELLED],
            "interruptedJobs": counts[Status.INTERRUPTED],
            "queueSize": len(queue),
            "concurrency": {"current": queue.live, "maximum": queue.total},
            "averageExecutionTime": _ms(timings.mean_run),
            "queueWaitMs": {"p50": _ms(timings.wait_p50), "p95": _ms(timings.wait_p95)},
            "runTimeMs": {"p50": _ms(timings.run_p50), "p95": _ms(timings.run_p95)},
            "systemLoad": round(engine.jobs.admission.gauge.load_per_cpu(), 3),
        },
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


async def cleanup_jobs(engine: Engine, call: Call, request: ask.CleanupJobs) -> view.CleanupResult:
    """Remove finished jobs."""
    options = request.options
    age = engine.settings.retain_jobs_ms if options.max_age is None else options.max_age
    statuses = [Status(name) for name in options.statuses] if options.statuses else FINISHED
    cleaned = await engine.retention.clean(
        max_age=age / 1000,
        keep=options.keep_count,
        statuses=statuses,
        project=named_project(options.project, field="options.project"),
    )
    return {"success": True, "cleaned": cleaned, "remaining": engine.jobs.ledger.counts.total()}


async def wait_for_jobs(engine: Engine, call: Call, request: ask.WaitForJobs) -> view.WaitResult:
    """Wait until all the jobs, or one of them, are over."""
    limit = engine.settings.max_wait_ms
    timeout = min(limit if request.timeout is None else request.timeout, limit) / 1000
    enough = 1 if request.mode == "any" else None
    waiting = engine.jobs.wait(request.job_ids, timeout=timeout, enough=enough)
    jobs = await telling(
        engine.settings,
        call,
        timeout,
        waiting,
        lambda: f"waiting for {counted(len(request.job_ids), 'job')}",
    )
    return {
        "success": True,
        "jobs": [job_view(engine, job) for job in jobs],
        "unfinished": [job.id for job in jobs if not job.is_terminal],
    }


async def retry_job(engine: Engine, call: Call, request: ask.RetryJob) -> view.ExecuteResult:
    """Run a finished job's command again."""
    _refuse_others(call, "run its definition instead (console_execute_job)")
    job = await engine.jobs.retry(request.job_id, client=call.client)
    return {
        "success": True,
        "jobId": job.id,
        "status": job.status,
        "job": job_view(engine, job),
    }


def _refuse_others(call: Call, instead: str) -> None:
    """Raise AccessDenied for a principal whose scope is for the cluster: a command that runs here could
    read this machine's tokens."""
    if not call.principal.is_admin:
        raise AccessDenied(
            f"Commands on this machine are for its user; {call.principal.name} may run them in the"
            f" cluster: {instead}."
        )


async def forget_job(engine: Engine, call: Call, request: ForgetJob) -> ForgetResult:
    """Remove a finished job and its output."""
    await engine.retention.forget(request.job_id)
    return {"success": True, "jobId": request.job_id, "forgotten": True}


async def send_job_input(engine: Engine, call: Call, request: ask.SendJobInput) -> view.InputResult:
    """Write to a running job's stdin."""
    job = await engine.jobs.ledger.get(request.job_id)
    if not job.is_live or job.run_id is None:
        raise Conflict(
            f"Job {job.id} is {job.status}; only a running job takes input.",
            jobId=job.id,
            status=job.status,
        )
    accepted = await engine.jobs.host.send_input(job.run_id, request.input, eof=request.eof)
    return {"success": True, "jobId": job.id, "bytesAccepted": accepted}


def job_view(engine: Engine, job: Job) -> view.JobView:
    """Return a job as clients see it."""
    return view.job_view(job, engine.output.counts(job), engine.jobs.standing(job))


# -- waiting -----------------------------------------------------------------------------------


async def ended(engine: Engine, call: Call, job: Job, wait: float) -> Job:
    """Return the job when it is over or the wait is, at most as long as a call may wait."""
    wait = min(wait, engine.settings.max_wait_ms / 1000, call.patience)

    def sentence() -> str:
        current = engine.jobs.ledger.active(job.id) or job
        progress = engine.jobs.reports.latest(job.id)
        if progress is not None:
            return texts.progress(view.progress_view(progress))
        return f"{current.status}, {human_bytes(engine.output.counts(current).bytes)} of output"

    [ended] = await telling(
        engine.settings, call, wait, engine.jobs.wait([job.id], timeout=wait), sentence
    )
    return ended
