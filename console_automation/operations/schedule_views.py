"""What clients see of schedules: the shapes of the results, and how they are made from the records."""

from collections.abc import Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from console_automation.core.job import Status
from console_automation.core.schedule import Execution, Missed, Overlap, Schedule, Version
from console_automation.core.text import iso
from console_automation.core.trigger import Cron, Interval, Once, Trigger
from console_automation.engine.carrying import asked_by


class TriggerView(TypedDict):
    """When a schedule fires."""

    at: NotRequired[str]
    everyMs: NotRequired[int]
    cron: NotRequired[str]
    timezone: NotRequired[str]


class ScheduleView(TypedDict):
    """A schedule."""

    scheduleId: str
    name: str
    project: str
    active: bool
    trigger: TriggerView
    version: int
    command: str
    args: NotRequired[list[str]]
    job: NotRequired[str]
    input: NotRequired[dict[str, Any]]
    target: NotRequired[str]
    workingDirectory: str
    timeout: int
    maxAttempts: int
    missed: Missed
    overlap: Overlap
    jitterMs: int
    metadata: dict[str, Any]
    createdAt: str
    createdBy: str
    nextRun: NotRequired[str]
    lastRun: NotRequired[str]
    lastJobId: NotRequired[str]
    waitingFor: NotRequired[str]


class VersionView(TypedDict):
    """What a schedule ran, and when, for a while."""

    version: int
    createdAt: str
    trigger: TriggerView
    command: str
    args: NotRequired[list[str]]
    timeout: int
    maxAttempts: int


class ExecutionView(TypedDict):
    """What became of a fire, or of a request to run now."""

    at: str
    until: NotRequired[str]
    version: int
    skipped: NotRequired[Literal["missed", "overlap", "refused"]]
    error: NotRequired[str]
    jobId: NotRequired[str]
    status: NotRequired[str]
    endedAt: NotRequired[str]


class ScheduleResult(TypedDict):
    """One schedule."""

    success: bool
    schedule: ScheduleView


class ScheduleDetails(TypedDict):
    """One schedule with its versions and its history, both newest first."""

    success: bool
    schedule: ScheduleView
    versions: list[VersionView]
    history: list[ExecutionView]


class ScheduleList(TypedDict):
    """A page of schedules, oldest first."""

    success: bool
    schedules: list[ScheduleView]
    total: int
    nextCursor: NotRequired[str]


class ScheduleRun(TypedDict):
    """The job of a schedule that was run now."""

    success: bool
    scheduleId: str
    jobId: str
    status: Status


class ScheduleDeletion(TypedDict):
    """The schedule that is gone."""

    success: bool
    scheduleId: str
    message: str


def trigger_view(trigger: Trigger) -> TriggerView:
    """Return a trigger as clients see it, and as they may give it."""
    match trigger:
        case Once():
            return {"at": iso(trigger.at)}
        case Interval():
            return {"everyMs": round(trigger.every * 1000)}
        case Cron():
            return {"cron": trigger.expression, "timezone": trigger.timezone}


def _what(version: Version) -> dict[str, Any]:
    """Return the fields that the views of a schedule and of its versions share."""
    spec = version.spec
    command = spec.command
    shared: dict[str, Any] = {
        "version": version.number,
        "trigger": trigger_view(version.trigger),
        "command": command.line,
        "timeout": round((command.timeout or 0) * 1000),
        "maxAttempts": spec.retry.max_attempts,
    }
    if command.args is not None:
        shared["args"] = list(command.args)
    return shared


def schedule_view(schedule: Schedule, trouble: str | None) -> ScheduleView:
    """Return a schedule as clients see it; what does not apply is left out."""
    typed = schedule.version.spec.contract
    command = schedule.version.spec.command
    there = (asked_by(command) or {}).get("options")
    view: dict[str, Any] = {
        "scheduleId": schedule.id,
        "name": schedule.name,
        "project": schedule.project,
        "active": schedule.is_active,
        **_what(schedule.version),
        "job": typed and typed.definition,
        "input": typed and dict(typed.input),
        "target": there and there["target"],
        "workingDirectory": there.get("workingDirectory", "~") if there else command.cwd,
        "missed": schedule.missed,
        "overlap": schedule.overlap,
        "jitterMs": round(schedule.jitter * 1000),
        "metadata": dict(schedule.metadata),
        "createdAt": iso(schedule.created_at),
        "createdBy": schedule.client,
        "nextRun": None if schedule.due_at is None else iso(schedule.due_at),
        "lastRun": None if schedule.last_fire is None else iso(schedule.last_fire),
        "lastJobId": schedule.last_job_id,
        "waitingFor": trouble,
    }
    return {name: value for name, value in view.items() if value is not None}  # type: ignore[return-value]


def version_views(versions: Sequence[Version]) -> list[VersionView]:
    """Return versions as clients see them."""
    return [{**_what(each), "createdAt": iso(each.created_at)} for each in versions]  # type: ignore[typeddict-item]


def execution_view(execution: Execution, status: str | None) -> ExecutionView:
    """Return an execution as clients see it; `status` is that of its job now."""
    view: dict[str, Any] = {
        "at": iso(execution.at),
        "until": None if execution.until is None else iso(execution.until),
        "version": execution.version,
        "skipped": execution.passed,
        "error": execution.error,
        "jobId": execution.job_id,
        "status": status,
        "endedAt": None if execution.ended_at is None else iso(execution.ended_at),
    }
    return {name: value for name, value in view.items() if value is not None}  # type: ignore[return-value]
