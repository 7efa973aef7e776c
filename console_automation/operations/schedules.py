"""The use cases about schedules."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from console_automation.core.definition import Caller
from console_automation.core.job import Contract, JobSpec
from console_automation.core.schedule import (
    Execution,
    Missed,
    Overlap,
    Schedule,
    Version,
    activated,
    settled,
)
from console_automation.core.trigger import Interval, Once, Trigger, cron, next_fire, zone_of
from console_automation.engine.commands import named_project, project_of, resolve
from console_automation.engine.engine import Engine
from console_automation.engine.permissions import Kind
from console_automation.errors import AccessDenied, BadRequest
from console_automation.operations import schedule_requests as ask
from console_automation.operations import schedule_views as view
from console_automation.operations.cluster_execution import carried, carried_otherwise
from console_automation.operations.definitions import caller_of
from console_automation.operations.requests import ExecuteAsync
from console_automation.operations.submission import Call, background_spec, retry_policy

_FARTHEST = 100 * 365 * 86_400.0  #: seconds ahead


async def create_schedule(
    engine: Engine, call: Call, request: ask.CreateSchedule
) -> view.ScheduleResult:
    """Make a schedule, for the caller's directory and with the caller's environment."""
    engine.definitions.permissions.check_create(Kind.SCHEDULE, request.name, call.principal)
    now = engine.jobs.clock.now()
    spec, caller = await _target(engine, call, request)
    version = Version(
        number=1,
        created_at=now,
        trigger=_trigger(request.trigger, now),
        spec=spec,
        caller=caller,
    )
    schedule = Schedule(
        id=engine.schedules.new_id(),
        name=request.name,
        project=spec.project,
        client=call.client,
        owner=call.principal.name,
        created_at=now,
        version=version,
        is_active=False,
        missed=Missed(request.missed),
        overlap=Overlap(request.overlap),
        jitter=_jitter(request.jitter_ms, version.trigger, now),
        metadata=request.metadata,
    )
    if request.active:
        schedule = _started(schedule, now)
    await engine.schedules.create(schedule)
    return {"success": True, "schedule": _view(engine, schedule)}


async def _target(
    engine: Engine, call: Call, request: ask.CreateSchedule
) -> tuple[JobSpec, Caller | None]:
    """Return what each job is made from, and for whom if it is a typed one."""
    if request.job is not None:
        caller, given = caller_of(call), request.input or {}
        spec = await engine.definitions.job_spec(request.job, given, caller)
        # Only what was given is kept: each fire takes the defaults that the definition has then.
        contract = Contract(definition=request.job, input=given)
        return replace(spec, contract=contract), caller
    if not call.principal.is_admin:
        raise AccessDenied(
            f"{call.principal.name} may schedule job definitions, and no commands of their own: give 'job'"
            " instead of 'command'."
        )
    asked = request.model_dump(
        by_alias=True, include={"command", "args", "options"}, exclude_none=True
    )
    command = ExecuteAsync.model_validate(asked)
    if command.options.target is not None:
        return carried(engine, call, command), None
    return background_spec(engine, call, command), None


def _trigger(asked: ask.Trigger, now: float) -> Trigger:
    if asked.cron is not None:
        return cron(asked.cron, asked.timezone)
    if asked.every_ms is not None:
        return Interval(every=asked.every_ms / 1000, since=now)
    assert asked.at is not None
    zone = zone_of(asked.timezone)
    try:
        moment = datetime.fromisoformat(asked.at)
    except ValueError:
        raise BadRequest(
            f"trigger.at {asked.at!r} is no time; write it like '2026-12-24T18:00:00+01:00'.",
            field="trigger.at",
        ) from None
    at = (moment if moment.tzinfo else moment.replace(tzinfo=zone)).timestamp()
    if not now < at < now + _FARTHEST:
        raise BadRequest(
            f"trigger.at {asked.at!r} is over, or more than 100 years ahead; give a time to come.",
            field="trigger.at",
        )
    return Once(at=at)


def _jitter(milliseconds: float, trigger: Trigger, now: float) -> float:
    """Return jitter in seconds, if it leaves the fires in their order."""
    first = next_fire(trigger, now)
    second = None if first is None else next_fire(trigger, first)
    if first is not None and second is not None and milliseconds / 1000 >= second - first:
        raise BadRequest(
            f"jitterMs {milliseconds:.0f} is not less than the {(second - first) * 1000:.0f} ms between"
            " two fires; make it less.",
            field="jitterMs",
        )
    return milliseconds / 1000


def _started(schedule: Schedule, now: float) -> Schedule:
    started = activated(schedule, now)
    if not started.is_active:
        raise BadRequest(
            "The trigger has no fire to come, so the schedule cannot be active. Give another trigger.",
            field="trigger",
        )
    return started


async def list_schedules(
    engine: Engine, call: Call, request: ask.ListSchedules
) -> view.ScheduleList:
    """Return a page of schedules, oldest first."""
    found, total = await engine.schedules.store.page(
        project=named_project(request.project, field="project"),
        owner=None if call.principal.is_admin else call.principal.name,
        after=request.cursor,
        limit=request.limit + 1,
    )
    shown = found[: request.limit]
    result: view.ScheduleList = {
        "success": True,
        "schedules": [_view(engine, each) for each in shown],
        "total": total,
    }
    if len(found) > len(shown):
        result["nextCursor"] = shown[-1].id
    return result


async def get_schedule(
    engine: Engine, call: Call, request: ask.GetSchedule
) -> view.ScheduleDetails:
    """Return a schedule with its versions and its history."""
    schedule = await _meant(engine, call, request.schedule_id)
    store = engine.schedules.store
    executions = await store.executions(schedule.id, limit=request.limit)
    return {
        "success": True,
        "schedule": _view(engine, schedule),
        "versions": view.version_views(await store.versions(schedule.id)),
        "history": [view.execution_view(each, _status(engine, each)) for each in executions],
    }


def _status(engine: Engine, execution: Execution) -> str | None:
    if execution.status is not None or execution.job_id is None:
        return execution.status
    job = engine.jobs.ledger.active(execution.job_id)
    return "unknown" if job is None else job.status


async def update_schedule(
    engine: Engine, call: Call, request: ask.UpdateSchedule
) -> view.ScheduleResult:
    """Change a schedule; what it runs and when becomes a new version."""
    now = engine.jobs.clock.now()

    def edit(schedule: Schedule, versions: Sequence[Version]) -> Schedule:
        version = _version(schedule, versions, request, now)
        is_other = version is not schedule.version
        jitter = request.jitter_ms
        if jitter is not None or is_other:
            given = schedule.jitter * 1000 if jitter is None else jitter
            schedule = replace(schedule, jitter=_jitter(given, version.trigger, now))
        schedule = replace(
            schedule,
            version=version,
            name=request.name or schedule.name,
            missed=Missed(request.missed or schedule.missed),
            overlap=Overlap(request.overlap or schedule.overlap),
            metadata=_merged(schedule, request),
        )
        if request.active is False:
            return settled(schedule, None)
        if request.active or (schedule.is_active and is_other):
            is_same = schedule.is_active and not is_other
            return schedule if is_same else _started(schedule, now)
        return schedule

    meant = await _meant(engine, call, request.schedule_id)
    schedule = await engine.schedules.update(meant.id, edit)
    return {"success": True, "schedule": _view(engine, schedule)}


def _version(
    schedule: Schedule, versions: Sequence[Version], request: ask.UpdateSchedule, now: float
) -> Version:
    """Return the version that a schedule is to have: an earlier one, a new one, or the one it has."""
    active = schedule.version
    if request.version is not None:
        found = [each for each in versions if each.number == request.version]
        if not found:
            known = ", ".join(str(each.number) for each in versions)
            raise BadRequest(
                f"version {request.version} of {schedule.name!r} is not there; there are {known}.",
                field="version",
            )
        return found[0]
    trigger = active.trigger if request.trigger is None else _trigger(request.trigger, now)
    spec = _changed(active, request)
    if trigger == active.trigger and spec == active.spec:
        return active
    number = versions[0].number + 1
    return replace(active, number=number, created_at=now, trigger=trigger, spec=spec)


def _changed(version: Version, request: ask.UpdateSchedule) -> JobSpec:
    spec, command = version.spec, version.spec.command
    for field in ("command", "timeout", "retry"):
        if version.caller is not None and getattr(request, field) is not None:
            raise BadRequest(
                f"{field} is up to the job definition that this schedule runs; change that.",
                field=field,
            )
    changed = carried_otherwise(
        spec,
        command=request.command,
        args=request.args,
        timeout=request.timeout,
        retry=request.retry,
    )
    if changed is not None:
        return changed
    if request.command is not None:
        executable, argv, by_shell = resolve(
            request.command,
            request.args,
            shell=None,
            cwd=command.cwd,
            environment=command.environment,
        )
        command = replace(
            command,
            line=request.command,
            args=None if request.args is None else tuple(request.args),
            shell=by_shell,
            executable=executable,
            argv=argv,
        )
    if request.timeout is not None:
        command = replace(command, timeout=request.timeout / 1000 or None)
    retry = spec.retry if request.retry is None else retry_policy(request.retry)
    return replace(spec, command=command, retry=retry)


def _merged(schedule: Schedule, request: ask.UpdateSchedule) -> dict[str, object]:
    merged = {**schedule.metadata, **(request.metadata or {})}
    kept = {name: value for name, value in merged.items() if value is not None}
    try:
        return ask.checked_metadata(kept)
    except ValueError as error:
        raise BadRequest(f"metadata, merged: {error}.", field="metadata") from None


async def trigger_schedule(
    engine: Engine, call: Call, request: ask.TriggerSchedule
) -> view.ScheduleRun:
    """Run a schedule's command now."""
    schedule = await _meant(engine, call, request.schedule_id)
    key = request.idempotency_key or engine.schedules.new_id()
    job = await engine.schedules.trigger(schedule.id, key=key)
    return {"success": True, "scheduleId": schedule.id, "jobId": job.id, "status": job.status}


async def delete_schedule(
    engine: Engine, call: Call, request: ask.DeleteSchedule
) -> view.ScheduleDeletion:
    """Forget a schedule; its jobs go on."""
    schedule = await _meant(engine, call, request.schedule_id)
    await engine.schedules.delete(schedule.id)
    message = f"{schedule.id} `{schedule.name}` is gone. Jobs it has started go on."
    return {"success": True, "scheduleId": schedule.id, "message": message}


async def _meant(engine: Engine, call: Call, reference: str) -> Schedule:
    return await engine.schedules.find(
        reference, project=project_of(call.cwd), principal=call.principal
    )


def _view(engine: Engine, schedule: Schedule) -> view.ScheduleView:
    return view.schedule_view(schedule, engine.schedules.trouble(schedule.id))
