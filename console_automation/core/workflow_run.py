"""Workflow runs: what was asked for, how each step stands, what can happen to a run.

Everything here is frozen; only `core.workflow_life` replaces a run's state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from console_automation.core.definition import Caller
from console_automation.core.job import Status
from console_automation.core.workflow import Workflow

MANUAL, WEBHOOK = "manual", "webhook"  #: what started a run


class StepStatus(StrEnum):
    """How a step stands."""

    PENDING = "pending"  #: waits for steps it depends on, or for room
    RUNNING = "running"  #: has its job
    COMPLETED = "completed"  #: its job completed
    FAILED = "failed"  #: its job failed, or could not be made
    CANCELLED = "cancelled"  #: its job was cancelled
    INTERRUPTED = "interrupted"  #: its job's end is not known
    SKIPPED = "skipped"  #: it has no job, and was to have none


class StepReason(StrEnum):
    """Why a step without a job of its own, or beside what that says, stands as it does."""

    CONDITION = "condition"  #: its condition was false, or could not be decided
    INPUT = "input"  #: a value that its input takes is not there
    REFUSED = "refused"  #: its job was refused: no such definition, input that does not match, ...
    DEPENDENCY = "dependency"  #: a step it depends on did not complete
    CANCELLED = "cancelled"  #: the run was cancelled before it began
    TIMEOUT = "timeout"  #: the run's time was up before it began


class RunReason(StrEnum):
    """Why a run has its terminal status, where the status alone does not say."""

    STEP = "step"  #: a step did not complete, and was not allowed to
    TIMEOUT = "timeout"  #: it took longer than the workflow's timeout
    CANCELLED = "cancelled"  #: a client asked for its end


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """What has become of a step so far. `reason` is a StepReason, or that of its job."""

    status: StepStatus = StepStatus.PENDING
    reason: str | None = None
    error: str | None = None
    job_id: str | None = None
    attempts: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    has_result: bool = False
    result: Any = None  #: JSON
    taken_from: str | None = None  #: the run in which it completed, if that was another

    @property
    def is_over(self) -> bool:
        return self.status not in (StepStatus.PENDING, StepStatus.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What was asked for. Never changes."""

    workflow: Workflow
    project: str
    caller: Caller
    input: Any
    created_at: float
    trigger: str = MANUAL  #: or WEBHOOK, or the id of the job whose end it was
    key: str | None = None  #: no two runs have the same
    rerun_of: str | None = None
    workflow_owner: str = ""  #: whose workflow it is; empty in runs of before that was noted

    @property
    def owner(self) -> str:
        """The principal whose run it is, and as whom its jobs are made."""
        return self.caller.principal

    @property
    def deadline(self) -> float:
        return self.created_at + self.workflow.timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """One execution of a workflow."""

    id: str
    spec: RunSpec
    status: Status = Status.PENDING
    stop: RunReason | None = None  #: why its end was asked for
    reason: RunReason | None = None
    error: str | None = None
    ended_at: float | None = None
    steps: Mapping[str, StepState] = field(default_factory=dict)
    lacking: Mapping[str, int] = field(default_factory=dict)  #: parents that are not over, by step
    ready: tuple[str, ...] = ()  #: steps that wait for nothing but room
    live: int = 0  #: steps that are running

    @property
    def is_over(self) -> bool:
        return self.status not in (Status.PENDING, Status.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a listing shows of a run."""

    id: str
    project: str
    name: str
    status: Status
    trigger: str
    rerun_of: str | None
    reason: RunReason | None
    error: str | None
    created_at: float
    ended_at: float | None


def summary(run: WorkflowRun) -> RunSummary:
    """Return a run without its steps."""
    spec = run.spec
    return RunSummary(
        id=run.id,
        project=spec.project,
        name=spec.workflow.name,
        status=run.status,
        trigger=spec.trigger,
        rerun_of=spec.rerun_of,
        reason=run.reason,
        error=run.error,
        created_at=spec.created_at,
        ended_at=run.ended_at,
    )


# -- events ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """Something that happened to a run."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSubmitted(RunEvent):
    """A step has its job."""

    step: str
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRefused(RunEvent):
    """A step can have no job."""

    step: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded(RunEvent):
    """A step's job is over. `state` says how."""

    step: str
    state: StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class StopAsked(RunEvent):
    """The run is to end: somebody cancelled it, or its time is up."""

    why: RunReason


# -- effects ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEffect:
    """Something to do about a change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartStep(RunEffect):
    """Submit the step's job, with this input."""

    step: str
    input: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class StopStep(RunEffect):
    """Cancel the step's job."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepStep(RunEffect):
    """The step is over: put that on the disk."""

    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleRun(RunEffect):
    """The run is over: put that on the disk, and tell those who wait."""
