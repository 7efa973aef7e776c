"""The life of a job, as dialogues: an event in, the job after it and the effects out."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.job import TERMINAL, Cause, Exit, Job, Phase, Reason, Status
from console_automation.core.lifecycle import (
    TRANSITIONS,
    CancelRequested,
    DependencyFailed,
    Dequeue,
    Due,
    Enqueue,
    Exited,
    FreeSlot,
    Lost,
    NotStarted,
    Picked,
    RunEvent,
    Settle,
    Started,
    StartRun,
    StopRun,
    Submitted,
    Unblocked,
    WakeAt,
    advance,
    is_met,
    submit,
)
from console_automation.core.retry import RetryPolicy
from console_automation.errors import InvalidTransition
from tests.builders import exit_of, job, spec

RUN = "job-1.1"
CANCEL = CancelRequested(at=5.0, signal=15, grace=3.0, by="me")


def test_a_new_job_waits_in_the_queue() -> None:
    assert submit("job-1", spec(), Submitted(at=0)) == (job(phase=Phase.READY), (Enqueue(),))


def test_a_new_job_with_open_dependencies_is_not_queued() -> None:
    assert submit("job-1", spec(), Submitted(at=0, blocked=True)) == (job(phase=Phase.BLOCKED), ())


def test_a_picked_job_is_handed_to_a_shim() -> None:
    picked, effects = advance(job(), Picked(at=1, run_id=RUN, boot_id="this-boot"))
    assert (picked.phase, picked.attempt, picked.run_id) == (Phase.STARTING, 1, RUN)
    assert effects == (StartRun(run_id=RUN, previous_run_id=None),)


def test_a_started_job_is_running_under_its_pid() -> None:
    running, effects = advance(job(phase=Phase.STARTING), Started(at=1, run_id=RUN, pid=7))
    assert (running.phase, running.pid, running.started_at) == (Phase.RUNNING, 7, 1)
    assert effects == ()


@pytest.mark.parametrize(
    ("exit", "phase", "reason"),
    [
        (exit_of(0), Phase.COMPLETED, None),
        (exit_of(1), Phase.FAILED, Reason.EXIT_CODE),
        (exit_of(137), Phase.FAILED, Reason.EXIT_CODE),
        (exit_of(None, signal=9), Phase.FAILED, Reason.SIGNAL),
        (exit_of(None, signal=15, cause=Cause.CANCEL), Phase.CANCELLED, Reason.CANCELLED),
        (exit_of(0, cause=Cause.CANCEL), Phase.CANCELLED, Reason.CANCELLED),
        (exit_of(None, signal=15, cause=Cause.TIMEOUT), Phase.FAILED, Reason.TIMEOUT),
        (exit_of(None, signal=15, cause=Cause.IDLE_TIMEOUT), Phase.FAILED, Reason.IDLE_TIMEOUT),
        (exit_of(None, signal=15, cause=Cause.OUTPUT_LIMIT), Phase.FAILED, Reason.OUTPUT_LIMIT),
        (exit_of(None, cause=Cause.SPAWN_ERROR, error="ENOEXEC"), Phase.FAILED, Reason.SPAWN_ERROR),
    ],
)
def test_the_exit_decides_the_terminal_status(
    exit: Exit, phase: Phase, reason: Reason | None
) -> None:
    over, effects = advance(job(phase=Phase.RUNNING), Exited(at=2, run_id=RUN, exit=exit))
    assert (over.phase, over.reason, over.exit) == (phase, reason, exit)
    assert effects == (FreeSlot(), Settle())


def test_a_short_command_may_exit_before_its_start_was_told() -> None:
    over, _ = advance(job(phase=Phase.STARTING), Exited(at=2, run_id=RUN, exit=exit_of(0)))
    assert (over.status, over.started_at, over.completed_at) == (Status.COMPLETED, 1.0, 2.0)


@pytest.mark.parametrize("phase", [Phase.BLOCKED, Phase.DELAYED, Phase.READY])
def test_cancelling_a_job_that_does_not_run_settles_it_at_once(phase: Phase) -> None:
    cancelled, effects = advance(job(phase=phase), CANCEL)
    assert (cancelled.status, cancelled.reason) == (Status.CANCELLED, Reason.CANCELLED)
    assert effects == ((Dequeue(), Settle()) if phase is Phase.READY else (Settle(),))


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.RUNNING, Phase.STOPPING])
def test_cancelling_a_live_job_stops_its_run_and_waits_for_the_exit(phase: Phase) -> None:
    stopping, effects = advance(job(phase=phase), CANCEL)
    assert (stopping.phase, stopping.status) == (Phase.STOPPING, Status.RUNNING)
    assert effects == (StopRun(run_id=RUN, signal=15, grace=3.0),)


def test_a_job_that_ended_by_itself_before_the_stop_came_keeps_its_own_verdict() -> None:
    over, _ = advance(job(phase=Phase.STOPPING), Exited(at=2, run_id=RUN, exit=exit_of(0)))
    assert over.status is Status.COMPLETED


def test_a_failed_attempt_is_repeated_after_its_back_off() -> None:
    retried = job(phase=Phase.RUNNING, spec=spec(retry=RetryPolicy(max_attempts=3, backoff=4)))
    delayed, effects = advance(retried, Exited(at=2, run_id=RUN, exit=exit_of(1)))
    assert (delayed.phase, delayed.not_before) == (Phase.DELAYED, 6.0)
    assert effects == (FreeSlot(), WakeAt(at=6.0))
    ready, effects = advance(delayed, Due(at=6.0))
    assert (ready.phase, effects) == (Phase.READY, (Enqueue(),))


def test_the_output_of_an_earlier_attempt_counts_as_dropped_and_the_numbers_go_on() -> None:
    failed = replace(job(phase=Phase.READY), output=exit_of().output, run_id=RUN, dispatches=1)
    picked, effects = advance(failed, Picked(at=7, run_id="job-1.2", boot_id="this-boot"))
    assert (picked.output.dropped_bytes, picked.output.last_sequence) == (10, 1)
    assert effects == (StartRun(run_id="job-1.2", previous_run_id=RUN),)


def test_a_cancelled_attempt_is_never_repeated() -> None:
    stopping = job(phase=Phase.STOPPING, spec=spec(retry=RetryPolicy(max_attempts=3)))
    over, _ = advance(stopping, Exited(at=2, run_id=RUN, exit=exit_of(1)))
    assert over.status is Status.FAILED


def test_a_lost_run_leaves_the_job_interrupted_without_an_exit_code() -> None:
    lost, effects = advance(job(phase=Phase.RUNNING), Lost(at=9, run_id=RUN, reason=Reason.REBOOT))
    assert (lost.status, lost.reason, lost.exit) == (Status.INTERRUPTED, Reason.REBOOT, None)
    assert effects == (FreeSlot(), Settle())


def test_a_run_that_never_began_goes_back_to_the_queue_and_costs_no_attempt() -> None:
    back, effects = advance(job(phase=Phase.STARTING), NotStarted(at=9, run_id=RUN))
    assert (back.phase, back.attempt, back.dispatches) == (Phase.READY, 0, 1)
    assert effects == (FreeSlot(), Enqueue())


def test_a_run_that_never_began_and_is_to_stop_is_cancelled() -> None:
    over, effects = advance(job(phase=Phase.STOPPING), NotStarted(at=9, run_id=RUN))
    assert (over.status, effects) == (Status.CANCELLED, (FreeSlot(), Settle()))


def test_a_failed_dependency_fails_the_job_and_names_it() -> None:
    over, _ = advance(job(phase=Phase.BLOCKED), DependencyFailed(at=1, job_id="job-0"))
    assert (over.status, over.reason) == (Status.FAILED, Reason.DEPENDENCY)
    assert "job-0" in (over.error or "")


@pytest.mark.parametrize("phase", Phase)
def test_a_need_is_met_when_it_has_completed_or_if_that_is_wanted_is_over(phase: Phase) -> None:
    need = job(phase=phase)
    assert is_met(spec(), need) == (phase is Phase.COMPLETED)
    assert is_met(spec(even_if_failed=True), need) == (phase in TERMINAL)


def test_late_news_about_an_older_run_changes_nothing() -> None:
    second = job(phase=Phase.RUNNING, run_id="job-1.2", dispatches=2)
    assert advance(second, Exited(at=2, run_id=RUN, exit=exit_of(1))) == (second, ())


@pytest.mark.parametrize("phase", sorted(TERMINAL))
def test_a_terminal_status_is_final(phase: Phase) -> None:
    over = job(phase=phase, run_id=RUN)
    for event in (CANCEL, Exited(at=9, run_id=RUN, exit=exit_of(1)), Due(at=9), Unblocked(at=9)):
        assert advance(over, event) == (over, ())


def test_what_cannot_happen_is_refused_with_the_job_and_its_phase() -> None:
    with pytest.raises(InvalidTransition, match="Due cannot happen to job-1, which is ready"):
        advance(job(phase=Phase.READY), Due(at=1))


EVENTS = st.sampled_from(
    [
        Unblocked(at=1),
        DependencyFailed(at=1, job_id="job-0"),
        Due(at=1),
        CANCEL,
        Picked(at=1, run_id="?", boot_id="this-boot"),
        Started(at=1, run_id="?", pid=7),
        Exited(at=2, run_id="?", exit=exit_of(0)),
        Exited(at=2, run_id="?", exit=exit_of(1)),
        Exited(at=2, run_id="?", exit=exit_of(None, signal=15, cause=Cause.CANCEL)),
        Lost(at=2, run_id="?", reason=Reason.LOST),
        NotStarted(at=2, run_id="?"),
    ]
)


@settings(max_examples=300)
@given(st.lists(EVENTS, max_size=30), st.booleans(), st.integers(1, 3))
def test_any_story_keeps_the_books_straight(events: list[Any], blocked: bool, most: int) -> None:
    """Slots taken are given back, terminal is terminal, and each move stands in the table."""
    policy = RetryPolicy(max_attempts=most, on=frozenset({"exit_code", "lost"}))
    current, effects = submit("job-1", spec(retry=policy), Submitted(at=0, blocked=blocked))
    queued, slots, settled = sum(isinstance(e, Enqueue) for e in effects), 0, 0
    for event in events:
        if isinstance(event, Picked):
            event = replace(event, run_id=f"job-1.{current.dispatches + 1}")  # noqa: PLW2901
        elif isinstance(event, RunEvent):
            event = replace(event, run_id=current.run_id or "none")  # noqa: PLW2901
        before: Job = current
        try:
            current, effects = advance(current, event)
        except InvalidTransition:
            assert (before.phase, type(event)) not in TRANSITIONS
            continue
        if current is not before:
            assert current.phase in TRANSITIONS[before.phase, type(event)]
        for effect in effects:
            match effect:
                case Enqueue():
                    queued += 1
                case Dequeue():
                    queued -= 1
                case StartRun():
                    queued, slots = queued - 1, slots + 1
                case FreeSlot():
                    slots -= 1
                case Settle():
                    settled += 1
        assert queued == (current.phase is Phase.READY)
        assert slots == current.is_live
        assert settled == current.is_terminal
        assert current.attempt <= most
