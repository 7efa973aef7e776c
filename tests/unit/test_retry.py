"""When a failed attempt is repeated."""

import pytest

from console_automation.core.retry import RetryPolicy


def test_without_a_policy_nothing_is_repeated() -> None:
    assert not RetryPolicy().wants_another(1, "exit_code")


def test_the_back_off_grows_up_to_its_bound() -> None:
    policy = RetryPolicy(max_attempts=9, backoff=1, multiplier=3, max_backoff=20)
    assert [policy.pause(attempt) for attempt in (1, 2, 3, 4, 5)] == [1, 3, 9, 20, 20]


def test_a_huge_multiplier_does_not_overflow() -> None:
    assert RetryPolicy(backoff=1, multiplier=100, max_backoff=60).pause(10_000) == 60


@pytest.mark.parametrize("reason", ["lost", "reboot", "spawn_error", "output_limit"])
def test_what_may_have_run_unseen_is_repeated_only_when_asked_for(reason: str) -> None:
    assert not RetryPolicy(max_attempts=3).wants_another(1, reason)
    assert RetryPolicy(max_attempts=3, on=frozenset({reason})).wants_another(1, reason)


def test_the_number_of_attempts_is_kept() -> None:
    policy = RetryPolicy(max_attempts=2)
    assert policy.wants_another(1, "exit_code")
    assert not policy.wants_another(2, "exit_code")
