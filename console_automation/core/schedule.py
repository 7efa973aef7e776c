"""Schedules: what is to be run when, and what a look at the clock means for one.

A schedule fires one after the other, in order: `next_fire` is the only moment it will fire at or pass
over next, so that the name of a fire is known before it happens, and the same after any crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from console_automation.core.definition import Caller
from console_automation.core.job import JobSpec
from console_automation.core.trigger import Trigger, newest_fires, next_fire, spread

LATE = 60.0  #: seconds after which a fire counts as missed
MOST_MADE_UP = 100
JOB_KEYS = "schedule:"  #: how the idempotency keys of schedules' jobs begin


class Missed(StrEnum):
    """What is done about fires whose time has passed: the service was down, or too busy.

    A fire is missed when a minute has passed, or when the next one of its schedule is due as well.
    """

    SKIP = "skip"  #: nothing; the history says which were missed
    ONCE = "once"  #: one run stands for all that were missed
    ALL = "all"  #: each is made up for; of more than 100 the newest 100


class Overlap(StrEnum):
    """What a fire does while the latest job of its schedule is not over."""

    SKIP = "skip"  #: nothing; the history says so
    QUEUE = "queue"  #: its job waits for all before it, however they end; up to a bound
    ALLOW = "allow"  #: its job runs beside that one


class Passed(StrEnum):
    """Why a fire was passed over."""

    MISSED = "missed"  #: its time had passed, and the policy for that is to skip
    OVERLAP = "overlap"  #: the job before was not over, and the policy for that is to skip
    FULL = "full"  #: the policy is to queue, and as many of its jobs wait as its history remembers
    REFUSED = "refused"  #: its typed job is gone, or does not take the input, or this principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What a schedule runs, and when. Never changes; a change makes the next version."""

    number: int
    created_at: float
    trigger: Trigger
    spec: JobSpec  #: of a command: what each fire's job is; of a typed job: as it was at first
    caller: Caller | None = None  #: for whom a typed job is made anew at each fire


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What became of a fire: its job, or why it was passed over."""

    schedule_id: str
    key: str  #: of the fire or request, unique in its schedule
    at: float  #: the fire's time, or that of the request
    until: float | None = None  #: the last of several fires that this stands for
    version: int
    job_id: str | None = None
    passed: Passed | None = None
    error: str | None = None  #: why it was refused
    status: str | None = None  #: of the job, once it is over
    ended_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Runs a command at certain times, for whoever made it."""

    id: str
    name: str
    project: str
    client: str  #: who made it, for the record
    owner: str  #: the principal whose it is, and as whom its jobs run
    created_at: float
    version: Version  #: the active one
    is_active: bool
    missed: Missed = Missed.ONCE
    overlap: Overlap = Overlap.SKIP
    jitter: float = 0.0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    next_fire: float | None = None  #: None: it will not fire by itself
    last_fire: float | None = None  #: or request; of the latest job
    last_job_id: str | None = None

    @property
    def due_at(self) -> float | None:
        """When the next fire is to start its job, jitter included."""
        return None if self.next_fire is None else self.start_of(self.next_fire)

    def start_of(self, fire: float) -> float:
        """Return when a fire is to start its job."""
        return fire + spread(self.id, fire, self.jitter) if self.jitter else fire


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a schedule does next about the fire that is due, and where it stands then."""

    fires: bool  #: False: it passes over it
    until: float  #: the last fire that this settles
    next_fire: float | None


def step(schedule: Schedule, now: float) -> Step:
    """Return what a schedule that is due has to do first.

    It never both passes over and fires: either is on record before the other is begun, and so what
    has been submitted before a crash was `next_fire`.
    """
    first = schedule.next_fire
    assert first is not None
    trigger = schedule.version.trigger
    # One more than are made up for tells whether there are more.
    most = MOST_MADE_UP + 1 if schedule.missed is Missed.ALL else 2
    due = newest_fires(trigger, first, now - schedule.jitter, most=most)
    last = due[-1]

    def to(until: float, *, fires: bool) -> Step:
        return Step(fires=fires, until=until, next_fire=next_fire(trigger, until))

    match schedule.missed:
        case Missed.ONCE:
            return to(last, fires=True)
        case Missed.ALL:
            return to(due[0], fires=False) if len(due) > MOST_MADE_UP else to(first, fires=True)
        case Missed.SKIP:
            if now - schedule.start_of(last) > LATE:
                return to(last, fires=False)
            return to(first, fires=True) if last == first else to(due[-2], fires=False)


def settled(schedule: Schedule, upcoming: float | None) -> Schedule:
    """Return the schedule with its next fire; without one it is not active any more."""
    return replace(schedule, next_fire=upcoming, is_active=upcoming is not None)


def activated(schedule: Schedule, now: float) -> Schedule:
    """Return the schedule as it fires after `now` and not before, whatever was due."""
    return settled(schedule, next_fire(schedule.version.trigger, now))


def with_job(schedule: Schedule, execution: Execution) -> Schedule:
    """Return the schedule with the job of an execution as its latest, if it has one."""
    if execution.job_id is None:
        return schedule
    return replace(schedule, last_fire=execution.at, last_job_id=execution.job_id)


def key_of(fire: float) -> str:
    """Return what a fire is called in its schedule."""
    return f"{fire:.3f}"


def job_key(schedule: Schedule, key: str) -> str:
    """Return the idempotency key of the job of what goes by a key in its schedule."""
    return f"{JOB_KEYS}{schedule.id}:{key}"
