"""The life of a job of the cluster: a record that gateways and workers change by compare-and-set.

The epoch counts the workers that have taken it. It is the fence: what a worker says about an epoch counts
only while that is the current one, whatever NATS delivered to whom. A later epoch begins only where a
retry policy says so, or when a worker gave the job back without having begun it.

A job for several workers is a group: it names its children and never changes; how it stands is seen from
theirs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from console_automation.core.cluster_names import queue_of
from console_automation.core.job import Reason, Status
from console_automation.core.retry import RetryPolicy
from console_automation.errors import InvalidTransition

_GIVEN_BACK = RetryPolicy(
    backoff=1.0, max_backoff=60.0
)  #: how long nobody takes what was given back


class ClusterPhase(StrEnum):
    """Where it stands."""

    PENDING = "pending"  #: no worker has it
    CLAIMED = "claimed"  #: a worker has it, in its own queue or running
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  #: its worker is lost; a late word of it may still tell the end


OVER = frozenset(ClusterPhase) - {ClusterPhase.PENDING, ClusterPhase.CLAIMED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The worker that has a job. `instance` tells two state directories of one host name apart."""

    host: str
    instance: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """Somebody wants its end."""

    signal: str
    grace_ms: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A worker gave it back, and why."""

    host: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a worker says about the end of its run: the job and the last of its output, as clients see
    them there."""

    status: Status
    reason: str | None
    job: Mapping[str, Any]
    tail: tuple[Mapping[str, Any], ...] = ()
    result: str | None = None  #: of a typed job, as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What a worker said about an epoch that had been given up. It changed nothing."""

    epoch: int
    host: str
    status: str
    exit_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One of the jobs of a group."""

    id: str
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterJob:
    """A promise to run a command on a worker. `request` is what the worker is asked: the arguments of
    console_execute_async."""

    id: str
    request: Mapping[str, Any] = field(repr=False)
    target: str
    queue: str
    created_at: float
    client: str
    owner: str
    retry: RetryPolicy = RetryPolicy()
    fingerprint: str = ""
    retry_of: str | None = None
    group: str | None = None  #: the id of the job it is a child of
    children: tuple[Child, ...] = ()
    phase: ClusterPhase = ClusterPhase.PENDING
    epoch: int = 0
    holder: Holder | None = None
    not_before: float | None = None
    claimed_at: float | None = None
    completed_at: float | None = None
    cancel: Cancel | None = None
    reason: str | None = None
    error: str | None = None
    refusals: tuple[Refusal, ...] = ()
    outcome: Outcome | None = None
    late: tuple[Late, ...] = ()

    @property
    def is_group(self) -> bool:
        return bool(self.children)

    @property
    def is_over(self) -> bool:
        return self.phase in OVER

    @property
    def attempt(self) -> int:
        """Attempts begun: the epochs that were not given back."""
        return self.epoch - len(self.refusals)

    @property
    def status(self) -> Status:
        """The word that clients see."""
        if self.phase is ClusterPhase.CLAIMED:
            return Status.RUNNING
        return Status(self.phase.value)

    @property
    def is_dead_letter(self) -> bool:
        """Whether it was given up: no worker took it, or no attempt came to a good end. Of a group the
        children are."""
        if self.is_group or self.phase not in (ClusterPhase.FAILED, ClusterPhase.INTERRUPTED):
            return False
        return self.reason in (Reason.UNDELIVERED, Reason.LOST) or self.retry.max_attempts > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to it."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed(Event):
    """A worker has taken it."""

    holder: Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(Event):
    """The worker that had it gives it back: nothing was begun. After `limit` of these it is given up."""

    epoch: int
    why: str
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Event):
    """A worker's run of an epoch is over, its output complete."""

    epoch: int
    host: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelAsked(Event):
    """A client wants its end."""

    cancel: Cancel


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost(Event):
    """The worker that had it has not been heard of for too long."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotResponding(Event):
    """The only worker that may take it has not been heard of for too long, and it is not to wait."""

    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildrenOver(Event):
    """Every child of the group is over; this is what it comes to."""

    status: Status


P, H = ClusterPhase.PENDING, ClusterPhase.CLAIMED
OK, NO = ClusterPhase.COMPLETED, ClusterPhase.FAILED
CA, IN = ClusterPhase.CANCELLED, ClusterPhase.INTERRUPTED

#: Every move: (phase, event) -> the phases it may lead to. What is missing is late news and changes
#: nothing, but for Claimed: only what is pending can be taken.
TRANSITIONS: Mapping[tuple[ClusterPhase, type[Event]], tuple[ClusterPhase, ...]] = {
    (P, Claimed): (H,),
    (P, CancelAsked): (CA, P),  # a group notes it, for children that are not made yet
    (P, NotResponding): (NO, IN),
    (P, ChildrenOver): (OK, NO, CA, IN),
    (P, Ended): (OK, NO, CA, IN, P),  # of the epoch that was lost, before another one has begun
    (H, Refused): (P, NO, CA),
    (H, Ended): (OK, NO, CA, IN, P),
    (H, CancelAsked): (H,),
    (H, WorkerLost): (IN, P),
    (IN, Ended): (OK, NO, CA, IN),  # the lost worker was not lost
    (IN, CancelAsked): (IN,),  # and what it still runs is to be ended
}


def advance(job: ClusterJob, event: Event) -> ClusterJob:
    """Return the job after an event; unchanged for late news.

    Raises InvalidTransition when a worker claims what is not pending.
    """
    if isinstance(event, Ended) and event.epoch < job.epoch:
        return _set_aside(job, event)
    allowed = TRANSITIONS.get((job.phase, type(event)))
    if allowed is None:
        if isinstance(event, Claimed):
            raise InvalidTransition(job_id=job.id, phase=job.phase, event="Claimed")
        return job
    if isinstance(event, Ended | Refused | WorkerLost) and event.epoch != job.epoch:
        return job
    if isinstance(event, Ended) and not is_unfinished(job):
        return job
    if isinstance(event, CancelAsked) and job.is_over and not is_unfinished(job):
        return job
    after = _HANDLERS[type(event)](job, event)
    assert after.phase in allowed, (job.phase, event, after.phase)
    return after


def _claimed(job: ClusterJob, event: Claimed) -> ClusterJob:
    return replace(
        job,
        phase=H,
        epoch=job.epoch + 1,
        holder=event.holder,
        claimed_at=event.at,
        not_before=None,
        reason=None,
        outcome=None,
    )


def _refused(job: ClusterJob, event: Refused) -> ClusterJob:
    assert job.holder is not None
    refusals = (*job.refusals, Refusal(host=job.holder.host, why=event.why))
    error = f"{job.holder.host}: {event.why}"
    back = replace(job, holder=None, refusals=refusals, error=error)
    if job.cancel:
        return replace(back, phase=CA, reason=Reason.CANCELLED, completed_at=event.at, error=None)
    if len(refusals) >= event.limit:
        return replace(back, phase=NO, reason=Reason.UNDELIVERED, completed_at=event.at)
    pause = _GIVEN_BACK.pause(len(refusals), job.id)
    return replace(back, phase=P, not_before=event.at + pause)


def _ended(job: ClusterJob, event: Ended) -> ClusterJob:
    outcome = event.outcome
    reason = outcome.reason
    done = replace(job, outcome=outcome, reason=reason, error=outcome.job.get("error"))
    is_failure = outcome.status in (Status.FAILED, Status.INTERRUPTED)
    if job.phase is P and is_failure:
        return replace(done, phase=P)  # the next attempt is on its way already
    is_repeated = is_failure and job.phase is H and not job.cancel and reason is not None
    if is_repeated and job.retry.wants_another(job.attempt, str(reason)):
        pause = job.retry.pause(job.attempt, job.id)
        return replace(done, phase=P, not_before=event.at + pause)
    phase = ClusterPhase(outcome.status.value)
    return replace(done, phase=phase, completed_at=event.at, not_before=None)


def _cancel_asked(job: ClusterJob, event: CancelAsked) -> ClusterJob:
    if job.phase in (H, IN) or job.is_group:
        return replace(job, cancel=event.cancel)
    return replace(
        job, phase=CA, cancel=event.cancel, reason=Reason.CANCELLED, completed_at=event.at
    )


def _worker_lost(job: ClusterJob, event: WorkerLost) -> ClusterJob:
    assert job.holder is not None
    why = f"worker {job.holder.host} was lost while it had the job; what it did is not known"
    lost = replace(job, reason=Reason.LOST, error=why)
    if not job.cancel and job.retry.wants_another(job.attempt, Reason.LOST):
        return replace(lost, phase=P, not_before=event.at + job.retry.pause(job.attempt, job.id))
    return replace(lost, phase=IN, completed_at=event.at)


def _not_responding(job: ClusterJob, event: NotResponding) -> ClusterJob:
    if job.reason == Reason.LOST:  # an attempt has begun there, and may go on
        return replace(job, phase=IN, not_before=None, completed_at=event.at)
    if job.outcome is not None:  # an attempt has failed there, and is the last
        phase = ClusterPhase(job.outcome.status.value)
        return replace(job, phase=phase, not_before=None, completed_at=event.at)
    why = f"worker {event.host} did not respond: it was not reachable and has not begun the job"
    return replace(job, phase=NO, reason=Reason.UNDELIVERED, error=why, completed_at=event.at)


def _children_over(job: ClusterJob, event: ChildrenOver) -> ClusterJob:
    return replace(job, phase=ClusterPhase(event.status.value), completed_at=event.at)


def _set_aside(job: ClusterJob, event: Ended) -> ClusterJob:
    late = Late(
        epoch=event.epoch,
        host=event.host,
        status=event.outcome.status.value,
        exit_code=event.outcome.job.get("exitCode"),
    )
    known = {each.epoch for each in job.late}
    return job if late.epoch in known else replace(job, late=(*job.late, late))


_HANDLERS: Mapping[type[Event], Callable[[ClusterJob, Any], ClusterJob]] = {
    Claimed: _claimed,
    Refused: _refused,
    Ended: _ended,
    CancelAsked: _cancel_asked,
    WorkerLost: _worker_lost,
    NotResponding: _not_responding,
    ChildrenOver: _children_over,
}


def child_of(group: ClusterJob, child: Child) -> ClusterJob:
    """Return a child as it is made: cancelled, if the group was cancelled before."""
    made = replace(
        group,
        id=child.id,
        target=child.host,
        queue=queue_of(child.host),
        children=(),
        group=group.id,
        fingerprint="",
        phase=P,
        cancel=None,
    )
    if group.cancel is None:
        return made
    return advance(made, CancelAsked(at=group.created_at, cancel=group.cancel))


def status_of_group(group: ClusterJob, children: Sequence[ClusterJob]) -> Status:
    """Return how a group stands, whose children are these: running until each of them is over, then the
    worst end. Of a group that is over some may be forgotten."""
    if len(children) < len(group.children) and group.is_over:
        return group.status
    if len(children) < len(group.children) or any(not each.is_over for each in children):
        begun = any(each.phase is not P for each in children)
        return Status.RUNNING if begun else Status.PENDING
    ends = {each.phase for each in children}
    for worst in (NO, IN, CA):
        if worst in ends:
            return Status(worst.value)
    return Status.COMPLETED


def due_in(job: ClusterJob, now: float) -> float:
    """Return the seconds until the next attempt is due, by a clock that may not be the one that said so:
    a pause that is longer than any can be is over."""
    left = max(0.0, (job.not_before or now) - now)
    return left if left <= max(job.retry.max_backoff, _GIVEN_BACK.max_backoff) else 0.0


def is_unfinished(job: ClusterJob) -> bool:
    """Whether the worker that has it, or had it when it was lost, has not told its end."""
    return job.phase is H or (job.reason == Reason.LOST and job.outcome is None)
