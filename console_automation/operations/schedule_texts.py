"""What a model reads beside the structured results about schedules."""

from __future__ import annotations

from console_automation.core.text import human_seconds, one_line

TYPE_CHECKING = False
if TYPE_CHECKING:  # the command line says the same words, and does without pydantic
    from console_automation.operations.schedule_views import (
        ExecutionView,
        ScheduleDeletion,
        ScheduleDetails,
        ScheduleList,
        ScheduleResult,
        ScheduleRun,
        ScheduleView,
        TriggerView,
    )

_SHOWN = 5  #: executions


def schedule_line(schedule: ScheduleView) -> str:
    """Say in one line what a schedule is and how it stands."""
    return (
        f"{schedule['scheduleId']} `{one_line(schedule['name'], 60)}`:"
        f" {when(schedule['trigger'])}; {standing(schedule)}"
    )


def when(trigger: TriggerView) -> str:
    """Say when a trigger fires."""
    if "cron" in trigger:
        return f"cron {trigger['cron']} in {trigger.get('timezone')}"
    if "everyMs" in trigger:
        return f"every {human_seconds(trigger['everyMs'] / 1000)}"
    return f"once at {trigger.get('at')}"


def standing(schedule: ScheduleView) -> str:
    """Say when a schedule fires next, or why it does not."""
    if "waitingFor" in schedule:
        return f"due, will be tried again: {schedule['waitingFor']}"
    return f"next {schedule['nextRun']}" if "nextRun" in schedule else "not active"


def execution_line(execution: ExecutionView) -> str:
    """Say in one line what became of a fire."""
    until = f" to {execution['until']}" if "until" in execution else ""
    if "skipped" in execution:
        why = f": {execution['error']}" if "error" in execution else ""
        return f"{execution['at']}{until}: skipped, {execution['skipped']}{why}"
    return f"{execution['at']}{until}: {execution.get('jobId')} {execution.get('status')}"


def scheduled(result: ScheduleResult) -> str:
    """Tell of a schedule that was made or changed."""
    return schedule_line(result["schedule"])


def detailed(result: ScheduleDetails) -> str:
    """Tell of a schedule and of its latest executions."""
    lines = [execution_line(each) for each in result["history"][:_SHOWN]]
    return "\n".join([schedule_line(result["schedule"]), *(lines or ["It has not fired yet."])])


def listed(result: ScheduleList) -> str:
    """Tell of a page of schedules."""
    lines = [schedule_line(each) for each in result["schedules"]]
    more = f" More with cursor={result['nextCursor']}." if "nextCursor" in result else ""
    return "\n".join([f"{len(lines)} of {result['total']} schedules.{more}", *lines])


def triggered(result: ScheduleRun) -> str:
    """Tell of a job that was started out of turn."""
    return f"{result['jobId']} is {result['status']}. Wait with console_wait_for_jobs."


def deleted(result: ScheduleDeletion) -> str:
    """Tell what is gone."""
    return result["message"]
