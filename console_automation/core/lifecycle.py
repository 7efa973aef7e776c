"""The life of a job: a literal table of transitions and a pure `advance`.

Rule 1: everything that changes a job's phase lives in this file.
Rule 2: an event that names a run applies only to the job's latest run; facts about an older run are
late news and change nothing.
Rule 3: a terminal phase is final.

`advance` takes events (what happened) and returns effects (what is to be done, after the new state
has been committed). It knows no clock: events carry their time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from console_automation.core.job import (
    TERMINAL,
    Cause,
    Exit,
    Job,
    JobSpec,
    OutputCounts,
    Phase,
    Reason,
)
from console_automation.core.report import Report
from console_automation.errors import InvalidTransition


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a job."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted(Event):
    """A client's request was accepted."""

    blocked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unblocked(Event):
    """Every job it depends on has ended as it has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DependencyFailed(Event):
    """A job it depends on did not end as it has to."""

    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Due(Event):
    """The back-off before the next attempt is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked(Event):
    """The queue gave it a slot."""

    run_id: str
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested(Event):
    """A client asked for its end."""

    signal: int
    grace: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent(Event):
    """A fact about one run."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(RunEvent):
    """The shim has spawned the command."""

    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(RunEvent):
    """The shim has recorded the run's end, its output is complete."""

    exit: Exit
    report: Report = Report()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(RunEvent):
    """The run's end is not known: no exit record and no live shim."""

    reason: Reason
    output: OutputCounts | None = None  #: the last progress the shim recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted(RunEvent):
    """The run was fenced off before a shim spawned anything: it may be handed out again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Something to do once the new state is committed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueue(Effect):
    """Put the job into the ready queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dequeue(Effect):
    """Take the job out of the ready queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAt(Effect):
    """Report Due at this time."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRun(Effect):
    """Hand the run to a shim, and forget the output of the run before it."""

    run_id: str
    previous_run_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRun(Effect):
    """Have the shim end the run and everything it started."""

    run_id: str
    signal: int
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeSlot(Effect):
    """The run is over: give its slot back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Effect):
    """The job is over: tell those who wait for it and those who depend on it."""


Outcome = tuple[Job, tuple[Effect, ...]]

B, D, R, S, U, P = (
    Phase.BLOCKED,
    Phase.DELAYED,
    Phase.READY,
    Phase.STARTING,
    Phase.RUNNING,
    Phase.STOPPING,
)
OK, NO, CA, IN = Phase.COMPLETED, Phase.FAILED, Phase.CANCELLED, Phase.INTERRUPTED

#: Every move a job can make: (phase, event) -> the phases it may lead to. A pair that is missing
#: cannot happen, and `advance` raises for it.
TRANSITIONS: Mapping[tuple[Phase, type[Event]], tuple[Phase, ...]] = {
    (B, Unblocked): (R,),
    (B, DependencyFailed): (NO,),
    (B, CancelRequested): (CA,),
    (D, Due): (R,),
    (D, CancelRequested): (CA,),
    (R, Picked): (S,),
    (R, CancelRequested): (CA,),
    (S, Started): (U,),
    (S, Exited): (OK, NO, CA, D),
    (S, Lost): (IN, D),
    (S, NotStarted): (R,),
    (S, CancelRequested): (P,),
    (U, Exited): (OK, NO, CA, D),
    (U, Lost): (IN, D),
    (U, CancelRequested): (P,),
    (P, Started): (P,),
    (P, Exited): (OK, NO, CA),
    (P, Lost): (IN,),
    (P, NotStarted): (CA,),
    (P, CancelRequested): (P,),
}


def submit(job_id: str, spec: JobSpec, event: Submitted) -> Outcome:
    """Return the newborn job and its first effects."""
    job = Job(id=job_id, spec=spec, phase=Phase.BLOCKED if event.blocked else Phase.READY)
    return job, () if event.blocked else (Enqueue(),)


def advance(job: Job, event: Event) -> Outcome:
    """Return the job after `event`, and what is to be done about it.

    Late news (a fact about an older run, anything about a finished job) returns the job unchanged.
    Raises InvalidTransition when the event cannot happen in the job's phase.
    """
    if job.phase in TERMINAL or (isinstance(event, RunEvent) and event.run_id != job.run_id):
        return job, ()
    targets = TRANSITIONS.get((job.phase, type(event)))
    if targets is None:
        raise InvalidTransition(job_id=job.id, phase=job.phase, event=type(event).__name__)
    new, effects = _HANDLERS[type(event)](job, event)
    if new.phase not in targets:
        raise InvalidTransition(job_id=job.id, phase=job.phase, event=f"{event!r} -> {new.phase}")
    return new, effects


def verdict(exit: Exit) -> tuple[Phase, Reason | None]:
    """Return the terminal phase and the reason that an exit stands for."""
    match exit.cause:
        case Cause.CANCEL:
            return Phase.CANCELLED, Reason.CANCELLED
        case Cause.EXIT if exit.code == 0:
            return Phase.COMPLETED, None
        case Cause.EXIT if exit.code is not None:
            return Phase.FAILED, Reason.EXIT_CODE
        case Cause.EXIT:
            return Phase.FAILED, Reason.SIGNAL
        case ended_by:
            return Phase.FAILED, Reason(ended_by.value)


def is_met(spec: JobSpec, need: Job) -> bool:
    """Whether a job that another depends on has ended as it has to, for that other to start."""
    return need.is_terminal if spec.even_if_failed else need.phase is Phase.COMPLETED


def _unblocked(job: Job, event: Unblocked) -> Outcome:
    return replace(job, phase=Phase.READY), (Enqueue(),)


def _dependency_failed(job: Job, event: DependencyFailed) -> Outcome:
    error = f"it depends on {event.job_id}, which did not complete"
    return _settled(job, Phase.FAILED, Reason.DEPENDENCY, event.at, error=error), (Settle(),)


def _due(job: Job, event: Due) -> Outcome:
    return replace(job, phase=Phase.READY, not_before=None), (Enqueue(),)


def _picked(job: Job, event: Picked) -> Outcome:
    new = replace(
        job,
        phase=Phase.STARTING,
        attempt=job.attempt + 1,
        dispatches=job.dispatches + 1,
        run_id=event.run_id,
        boot_id=event.boot_id,
        pid=None,
        started_at=None,
        exit=None,
        reason=None,
        error=None,
        # Only the latest attempt's output is kept; the numbering goes on, so cursors stay valid.
        output=replace(job.output, dropped_bytes=job.output.bytes),
    )
    return new, (StartRun(run_id=event.run_id, previous_run_id=job.run_id),)


def _cancel_requested(job: Job, event: CancelRequested) -> Outcome:
    if job.is_live and job.run_id is not None:
        stop = StopRun(run_id=job.run_id, signal=event.signal, grace=event.grace)
        return replace(job, phase=Phase.STOPPING), (stop,)
    settled = _settled(job, Phase.CANCELLED, Reason.CANCELLED, event.at)
    return settled, ((Dequeue(), Settle()) if job.phase is Phase.READY else (Settle(),))


def _started(job: Job, event: Started) -> Outcome:
    phase = Phase.STOPPING if job.phase is Phase.STOPPING else Phase.RUNNING
    return replace(job, phase=phase, pid=event.pid, started_at=event.at), ()


def _exited(job: Job, event: Exited) -> Outcome:
    (phase, reason), report = verdict(event.exit), event.report
    error = event.exit.error or report.error if reason else None
    if phase is Phase.COMPLETED and report.mismatch:
        phase, reason, error = Phase.FAILED, Reason.RESULT, report.mismatch
    ended = replace(
        job,
        exit=event.exit,
        result=report.result if phase is Phase.COMPLETED else None,
        output=event.exit.output,
        started_at=event.exit.started_at or job.started_at,
        pid=None,
    )
    return _over(ended, phase, reason, event.exit.ended_at, error=error)


def _lost(job: Job, event: Lost) -> Outcome:
    why = {
        Reason.LOST: "its supervisor was killed, so how it ended is not known",
        Reason.REBOOT: "the machine went down while it ran, so how it ended is not known",
    }[event.reason]
    lost = replace(job, pid=None, output=event.output or job.output)
    return _over(lost, Phase.INTERRUPTED, event.reason, event.at, error=why)


def _not_started(job: Job, event: NotStarted) -> Outcome:
    if job.phase is Phase.STOPPING:
        settled = _settled(job, Phase.CANCELLED, Reason.CANCELLED, event.at)
        return settled, (FreeSlot(), Settle())
    # The run is forgotten but for its fence, which stays: the order may still be on its way.
    ready = replace(job, phase=Phase.READY, attempt=job.attempt - 1, run_id=None, boot_id=None)
    return ready, (FreeSlot(), Enqueue())


def _over(job: Job, phase: Phase, reason: Reason | None, at: float, error: str | None) -> Outcome:
    """The run is over: repeat it if the policy wants that, settle the job otherwise."""
    stopping = job.phase is Phase.STOPPING
    if reason and not stopping and job.spec.retry.wants_another(job.attempt, reason):
        due = at + job.spec.retry.pause(job.attempt, job.id)
        waiting = replace(job, phase=Phase.DELAYED, not_before=due, reason=reason, error=error)
        return waiting, (FreeSlot(), WakeAt(at=due))
    return _settled(job, phase, reason, at, error=error), (FreeSlot(), Settle())


def _settled(
    job: Job, phase: Phase, reason: Reason | None, at: float, error: str | None = None
) -> Job:
    return replace(job, phase=phase, reason=reason, completed_at=at, error=error, not_before=None)


_HANDLERS: Mapping[type[Event], Callable[[Job, Any], Outcome]] = {
    Unblocked: _unblocked,
    DependencyFailed: _dependency_failed,
    Due: _due,
    Picked: _picked,
    CancelRequested: _cancel_requested,
    Started: _started,
    Exited: _exited,
    Lost: _lost,
    NotStarted: _not_started,
}
