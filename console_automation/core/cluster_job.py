"""A job of the cluster: a record that gateways and workers change by compare-and-set.

The epoch counts the workers that have taken it. A job for several workers is a group: it names its
children and never changes; how it stands is seen from theirs. What can happen to one is in
`cluster_lifecycle`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from console_automation.core.job import Reason, Status
from console_automation.core.retry import RetryPolicy

#: How long nobody takes what was given back.
GIVEN_BACK = RetryPolicy(backoff=1.0, max_backoff=60.0)


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
class Copy:
    """What a worker has told of a run that goes on: the job and the last of its output so far, as clients
    see them there."""

    at: float
    job: Mapping[str, Any]
    tail: tuple[Mapping[str, Any], ...] = ()


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
    copy: Copy | None = None  #: of the latest epoch, as long as its end is not told
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


def status_of_group(group: ClusterJob, children: Sequence[ClusterJob]) -> Status:
    """Return how a group stands, whose children are these: running until each of them is over, then the
    worst end. Of a group that is over some may be forgotten."""
    if len(children) < len(group.children) and group.is_over:
        return group.status
    if len(children) < len(group.children) or any(not each.is_over for each in children):
        begun = any(each.phase is not ClusterPhase.PENDING for each in children)
        return Status.RUNNING if begun else Status.PENDING
    ends = {each.phase for each in children}
    for worst in (ClusterPhase.FAILED, ClusterPhase.INTERRUPTED, ClusterPhase.CANCELLED):
        if worst in ends:
            return Status(worst.value)
    return Status.COMPLETED


def due_in(job: ClusterJob, now: float) -> float:
    """Return the seconds until the next attempt is due, by a clock that may not be the one that said so:
    a pause that is longer than any can be is over."""
    left = max(0.0, (job.not_before or now) - now)
    return left if left <= max(job.retry.max_backoff, GIVEN_BACK.max_backoff) else 0.0


def is_unfinished(job: ClusterJob) -> bool:
    """Whether the worker that has it, or had it when it was lost, has not told its end."""
    is_lost = job.reason == Reason.LOST and job.outcome is None
    return job.phase is ClusterPhase.CLAIMED or is_lost


def without_output(job: ClusterJob) -> ClusterJob:
    """Return the job without what its worker has too: output and result."""
    outcome = job.outcome and replace(job.outcome, tail=(), result=None)
    return replace(job, outcome=outcome, copy=job.copy and replace(job.copy, tail=()))
