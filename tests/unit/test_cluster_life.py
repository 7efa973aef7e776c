"""Any story of a job of the cluster: what workers and gateways say comes in any order, twice, or late,
and what has been promised of its record holds at every turn."""

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from console_automation.core.cluster_codec import job_from_bytes, job_to_bytes
from console_automation.core.cluster_job import (
    Cancel,
    ClusterJob,
    ClusterPhase,
    Copy,
    Holder,
    Outcome,
    is_unfinished,
)
from console_automation.core.cluster_lifecycle import (
    CancelAsked,
    Claimed,
    Copied,
    Ended,
    Event,
    NotResponding,
    Refused,
    WorkerLost,
    advance,
)
from console_automation.core.job import Reason, Status
from console_automation.core.retry import RetryPolicy
from console_automation.errors import InvalidTransition

LIMIT = 2
OUTCOMES = st.sampled_from(
    [
        (Status.FAILED, Reason.EXIT_CODE),
        (Status.COMPLETED, None),
        (Status.FAILED, Reason.TIMEOUT),
        (Status.INTERRUPTED, Reason.LOST),
        (Status.CANCELLED, Reason.CANCELLED),
    ]
)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 4),
    on=st.sampled_from(
        [
            frozenset({Reason.LOST, Reason.EXIT_CODE, Reason.TIMEOUT}),
            frozenset({Reason.LOST}),
            frozenset({Reason.EXIT_CODE}),
        ]
    ),
)
#: Of which epoch a word is, seen from the current one.
EPOCHS = st.sampled_from([0, 0, 0, -1, -2, 1])


