"""Jobs and workers of the cluster as others read them: as they were, whatever they say."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.cluster_codec import (
    job_from_bytes,
    job_to_bytes,
    worker_from_bytes,
    worker_to_bytes,
)
from console_automation.core.cluster_job import (
    Cancel,
    Child,
    ClusterJob,
    ClusterPhase,
    Copy,
    Holder,
    Late,
    Outcome,
    Refusal,
)
from console_automation.core.job import Reason, Status
from console_automation.core.retry import RetryPolicy
from console_automation.core.worker import Beat, Worker, beat_from_bytes, beat_to_bytes

some = settings(max_examples=60, deadline=None)

#: Also what bytes that are no UTF-8 turn into: lone surrogates.
TEXTS = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=20)
WORDS = TEXTS.filter(bool)
MAYBE = st.none() | WORDS
SECONDS = st.floats(0, 1e12, allow_nan=False)
COUNTS = st.integers(0, 1 << 62)
MAPS = st.dictionaries(TEXTS, TEXTS, max_size=3)
LEAVES = st.none() | st.booleans() | COUNTS | SECONDS | TEXTS
PLAIN = st.dictionaries(
    TEXTS, st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3), max_leaves=5), max_size=3
)
CODES = st.none() | st.integers(0, 255)


def several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


OUTCOMES = st.builds(
    Outcome,
    status=st.sampled_from(Status),
    reason=MAYBE,
    job=PLAIN,
    tail=several(PLAIN),
    result=MAYBE,
)
JOBS = st.builds(
    ClusterJob,
    id=WORDS,
    request=PLAIN,
    target=WORDS,
    queue=TEXTS,
    created_at=SECONDS,
    client=TEXTS,
    owner=TEXTS,
    retry=st.builds(
        RetryPolicy,
        max_attempts=st.integers(1, 100),
        backoff=SECONDS,
        on=st.frozensets(st.sampled_from(Reason)),
    ),
    fingerprint=TEXTS,
    retry_of=MAYBE,
    group=MAYBE,
    children=several(st.builds(Child, id=TEXTS, host=TEXTS)),
    phase=st.sampled_from(ClusterPhase),
    epoch=COUNTS,
    holder=st.none() | st.builds(Holder, host=TEXTS, instance=TEXTS),
    not_before=st.none() | SECONDS,
    claimed_at=st.none() | SECONDS,
    completed_at=st.none() | SECONDS,
    cancel=st.none() | st.builds(Cancel, signal=TEXTS, grace_ms=SECONDS, by=TEXTS),
    reason=MAYBE,
    error=MAYBE,
    refusals=several(st.builds(Refusal, host=TEXTS, why=TEXTS)),
    outcome=st.none() | OUTCOMES,
    copy=st.none() | st.builds(Copy, at=SECONDS, job=PLAIN, tail=several(PLAIN)),
    late=several(st.builds(Late, epoch=COUNTS, host=TEXTS, status=TEXTS, exit_code=CODES)),
)
WORKERS = st.builds(
    Worker, host=TEXTS, instance=TEXTS, version=TEXTS, labels=MAPS, cordoned_by=TEXTS
)
BEATS = st.builds(
    Beat,
    instance=TEXTS,
    slots=COUNTS,
    running=COUNTS,
    waiting=COUNTS,
    holds=COUNTS,
    takes_jobs=st.booleans(),
)


@some
@given(JOBS)
def test_a_job_comes_back_as_it_was(job: ClusterJob) -> None:
    sent = job_to_bytes(job)
    assert sent.isascii()
    assert job_from_bytes(sent) == job


@some
@given(WORKERS)
def test_a_worker_comes_back_as_it_was(worker: Worker) -> None:
    assert worker_from_bytes(worker_to_bytes(worker)) == worker


@some
@given(BEATS)
def test_a_sign_of_life_comes_back_as_it_was(beat: Beat) -> None:
    assert beat_from_bytes(beat_to_bytes(beat)) == beat


def test_a_new_job_takes_little_room() -> None:
    job = ClusterJob(
        id="cluster-job-" + "0" * 26,
        request={"command": "true"},
        target="_any",
        queue="any",
        created_at=1.5e9,
        client="job",
        owner="local",
    )
    assert len(job_to_bytes(job)) < 500


@pytest.mark.parametrize("name", ["id", "request", "target", "phase", "retry", "created_at"])
def test_a_record_that_lacks_what_it_cannot_be_without_is_an_error(name: str) -> None:
    job = ClusterJob(
        id="j", request={"command": "true"}, target="t", queue="", created_at=1, client="", owner=""
    )
    plain = json.loads(job_to_bytes(job))
    del plain[name]
    with pytest.raises((LookupError, TypeError, ValueError)):
        job_from_bytes(json.dumps(plain).encode())


def test_a_word_nobody_knows_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(ValueError, match="paused"):
        job_from_bytes(b'{"phase":"paused","retry":{}}')
