"""The life of a job of the cluster, as dialogues: an event in, the record after it out."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from console_automation.core.cluster_job import (
    OVER,
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
    status_of_group,
)
from console_automation.core.cluster_lifecycle import (
    TRANSITIONS,
    CancelAsked,
    ChildrenOver,
    Claimed,
    Copied,
    Ended,
    Event,
    NotResponding,
    Refused,
    WorkerLost,
    advance,
    child_of,
)
from console_automation.core.cluster_names import key_of, queue_of
from console_automation.core.job import Reason, Status
from console_automation.core.retry import RetryPolicy
from console_automation.errors import InvalidTransition

WEB, DB = Holder(host="web", instance="1"), Holder(host="db", instance="2")
CANCEL = Cancel(signal="TERM", grace_ms=500.0, by="me")
AGAIN = RetryPolicy(max_attempts=2, backoff=4.0, on=frozenset({"lost", "exit_code"}))
LIMIT = 3
PHASES = tuple(ClusterPhase)


def born(**fields: Any) -> ClusterJob:
    defaults: dict[str, Any] = {
        "id": "cluster-job-1",
        "request": {"command": "true"},
        "target": "_any",
        "queue": "any",
        "created_at": 0.0,
        "client": "test",
        "owner": "local",
    }
    return ClusterJob(**{**defaults, **fields})


def outcome(status: Status = Status.COMPLETED, reason: str | None = None, code: int = 0) -> Outcome:
    return Outcome(status=status, reason=reason, job={"exitCode": code})


GOOD = outcome()
BAD = outcome(Status.FAILED, Reason.EXIT_CODE, 3)
TORN = outcome(Status.INTERRUPTED, Reason.LOST)


def claimed(holder: Holder = WEB, **fields: Any) -> ClusterJob:
    return advance(born(**fields), Claimed(at=1.0, holder=holder))


def ended(epoch: int = 1, what: Outcome = GOOD, host: str = "web", at: float = 9.0) -> Ended:
    return Ended(at=at, epoch=epoch, host=host, outcome=what)


def lost(job: ClusterJob, at: float = 5.0) -> ClusterJob:
    return advance(job, WorkerLost(at=at, epoch=job.epoch))


def refused(job: ClusterJob, why: str = "no room") -> ClusterJob:
    return advance(job, Refused(at=2.0, epoch=job.epoch, why=why, limit=LIMIT))


def test_a_claim_begins_an_epoch_and_says_whose_it_is() -> None:
    job = claimed()
    assert (job.phase, job.epoch, job.holder, job.claimed_at) == (ClusterPhase.CLAIMED, 1, WEB, 1.0)
    assert (job.status, job.attempt) == (Status.RUNNING, 1)


@pytest.mark.parametrize("phase", [each for each in PHASES if each is not ClusterPhase.PENDING])
def test_only_what_is_pending_can_be_claimed(phase: ClusterPhase) -> None:
    with pytest.raises(InvalidTransition):
        advance(replace(claimed(), phase=phase), Claimed(at=2.0, holder=DB))


@pytest.mark.parametrize(
    ("what", "phase"),
    [
        (GOOD, ClusterPhase.COMPLETED),
        (BAD, ClusterPhase.FAILED),
        (TORN, ClusterPhase.INTERRUPTED),
        (outcome(Status.CANCELLED, Reason.CANCELLED), ClusterPhase.CANCELLED),
    ],
)
def test_a_job_ends_as_its_worker_says(what: Outcome, phase: ClusterPhase) -> None:
    over = advance(claimed(), ended(what=what))
    assert (over.phase, over.outcome, over.completed_at) == (phase, what, 9.0)
    assert over.is_over and not is_unfinished(over)


def test_what_a_run_had_told_is_kept_until_its_end_is_told() -> None:
    told = Copy(at=3.0, job={"id": "job-1"}, tail=({"content": "so far"},))
    job = advance(claimed(), Copied(at=3.0, epoch=1, copy=told))
    assert (job.phase, job.copy, lost(job).copy) == (ClusterPhase.CLAIMED, told, told)
    assert advance(job, ended()).copy is None and advance(lost(job), ended()).copy is None


def test_what_an_earlier_attempt_had_told_is_not_the_next_ones() -> None:
    told = Copied(at=3.0, epoch=1, copy=Copy(at=3.0, job={}))
    retry = RetryPolicy(max_attempts=2, on=frozenset({"lost"}))
    first = lost(advance(claimed(retry=retry), told))
    assert first.phase is ClusterPhase.PENDING and first.copy
    second = advance(first, Claimed(at=9.0, holder=DB))
    assert second.copy is None and advance(second, told) == second


def test_a_failed_attempt_goes_back_to_pending_for_any_worker_after_its_pause() -> None:
    job = advance(claimed(retry=AGAIN), ended(what=BAD))
    assert (job.phase, job.not_before, job.completed_at) == (ClusterPhase.PENDING, 13.0, None)
    second = advance(job, Claimed(at=14.0, holder=DB))
    assert (second.epoch, second.attempt, second.holder) == (2, 2, DB)
    assert (second.not_before, second.outcome, second.reason) == (None, None, None)
    assert advance(second, ended(epoch=2, what=BAD)).phase is ClusterPhase.FAILED


def test_a_failure_that_was_told_twice_is_one_attempt() -> None:
    job = advance(claimed(retry=AGAIN), ended(what=BAD))
    assert advance(job, ended(what=BAD)) == job
    assert advance(job, ended(what=GOOD)) == job


def test_a_worker_that_is_lost_leaves_an_interrupted_job() -> None:
    job = lost(claimed())
    assert (job.phase, job.reason, job.completed_at) == (
        ClusterPhase.INTERRUPTED,
        Reason.LOST,
        5.0,
    )
    assert "web" in (job.error or "") and job.is_dead_letter and is_unfinished(job)


def test_the_late_result_of_a_worker_that_was_taken_for_lost_counts() -> None:
    over = advance(lost(claimed()), ended())
    assert (over.phase, over.reason, over.error) == (ClusterPhase.COMPLETED, None, None)
    assert not over.late
    assert advance(over, ended(what=BAD)) == over, "and that is the end of it"


def test_a_lost_worker_is_followed_by_another_where_the_policy_says_so() -> None:
    job = lost(claimed(retry=AGAIN))
    assert (job.phase, job.not_before, job.completed_at) == (ClusterPhase.PENDING, 9.0, None)
    assert advance(job, Claimed(at=10.0, holder=DB)).epoch == 2


def test_a_lost_worker_that_comes_back_before_the_next_has_begun_ends_the_job() -> None:
    waiting = lost(claimed(retry=AGAIN))
    over = advance(waiting, ended())
    assert (over.phase, over.not_before) == (ClusterPhase.COMPLETED, None)
    with pytest.raises(InvalidTransition):
        advance(over, Claimed(at=10.0, holder=DB))


def test_a_lost_worker_that_comes_back_with_a_failure_does_not_stop_the_next_attempt() -> None:
    waiting = lost(claimed(retry=AGAIN))
    told = advance(waiting, ended(what=BAD))
    assert (told.phase, told.outcome, told.not_before) == (ClusterPhase.PENDING, BAD, 9.0)
    assert advance(told, ended(what=GOOD)) == told, "its first word counts"


def test_the_result_of_an_older_epoch_is_set_aside_once_and_changes_nothing() -> None:
    second = advance(lost(claimed(retry=AGAIN)), Claimed(at=10.0, holder=DB))
    aside = advance(second, ended(what=BAD))
    assert aside.late == (Late(epoch=1, host="web", status="failed", exit_code=3),)
    assert replace(aside, late=()) == second
    assert advance(aside, ended(what=GOOD)) == aside
    over = advance(aside, ended(epoch=2, host="db"))
    assert (over.phase, over.late) == (ClusterPhase.COMPLETED, aside.late)
    assert advance(over, ended(what=BAD)) == over


def test_no_word_about_an_epoch_to_come_counts() -> None:
    job = claimed()
    for event in (
        ended(epoch=2),
        WorkerLost(at=5.0, epoch=2),
        Refused(at=5.0, epoch=2, why="", limit=1),
    ):
        assert advance(job, event) == job


def test_a_loss_of_an_epoch_that_is_over_does_not_touch_the_next() -> None:
    second = advance(lost(claimed(retry=AGAIN)), Claimed(at=10.0, holder=DB))
    assert advance(second, WorkerLost(at=11.0, epoch=1)) == second
    assert advance(second, Refused(at=11.0, epoch=1, why="late", limit=1)) == second


def test_a_job_that_is_given_back_waits_for_another_worker_and_counts_no_attempt() -> None:
    job = refused(claimed(), "no such directory")
    assert (job.phase, job.holder, job.attempt, job.epoch) == (ClusterPhase.PENDING, None, 0, 1)
    assert job.refusals == (Refusal(host="web", why="no such directory"),)
    assert job.not_before is not None and job.not_before > 2.0
    assert advance(job, Claimed(at=20.0, holder=DB)).attempt == 1


def test_what_nobody_can_begin_is_given_up_and_is_a_dead_letter() -> None:
    job = born()
    for number in range(LIMIT):
        assert not job.is_over
        job = refused(advance(job, Claimed(at=float(number), holder=WEB)))
    assert (job.phase, job.reason) == (ClusterPhase.FAILED, Reason.UNDELIVERED)
    assert job.is_dead_letter and len(job.refusals) == LIMIT


def test_a_pending_job_is_cancelled_at_once_and_never_claimed() -> None:
    job = advance(born(), CancelAsked(at=3.0, cancel=CANCEL))
    assert (job.phase, job.reason, job.completed_at) == (
        ClusterPhase.CANCELLED,
        Reason.CANCELLED,
        3.0,
    )
    with pytest.raises(InvalidTransition):
        advance(job, Claimed(at=4.0, holder=WEB))


def test_a_claimed_job_is_cancelled_when_its_worker_says_so_and_not_repeated() -> None:
    asked = advance(claimed(retry=AGAIN), CancelAsked(at=3.0, cancel=CANCEL))
    assert (asked.phase, asked.cancel) == (ClusterPhase.CLAIMED, CANCEL)
    gone = outcome(Status.CANCELLED, Reason.CANCELLED)
    assert advance(asked, ended(what=gone)).phase is ClusterPhase.CANCELLED
    assert advance(asked, ended(what=BAD)).phase is ClusterPhase.FAILED
    assert advance(asked, ended(what=GOOD)).phase is ClusterPhase.COMPLETED
    assert lost(asked).phase is ClusterPhase.INTERRUPTED
    assert refused(asked).phase is ClusterPhase.CANCELLED


def test_a_worker_that_does_not_respond_fails_what_was_for_it_alone() -> None:
    job = advance(born(group="g", target="web"), NotResponding(at=4.0, host="web"))
    assert (job.phase, job.reason) == (ClusterPhase.FAILED, Reason.UNDELIVERED)
    assert "worker web did not respond" in (job.error or "")
    busy = claimed(group="g", target="web")
    assert advance(busy, NotResponding(at=4.0, host="web")) == busy


def test_a_worker_that_does_not_respond_after_a_failed_attempt_leaves_that_as_the_end() -> None:
    failed = advance(claimed(retry=AGAIN), ended(what=BAD))
    assert failed.phase is ClusterPhase.PENDING
    over = advance(failed, NotResponding(at=9.0, host="web"))
    assert (over.phase, over.reason, over.outcome) == ("failed", Reason.EXIT_CODE, BAD)
    assert (over.completed_at, over.not_before, over.is_dead_letter) == (9.0, None, True)


def test_a_dead_letter_is_what_was_not_delivered_lost_or_tried_in_vain() -> None:
    assert not advance(claimed(), ended(what=BAD)).is_dead_letter
    once = replace(AGAIN, on=frozenset({"lost"}))
    assert advance(claimed(retry=once), ended(what=BAD)).is_dead_letter
    assert not advance(claimed(retry=AGAIN), ended()).is_dead_letter


# -- groups ------------------------------------------------------------------------------------

GROUP = born(
    id="g", target="_all", queue="", children=(Child(id="g-1", host="a"), Child(id="g-2", host="b"))
)
CHILDREN = tuple(child_of(GROUP, each) for each in GROUP.children)


def test_a_child_is_a_job_for_one_worker_alone() -> None:
    assert [(each.id, each.target, each.queue, each.group) for each in CHILDREN] == [
        ("g-1", "a", queue_of("a"), "g"),
        ("g-2", "b", queue_of("b"), "g"),
    ]
    assert not any(each.is_group for each in CHILDREN)


def test_of_a_group_that_has_failed_its_children_are_the_dead_letters() -> None:
    group = replace(GROUP, retry=AGAIN)
    failed = advance(group, ChildrenOver(at=1.0, status=Status.FAILED))
    assert failed.phase is ClusterPhase.FAILED
    assert not failed.is_dead_letter


def test_a_child_that_is_made_after_its_group_was_cancelled_never_begins() -> None:
    asked = advance(GROUP, CancelAsked(at=1.0, cancel=CANCEL))
    assert asked.phase is ClusterPhase.PENDING
    assert child_of(asked, asked.children[1]).phase is ClusterPhase.CANCELLED


@pytest.mark.parametrize(
    ("phases", "status"),
    [
        ("PENDING PENDING", Status.PENDING),
        ("PENDING CLAIMED", Status.RUNNING),
        ("COMPLETED PENDING", Status.RUNNING),
        ("FAILED CLAIMED", Status.RUNNING),
        ("COMPLETED COMPLETED", Status.COMPLETED),
        ("COMPLETED CANCELLED", Status.CANCELLED),
        ("INTERRUPTED CANCELLED", Status.INTERRUPTED),
        ("INTERRUPTED FAILED", Status.FAILED),
        ("COMPLETED", Status.RUNNING),
        ("PENDING", Status.PENDING),
    ],
)
def test_a_group_runs_until_each_child_is_over_and_then_ends_as_the_worst(
    phases: str, status: Status
) -> None:
    children = [
        replace(child, phase=ClusterPhase[word])
        for child, word in zip(CHILDREN, phases.split(), strict=False)
    ]
    assert status_of_group(GROUP, children) is status


def test_a_group_that_is_over_stands_as_it_did_when_its_children_are_forgotten() -> None:
    over = advance(GROUP, ChildrenOver(at=2.0, status=Status.FAILED))
    assert status_of_group(over, CHILDREN[:1]) is Status.FAILED


# -- the table ---------------------------------------------------------------------------------

EVENTS: tuple[Event, ...] = (
    Refused(at=1.0, epoch=1, why="", limit=LIMIT),
    Copied(at=1.0, epoch=1, copy=Copy(at=1.0, job={})),
    ended(),
    CancelAsked(at=1.0, cancel=CANCEL),
    WorkerLost(at=1.0, epoch=1),
    NotResponding(at=1.0, host="web"),
    ChildrenOver(at=1.0, status=Status.COMPLETED),
)


@pytest.mark.parametrize(
    ("phase", "event"),
    [
        pytest.param(phase, event, id=f"{phase.name} {type(event).__name__}")
        for phase, event in itertools.product(PHASES, EVENTS)
        if (phase, type(event)) not in TRANSITIONS
    ],
)
def test_what_is_not_in_the_table_changes_nothing(phase: ClusterPhase, event: Event) -> None:
    job = replace(claimed(), phase=phase)
    assert advance(job, event) == job


def test_nothing_leaves_its_end_but_for_the_late_word_of_a_lost_worker() -> None:
    leaving = {
        (phase, event)
        for (phase, event), to in TRANSITIONS.items()
        if phase in OVER and to != (phase,)
    }
    assert leaving == {(ClusterPhase.INTERRUPTED, Ended)}


def test_every_epoch_of_every_job_has_a_key_of_its_own() -> None:
    keys = {key_of(f"j-{child}", epoch) for child in range(12) for epoch in range(12)}
    assert len(keys) == 144
