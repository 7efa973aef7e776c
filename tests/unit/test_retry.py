"""When a failed attempt is repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.retry import RetryPolicy


def test_without_a_policy_nothing_is_repeated() -> None:
    assert not RetryPolicy().wants_another(1, "exit_code")


def test_the_back_off_grows_up_to_its_bound() -> None:
    policy = RetryPolicy(max_attempts=9, backoff=1, multiplier=3, max_backoff=20)
    assert [policy.pause(attempt, "job-1") for attempt in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]


def test_a_huge_multiplier_does_not_overflow() -> None:
    assert RetryPolicy(backoff=1, multiplier=100, max_backoff=60).pause(10_000, "job-1") == 60


@pytest.mark.parametrize("reason", ["lost", "reboot", "spawn_error", "output_limit"])
def test_what_may_have_run_unseen_is_repeated_only_when_asked_for(reason: str) -> None:
    assert not RetryPolicy(max_attempts=3).wants_another(1, reason)
    assert RetryPolicy(max_attempts=3, on=frozenset({reason})).wants_another(1, reason)


def test_the_number_of_attempts_is_kept() -> None:
    policy = RetryPolicy(max_attempts=2)
    assert policy.wants_another(1, "exit_code")
    assert not policy.wants_another(2, "exit_code")


@given(st.integers(1, 50), st.floats(0, 1), st.text(max_size=20))
def test_jitter_takes_off_no_more_than_its_share_and_the_same_every_time(
    attempt: int, jitter: float, job_id: str
) -> None:
    policy = RetryPolicy(backoff=2, multiplier=2, max_backoff=60, jitter=jitter)
    whole = RetryPolicy(backoff=2, multiplier=2, max_backoff=60).pause(attempt, job_id)
    pause = policy.pause(attempt, job_id)
    assert whole * (1 - jitter) <= pause <= whole
    assert pause == policy.pause(attempt, job_id)


def test_jobs_that_fail_together_come_back_apart() -> None:
    policy = RetryPolicy(backoff=100, max_backoff=100, jitter=0.5)
    pauses = [policy.pause(1, f"job-{number}") for number in range(100)]
    assert max(pauses) - min(pauses) > 40
