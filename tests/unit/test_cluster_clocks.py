"""The life of a job of the cluster, where several clocks have a say in it."""

from dataclasses import replace

import pytest

from console_automation.core.cluster_job import (
    ClusterJob,
    Holder,
    Outcome,
    due_in,
)
from console_automation.core.cluster_lifecycle import Claimed, Ended, advance
from console_automation.core.job import Status
from console_automation.core.retry import RetryPolicy

JOB = ClusterJob(
    id="cluster-job-1",
    request={"command": "false"},
    target="_any",
    queue="any",
    created_at=0.0,
    client="test",
    owner="local",
    retry=RetryPolicy(max_attempts=2, backoff=10.0),
)


@pytest.mark.parametrize(
    ("reading", "left"), [(1000.0, 10.0), (995.0, 15.0), (1004.0, 6.0), (1020.0, 0.0), (5.0, 0.0)]
)
def test_a_pause_is_kept_by_clocks_that_are_nearly_right_and_held_against_nobody_by_others(
    reading: float, left: float
) -> None:
    claimed = advance(JOB, Claimed(at=1.0, holder=Holder(host="a", instance="a")))
    failed = Outcome(status=Status.FAILED, reason="exit_code", job={"exitCode": 1})
    waiting = advance(claimed, Ended(at=1000.0, epoch=1, host="a", outcome=failed))
    assert due_in(waiting, reading) == left
    assert due_in(replace(waiting, not_before=None), reading) == 0.0
