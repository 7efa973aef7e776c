"""Taking jobs into the cluster: commands, typed jobs, and what jobs of this machine carry there."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from console_automation.core.cluster_job import ClusterJob
from console_automation.core.cluster_names import ANY_QUEUE, attempt_in, id_for
from console_automation.core.codec import definition_to_plain
from console_automation.core.definition import JobDefinition
from console_automation.core.job import JobSpec
from console_automation.core.retry import NOT_KNOWN
from console_automation.core.target import parse_target
from console_automation.engine.carrying import asked_by, asking
from console_automation.engine.commands import check_absolute
from console_automation.engine.engine import Engine
from console_automation.errors import BadRequest
from console_automation.operations import definition_requests, definition_views
from console_automation.operations import requests as ask
from console_automation.operations import views as view
from console_automation.operations.cluster_jobs import result_of, started, until_over
from console_automation.operations.cluster_views import gateway_of
from console_automation.operations.submission import Call, background_spec, retry_policy

#: What makes sense on one machine only.
_LOCAL_OPTIONS = ("sessionId", "dependsOn", "notify")
_KEPT_HERE = {"target", "retry", "idempotency_key", "wait_ms"}
_KEPT_WITH_THE_CARRIER = {"retry", "notify", "tags", "name", "wait_ms", "depends_on"}


async def execute_in_cluster(
    engine: Engine, call: Call, request: ask.ExecuteAsync
) -> view.ExecuteResult:
    """Take a job into the cluster, and wait for its end when that is wanted."""
    gateway = gateway_of(engine)
    options = request.options
    target = parse_target(options.target or "")
    asked = _asked(request, without=_KEPT_HERE)
    for name in _LOCAL_OPTIONS:
        if name in asked.get("options", {}):
            raise BadRequest(
                f"options.{name} is for jobs of this machine; leave it out, or leave out options.target.",
                field=f"options.{name}",
            )
    key = options.idempotency_key
    job = ClusterJob(
        id=gateway.new_id() if key is None else id_for(key, call.principal.name),
        request=asked,
        target=target.text,
        queue=ANY_QUEUE,
        created_at=engine.jobs.clock.now(),
        client=call.client,
        owner=call.principal.name,
        retry=retry_policy(options.retry),
        fingerprint="" if key is None else _fingerprint(request),
    )
    job = await gateway.submit(job, target)
    return await started(engine, call, job, options.wait_ms / 1000)


async def execute_definition(
    engine: Engine,
    call: Call,
    request: definition_requests.ExecuteJob,
    definition: JobDefinition,
    given: Mapping[str, Any],
    target: str,
) -> definition_views.ResultResult:
    """Take a typed job into the cluster: its definition goes with it."""
    gateway = gateway_of(engine)
    asked: dict[str, Any] = {
        "command": definition.command,
        "definition": definition_to_plain(definition),
        "input": given,
        "options": {"tags": {**definition.labels, "definition": definition.name}},
    }
    key = request.idempotency_key
    if carried_attempt := attempt_in(key):
        asked["earlier"] = carried_attempt - 1
    job = ClusterJob(
        id=gateway.new_id() if key is None else id_for(key, call.principal.name),
        request=asked,
        target=target,
        queue=ANY_QUEUE,
        created_at=engine.jobs.clock.now(),
        client=call.client,
        owner=call.principal.name,
        retry=definition.retry.if_not_known() if carried_attempt else definition.retry,
        fingerprint="" if key is None else _digest([request.name, request.input, target]),
    )
    job = await gateway.submit(job, parse_target(target))
    if not request.background:
        await until_over(engine, call, job.id, engine.settings.max_wait_ms / 1000)
    return await result_of(engine, job.id)


def carried(engine: Engine, call: Call, request: ask.ExecuteAsync) -> JobSpec:
    """Return the spec of a job of this machine that is carried out in the cluster.

    Waiting, retries, tags and notifications are those of the job here; the rest is asked for there, and
    what is to be done when it is not known how an attempt has ended.
    """
    options = request.options
    asked = _asked(request, without=_KEPT_WITH_THE_CARRIER)
    _repeat_there(asked, options.retry)
    here = options.model_copy(
        update={
            "target": None,
            "working_directory": None,
            "environment": {},
            "shell": None,
            "stdin": None,
        }
    )
    stand_in = request.model_copy(update={"command": sys.executable, "args": [], "options": here})
    spec = background_spec(engine, call, stand_in)
    args = None if request.args is None else tuple(request.args)
    command = replace(spec.command, line=request.command, args=args)
    return replace(spec, command=engine.carrying.command(command, "console_execute_async", asked))


def carried_otherwise(
    spec: JobSpec,
    *,
    command: str | None,
    args: list[str] | None,
    timeout: float | None,
    retry: ask.Retry | None,
) -> JobSpec | None:
    """Return the spec of a carried command with those changes that are given, the timeout in ms; None if
    it is not carried."""
    asked = asked_by(spec.command)
    if asked is None:
        return None
    changed = spec.command
    if command is not None:
        changed = replace(changed, line=command, args=None if args is None else tuple(args))
        asked = {**asked, "command": command, "args": args}
    if timeout is not None:
        changed = replace(changed, timeout=timeout / 1000 or None)
        asked["options"]["timeout"] = timeout
    if retry is not None:
        spec = replace(spec, retry=retry_policy(retry))
        _repeat_there(asked, retry)
    return replace(spec, command=asking(changed, "console_execute_async", asked))


def _repeat_there(asked: dict[str, Any], retry: ask.Retry | None) -> None:
    asked["options"].pop("retry", None)
    if retry is not None and (on := NOT_KNOWN.intersection(retry.on or ())):
        plain = retry.model_dump(mode="json", by_alias=True)
        asked["options"]["retry"] = {**plain, "on": sorted(on)}


def _asked(request: ask.ExecuteAsync, *, without: set[str]) -> dict[str, Any]:
    """Return what a worker is asked, without these options. Raises BadRequest for a directory that no
    worker could find."""
    if request.options.working_directory is not None:
        check_absolute(request.options.working_directory)
    return request.model_dump(
        mode="json", by_alias=True, exclude_defaults=True, exclude={"options": without}
    )


def _fingerprint(request: ask.ExecuteAsync) -> str:
    return _digest(
        request.model_dump(mode="json", exclude={"options": {"wait_ms"}}, exclude_defaults=True)
    )


def _digest(asked: Any) -> str:
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
