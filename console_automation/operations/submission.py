"""From a request to what the engine takes, and waiting for what it does."""

import asyncio
import hashlib
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from console_automation.config import Settings
from console_automation.core.access import LOCAL, Principal
from console_automation.core.cluster_names import JOB_IDS
from console_automation.core.job import (
    Command,
    JobSpec,
    Leftovers,
    OnOutputLimit,
    TerminalSize,
)
from console_automation.core.retry import RETRIED_BY_DEFAULT, RetryPolicy
from console_automation.engine.commands import on_terminal, project_of, resolve
from console_automation.engine.engine import Engine
from console_automation.engine.output import OutputQuery
from console_automation.errors import BadRequest
from console_automation.operations import requests as ask
from console_automation.operations.notifying import notified

T = TypeVar("T")
Progress = Callable[[float, float, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, from where, and how to tell them that a call is still under way.

    `environment` is what their jobs inherit (`engine.commands.inherited`). `progress` takes seconds
    waited, seconds to wait at most, and a sentence. `patience` is how many seconds they wait for a
    job's end, whatever the arguments say. `scope` is what the way by which they came is for, if it is
    not for everybody who was let in.
    """

    client: str
    environment: Mapping[str, str] = field(repr=False)
    cwd: str
    principal: Principal = LOCAL
    scope: str | None = None
    progress: Progress | None = None
    patience: float = math.inf


def job_spec(
    engine: Engine,
    call: Call,
    request: ask.ExecuteAsync | ask.ExecuteCommand,
    options: ask.ExecuteOptions | ask.CommandOptions,
    **limits: object,
) -> JobSpec:
    """Return the spec of the job that a request asks for; `limits` are fields of its command.

    Raises what `engine.commands.resolve` raises.
    """
    environment = {**call.environment, **options.environment}
    if limits.get("terminal") is not None:
        environment = on_terminal(call.environment, options.environment)
    cwd = options.working_directory or call.cwd
    executable, argv, by_shell = resolve(
        request.command, request.args, shell=options.shell, cwd=cwd, environment=environment
    )
    command = Command(
        line=request.command,
        args=None if request.args is None else tuple(request.args),
        shell=by_shell,
        executable=executable,
        argv=argv,
        cwd=cwd,
        environment=environment,
        stdin=options.stdin,
        grace=engine.settings.kill_grace_ms / 1000,
        **limits,  # type: ignore[arg-type]
    )
    at = engine.jobs.clock.now()
    if isinstance(options, ask.CommandOptions):
        return JobSpec(
            command=command,
            created_at=at,
            client=call.client,
            project=project_of(cwd),
            owner=call.principal.name,
        )
    return JobSpec(
        command=command,
        created_at=at,
        client=call.client,
        name=options.name,
        project=project_of(cwd),
        session_id=options.session_id,
        priority=options.priority,
        tags=options.tags,
        retry=retry_policy(options.retry),
        depends_on=_needs(options),
        even_if_failed=options.even_if_failed,
        notify=notified(engine.settings, options.notify),
        idempotency_key=options.idempotency_key,
        fingerprint=_fingerprint(request, cwd) if options.idempotency_key else "",
        owner=call.principal.name,
    )


def _needs(options: ask.ExecuteOptions) -> tuple[str, ...]:
    for each in options.depends_on:
        if each.startswith(JOB_IDS):
            raise BadRequest(
                f"options.dependsOn: {each} is a job of the cluster, which no other can wait for. Make"
                " them steps of a workflow.",
                field="options.dependsOn",
            )
    return tuple(options.depends_on)


def background_spec(engine: Engine, call: Call, request: ask.ExecuteAsync) -> JobSpec:
    """Return the spec of a background job of this machine. Raises what `job_spec` raises."""
    options = request.options
    timeout = options.timeout
    if timeout is None:
        timeout = engine.settings.job_timeout_ms
    return job_spec(
        engine,
        call,
        request,
        options,
        timeout=timeout / 1000 or None,
        idle_timeout=options.idle_timeout and options.idle_timeout / 1000,
        keep_stdin=options.keep_stdin,
        merge_stderr=options.merge_stderr,
        output_limit=options.output_limit_bytes or engine.settings.output_limit_bytes,
        on_output_limit=OnOutputLimit(options.on_output_limit),
        leftovers=Leftovers(options.leftovers),
        terminal=_terminal(options),
    )


def _terminal(options: ask.ExecuteOptions) -> TerminalSize | None:
    asked = options.terminal
    if asked is None:
        return None
    if options.stdin is not None or options.merge_stderr:
        name = "mergeStderr" if options.merge_stderr else "stdin"
        raise BadRequest(
            f"options.{name} is for pipes. On a terminal there is one stream of output, and input is"
            " typed with console_send_job_input.",
            field=f"options.{name}",
        )
    return TerminalSize(cols=asked.cols, rows=asked.rows)


def retry_policy(retry: ask.Retry | None) -> RetryPolicy:
    """Return what a request says about retries; without a word there are none."""
    if retry is None:
        return RetryPolicy()
    return RetryPolicy(
        max_attempts=retry.max_attempts,
        backoff=retry.backoff_ms / 1000,
        multiplier=retry.backoff_multiplier,
        max_backoff=retry.max_backoff_ms / 1000,
        jitter=retry.jitter,
        on=RETRIED_BY_DEFAULT if retry.on is None else frozenset(retry.on),
    )


def _fingerprint(request: ask.ExecuteAsync | ask.ExecuteCommand, cwd: str) -> str:
    """Return what makes two requests the same: all of them but how long the caller waits.

    What is left at its default is left out, so that an option of a later version changes nothing.
    """
    asked = request.model_dump(mode="json", exclude={"options": {"wait_ms"}}, exclude_defaults=True)
    text = json.dumps([asked, os.path.normpath(cwd)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def query_of(settings: Settings, options: ask.OutputOptions) -> OutputQuery:
    """Return which part of the output a request wants."""
    return OutputQuery(
        since=options.since,
        latest=options.latest,
        max_bytes=options.max_bytes or settings.output_page_bytes,
        max_chunks=options.limit or settings.output_page_chunks,
        stream=options.stream,
        tail=options.tail,
        grep=options.grep,
        ignore_case=options.ignore_case,
        invert=options.invert,
        context=options.context,
        wait=min(options.wait_ms, settings.max_wait_ms) / 1000,
    )


def newest(settings: Settings) -> OutputQuery:
    """Return the query for the end of the output, a page of it."""
    return OutputQuery(
        latest=True,
        max_bytes=settings.output_page_bytes,
        max_chunks=settings.output_page_chunks,
    )


async def telling(
    settings: Settings, call: Call, wait: float, work: Awaitable[T], sentence: Callable[[], str]
) -> T:
    """Await the work and report progress meanwhile, so that no client takes silence for death."""
    interval = settings.progress_interval_ms / 1000
    if call.progress is None or wait <= interval:
        return await work
    began = time.monotonic()
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=interval))[0]:
            await call.progress(time.monotonic() - began, wait, sentence())
        return task.result()
    finally:
        task.cancel()