class Life(RuleBasedStateMachine):
    """One record, and everybody who has something to say about it."""

    said = Bundle("said")  #: what was said once and can come again at any time

    @initialize(retry=POLICIES)
    def submit(self, retry: RetryPolicy) -> None:
        self.now = 0.0
        self.job = ClusterJob(
            id="cluster-job-1",
            request={"command": "true"},
            target="_any",
            queue="any",
            created_at=0.0,
            client="test",
            owner="local",
            retry=retry,
        )
        self.counted: dict[int, Outcome] = {}  #: by epoch: the outcome that went into the record
        self.begun: dict[int, Holder] = {}

    def happen(self, event: Event) -> Event:
        before, after = self.job, advance(self.job, event)
        assert advance(after, event) == after, "what comes twice counts once"
        assert after.epoch == before.epoch, "only a claim begins an epoch"
        assert after.refusals[: len(before.refusals)] == before.refusals
        assert after.late[: len(before.late)] == before.late
        self._check_epoch(before, after, event)
        self._check_ends(before, after, event)
        if after.outcome is not before.outcome:
            assert isinstance(event, Ended) and event.epoch == before.epoch
            assert after.epoch not in self.counted, "one outcome of an epoch counts"
            assert after.outcome is event.outcome
            self.counted[after.epoch] = event.outcome
        self.job = after
        return event

    def _check_epoch(self, before: ClusterJob, after: ClusterJob, event: Event) -> None:
        if isinstance(event, Copied | Ended | Refused | WorkerLost) and event.epoch != before.epoch:
            assert replace(after, late=before.late) == before, "only the current epoch has a say"
        if isinstance(event, Ended) and event.epoch < before.epoch:
            assert event.epoch in {each.epoch for each in after.late}, "but it is kept"

    def _check_ends(self, before: ClusterJob, after: ClusterJob, event: Event) -> None:
        if not before.is_over:
            return
        as_it_was = (before.phase, before.reason, before.outcome, before.completed_at)
        if (after.phase, after.reason, after.outcome, after.completed_at) != as_it_was:
            assert before.phase is ClusterPhase.INTERRUPTED and before.reason == Reason.LOST
            assert before.outcome is None and isinstance(event, Ended)
            assert after.phase == ClusterPhase(event.outcome.status.value)

    # -- what workers say ----------------------------------------------------------------------

    @precondition(lambda self: self.job.phase is not ClusterPhase.CLAIMED)
    @rule(host=st.sampled_from("abc"))
    def claim_what_waits(self, host: str) -> None:
        self.claim(host)

    @rule(host=st.sampled_from("abc"))
    def claim_anything(self, host: str) -> None:
        self.claim(host)

    def claim(self, host: str) -> None:
        self.now += 1
        before = self.job
        holder = Holder(host=host, instance=host)
        try:
            self.job = advance(before, Claimed(at=self.now, holder=holder))
        except InvalidTransition:
            assert before.phase is not ClusterPhase.PENDING
            return
        assert before.phase is ClusterPhase.PENDING
        assert self.job.epoch == before.epoch + 1
        assert self.job.epoch not in self.begun, "no epoch has two holders"
        self.begun[self.job.epoch] = holder

    @rule(target=said, apart=EPOCHS, what=OUTCOMES, code=st.integers(0, 255))
    def end(self, apart: int, what: tuple[Status, str | None], code: int) -> Event:
        self.now += 1
        epoch = self.job.epoch + apart
        holder = self.begun.get(epoch, Holder(host="x", instance="x"))
        outcome = Outcome(status=what[0], reason=what[1], job={"exitCode": code})
        return self.happen(Ended(at=self.now, epoch=epoch, host=holder.host, outcome=outcome))

    @rule(target=said, apart=EPOCHS)
    def go_on(self, apart: int) -> Event:
        self.now += 1
        copy = Copy(at=self.now, job={}, tail=({"sequenceNumber": self.now},))
        return self.happen(Copied(at=self.now, epoch=self.job.epoch + apart, copy=copy))

    @rule(target=said, apart=EPOCHS)
    def give_back(self, apart: int) -> Event:
        self.now += 1
        epoch = self.job.epoch + apart
        return self.happen(Refused(at=self.now, epoch=epoch, why="no room", limit=LIMIT))

    # -- what gateways say ---------------------------------------------------------------------

    @precondition(lambda self: self.job.phase is ClusterPhase.CLAIMED)
    @rule(target=said)
    def lose_the_holder(self) -> Event:
        return self.lose(0)

    @rule(target=said, apart=EPOCHS)
    def lose_any(self, apart: int) -> Event:
        return self.lose(apart)

    def lose(self, apart: int) -> Event:
        self.now += 1
        return self.happen(WorkerLost(at=self.now, epoch=self.job.epoch + apart))

    @precondition(lambda self: self.job.epoch > 1)
    @rule(target=said)
    def cancel(self) -> Event:
        self.now += 1
        cancel = Cancel(signal="TERM", grace_ms=1.0, by="somebody")
        return self.happen(CancelAsked(at=self.now, cancel=cancel))

    @precondition(lambda self: self.job.epoch > 2)
    @rule(target=said)
    def not_respond(self) -> Event:
        self.now += 1
        return self.happen(NotResponding(at=self.now, host="a"))

    @rule(event=said)
    def come_again(self, event: Event) -> None:
        self.happen(event)

    # -- what always holds ---------------------------------------------------------------------

    @invariant()
    def the_record_says_what_is_so(self) -> None:
        job = self.job
        assert (job.completed_at is not None) is job.is_over
        assert len(job.refusals) <= LIMIT
        assert 0 <= job.attempt <= max(1, job.retry.max_attempts)
        assert len({each.epoch for each in job.late}) == len(job.late)
        assert all(each.epoch < job.epoch for each in job.late)
        if job.phase is ClusterPhase.CLAIMED:
            assert job.holder == self.begun[job.epoch] and job.outcome is None
        if job.outcome is not None or job.epoch == 0:
            assert job.copy is None, "there is one of a run whose end is not told"
        if job.cancel is not None:
            assert job.phase is not ClusterPhase.PENDING, "what is cancelled does not begin again"
        if is_unfinished(job):
            assert job.holder is not None, "there is somebody who will tell the end"

    @invariant()
    def the_record_comes_back_as_it_is(self) -> None:
        assert job_from_bytes(job_to_bytes(self.job)) == self.job


TestLife: Any = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
