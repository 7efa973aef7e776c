"""The messages that tell of an end: made in the moment of the end, whole, so that they need nothing else.

What is told is what a listing shows. No environment, no output and no command line is in it: it goes to
places that may not know those.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console_automation.core.job import Job
from console_automation.core.notify import Channel, Notify
from console_automation.core.text import iso, one_line, signal_name
from console_automation.core.webhooks import parse_webhook
from console_automation.core.workflow_run import WorkflowRun

_LONGEST_VARIABLE = 100_000  #: bytes; of more than 128 KiB the system starts no program

#: What a shell line finds in variables of its own, so that it need not read JSON.
_SPOKEN = {
    "id": "ID",
    "name": "NAME",
    "status": "STATUS",
    "reason": "REASON",
    "exitCode": "EXIT_CODE",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one receiver. Its id stays the same however often it is delivered."""

    id: str
    channel: Channel
    target: str = field(repr=False)
    subject: str  #: for people: one line
    body: str = field(repr=False)  #: JSON in ASCII
    due_at: float
    attempts: int = 0  #: that have failed
    job_id: str | None = None  #: whose journal hears of it when it could not be delivered
    cwd: str = "/"  #: where a command is run, and with what
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def receiver(self) -> str:
        """Who has to be there for it; holds no secret. A command needs nobody but us."""
        if self.channel is Channel.WEBHOOK:
            return parse_webhook(self.target).origin
        return self.channel.value


def compose(
    notify: Notify,
    *,
    id: str,
    kind: str,
    view: Mapping[str, Any],
    at: float,
    cwd: str,
    environment: Mapping[str, str],
    job_id: str | None = None,
) -> Message:
    """Return the message to one receiver about the end of something.

    `kind` is a noun ("job"); `view` is what is told of it, with its `id` and `status` at least. `cwd`
    and `environment` are for a command.
    """
    body = json.dumps({"id": id, "event": f"{kind}.{view['status']}", kind: view})
    variables: dict[str, str] = {}
    if notify.channel is Channel.COMMAND:
        spoken = {key: "" if view.get(key) is None else str(view[key]) for key in _SPOKEN}
        variables = dict(environment)
        if len(body) <= _LONGEST_VARIABLE:
            variables["CONSOLE_AUTOMATION_NOTIFICATION"] = body
        variables |= {f"{kind.upper()}_{_SPOKEN[key]}": said for key, said in spoken.items()}
    return Message(
        id=id,
        channel=notify.channel,
        target=notify.target,
        subject=one_line(f"{kind} {view.get('name') or view['id']} {view['status']}"),
        body=body,
        due_at=at,
        job_id=job_id,
        cwd=cwd,
        environment=variables,
    )


def messages_of(job: Job) -> tuple[Message, ...]:
    """Return what is to be told now that a job is over; nothing while it is not."""
    if not job.spec.notify or job.completed_at is None:
        return ()
    command = job.spec.command
    return tuple(
        compose(
            each,
            id=f"notification-{job.id}.{number}",
            kind="job",
            view=_view(job),
            at=job.completed_at,
            job_id=job.id,
            cwd=command.cwd,
            environment=command.environment,
        )
        for number, each in enumerate(job.spec.notify, 1)
        if job.status in each.on
    )


def messages_of_run(run: WorkflowRun) -> tuple[Message, ...]:
    """Return what is to be told now that a run of a workflow is over; nothing while it is not."""
    if not run.spec.workflow.notify or run.ended_at is None:
        return ()
    caller = run.spec.caller
    return tuple(
        compose(
            each,
            id=f"notification-{run.id}.{number}",
            kind="workflow",
            view=_view_of_run(run),
            at=run.ended_at,
            cwd=caller.cwd,
            environment=caller.environment,
        )
        for number, each in enumerate(run.spec.workflow.notify, 1)
        if run.status in each.on
    )


def _view_of_run(run: WorkflowRun) -> dict[str, Any]:
    view = {
        "id": run.id,
        "name": run.spec.workflow.name,
        "status": run.status.value,
        "reason": run.reason and run.reason.value,
        "createdAt": iso(run.spec.created_at),
        "completedAt": run.ended_at and iso(run.ended_at),
        "workingDirectory": run.spec.caller.cwd,
        "steps": {step: state.status.value for step, state in run.steps.items()},
    }
    return {key: value for key, value in view.items() if value is not None}


def _view(job: Job) -> dict[str, Any]:
    end = job.exit
    view = {
        "id": job.id,
        "name": job.spec.name,
        "status": job.status.value,
        "reason": job.reason and job.reason.value,
        "signal": signal_name(end.signal) if end and end.signal else None,
        "createdAt": iso(job.spec.created_at),
        "startedAt": job.started_at and iso(job.started_at),
        "completedAt": job.completed_at and iso(job.completed_at),
        "durationMs": None if job.duration is None else round(job.duration * 1000),
        "workingDirectory": job.spec.command.cwd,
    }
    present = {key: value for key, value in view.items() if value is not None}
    return {**present, "exitCode": end.code if end else None, "tags": dict(job.spec.tags)}
