"""What can happen to a job of the cluster, and what it is then.

The epoch is the fence: what a worker says about an epoch counts only while that is the current one,
whatever NATS delivered to whom. A later epoch begins only where a retry policy says so, or when a worker
gave the job back without having begun it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from console_automation.core.cluster_job import (
    GIVEN_BACK,
    Cancel,
    Child,
    ClusterJob,
    ClusterPhase,
    Copy,
    Holder,
    Late,
    Outcome,
    Refusal,
    is_unfinished,
)
from console_automation.core.cluster_names import queue_of
from console_automation.core.job import Reason, Status
from console_automation.errors import InvalidTransition


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
class Copied(Event):
    """A worker's run of an epoch goes on, and has come so far."""

    epoch: int
    copy: Copy


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
    (H, Copied): (H,),
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
    if isinstance(event, Copied | Ended | Refused | WorkerLost) and event.epoch != job.epoch:
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
        copy=None,
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
    pause = GIVEN_BACK.pause(len(refusals), job.id)
    return replace(back, phase=P, not_before=event.at + pause)


def _copied(job: ClusterJob, event: Copied) -> ClusterJob:
    return replace(job, copy=event.copy)


def _ended(job: ClusterJob, event: Ended) -> ClusterJob:
    outcome = event.outcome
    reason, error = outcome.reason, outcome.job.get("error")
    done = replace(job, outcome=outcome, copy=None, reason=reason, error=error)
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
    Copied: _copied,
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
