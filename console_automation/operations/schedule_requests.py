"""What clients may ask about schedules: one model per operation, checked strictly."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from console_automation.operations.definition_requests import Json
from console_automation.operations.requests import (
    JobId,
    JobOptions,
    Line,
    Milliseconds,
    Name,
    Request,
    Retry,
    Text,
)

_MOST_METADATA = 65_536
_DAY = 86_400_000


def checked_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what a schedule carries for its runs if they can be given it. Raises ValueError."""
    try:
        size = len(json.dumps(metadata, allow_nan=False))
        json.dumps(metadata, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half of a surrogate pair") from None
    except (TypeError, RecursionError):
        raise ValueError("must be JSON, and not deep") from None
    if size > _MOST_METADATA:
        raise ValueError(f"must have {_MOST_METADATA} bytes of JSON at most, and has {size}")
    return metadata


def _schedule_id(text: str) -> str:
    if not re.fullmatch(r"schedule-[0-9a-z]{1,40}", text):
        raise ValueError("must be the nextCursor of a page")
    return text


Metadata = Annotated[dict[str, Any], Field(max_length=1000), AfterValidator(checked_metadata)]
ScheduleCursor = Annotated[str, AfterValidator(_schedule_id)]
ScheduleRef = Annotated[JobId, Field(description="Its id, or its name in your project.")]
MissedPolicy = Literal["skip", "once", "all"]
OverlapPolicy = Literal["skip", "queue", "allow"]
Jitter = Annotated[float, Field(ge=0, le=_DAY)]


class Trigger(Request):
    """When to fire: one of `at`, `everyMs` and `cron`."""

    at: Name | None = Field(None, description="Once: ISO 8601; without an offset, in timezone.")
    every_ms: float | None = Field(None, ge=1000, le=365 * _DAY, description="At intervals.")
    cron: Name | None = Field(None, description="Five fields, as in '30 2 * * MON-FRI'.")
    timezone: Name = Field("UTC", description="IANA name: Europe/Berlin.")

    @model_validator(mode="after")
    def _is_one(self) -> "Trigger":
        if [self.at, self.every_ms, self.cron].count(None) != 2:
            raise ValueError("must have one of 'at', 'everyMs' and 'cron'")
        return self


class CreateSchedule(Request):
    """Make a schedule."""

    name: Name = Field(description="Unique in the project.")
    command: Line | None = Field(
        None, description="A shell line; or, with args, one program (no shell)."
    )
    args: list[Text] | None = Field(None, max_length=10_000)
    job: Name | None = Field(None, description="Instead of command: a job definition.")
    input: Json | None = Field(None, description="What that is given.")
    trigger: Trigger
    options: JobOptions = Field(default_factory=JobOptions)
    metadata: Metadata = Field(
        default_factory=dict, description="Yours; each run has it in CONSOLE_AUTOMATION_METADATA."
    )
    missed: MissedPolicy = Field(
        "once", description="What to make up for of fires missed while the service was down."
    )
    overlap: OverlapPolicy = Field("skip", description="What to do while its last job runs.")
    jitter_ms: Jitter = Field(0, description="Start up to this much later, spread evenly.")
    active: bool = True

    @model_validator(mode="after")
    def _is_one(self) -> "CreateSchedule":
        if (self.command is None) is (self.job is None):
            raise ValueError("must have one of 'command' and 'job'")
        if self.command is None and self.model_fields_set & {"args", "options"}:
            raise ValueError("must have 'args' and 'options' with 'command' only")
        if self.job is None and self.input is not None:
            raise ValueError("must have 'input' with 'job' only")
        return self


class ListSchedules(Request):
    """List schedules."""

    project: Text | None = Field(None, description="A directory: schedules of its git root.")
    limit: int = Field(50, ge=1, le=1_000)
    cursor: ScheduleCursor | None = Field(None, description="nextCursor of the page before.")


class GetSchedule(Request):
    """Ask for a schedule."""

    schedule_id: ScheduleRef
    limit: int = Field(20, ge=1, le=10_000, description="Executions at most.")


class UpdateSchedule(Request):
    """Change a schedule."""

    schedule_id: ScheduleRef
    active: bool | None = Field(None, description="false: fire no more, until true.")
    metadata: Metadata | None = Field(None, description="Merged into it; null removes a name.")
    name: Name | None = None
    trigger: Trigger | None = None
    command: Line | None = None
    args: list[Text] | None = Field(None, max_length=10_000)
    timeout: Milliseconds | None = Field(None, description="ms; 0: never.")
    retry: Retry | None = None
    version: int | None = Field(None, ge=1, le=1 << 31, description="Go back to this version.")
    missed: MissedPolicy | None = None
    overlap: OverlapPolicy | None = None
    jitter_ms: Jitter | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> "UpdateSchedule":
        if self.args is not None and self.command is None:
            raise ValueError("must have 'command' where it has 'args'")
        changed = (self.trigger, self.command, self.timeout, self.retry)
        if self.version is not None and any(each is not None for each in changed):
            raise ValueError(
                "must not have 'version' with 'trigger', 'command', 'timeout', 'retry'"
            )
        return self


class TriggerSchedule(Request):
    """Run a schedule now."""

    schedule_id: ScheduleRef
    idempotency_key: Name | None = Field(None, description="The same key again: the same job.")


class DeleteSchedule(Request):
    """Forget a schedule."""

    schedule_id: ScheduleRef
