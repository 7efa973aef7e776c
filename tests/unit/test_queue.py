"""The ready queue against a naive oracle, and its rules one by one."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from console_automation.core.queue import Hindrance, ReadyQueue


def filled(queue: ReadyQueue, *jobs: tuple[str, int, str | None]) -> ReadyQueue:
    for job_id, priority, session in jobs:
        queue.push(job_id, priority=priority, session_id=session)
    return queue


def picked(queue: ReadyQueue) -> list[str]:
    found = []
    while (job_id := queue.pick()) is not None:
        found.append(job_id)
    return found


def test_a_higher_priority_runs_first_and_within_one_the_first_comer() -> None:
    queue = filled(
        ReadyQueue(total=9, per_session=9), ("a", 5, None), ("b", 9, None), ("c", 5, None)
    )
    assert picked(queue) == ["b", "a", "c"]


def test_a_job_that_comes_back_has_its_old_place() -> None:
    queue = filled(ReadyQueue(total=9, per_session=9), *((x, 5, None) for x in "abc"))
    assert queue.pick() == "a"
    queue.release("a")
    queue.push("a", priority=5, session_id=None)
    assert picked(queue) == ["a", "b", "c"]


def test_never_more_runs_than_the_total_cap() -> None:
    queue = filled(ReadyQueue(total=2, per_session=9), *((x, 5, None) for x in "abc"))
    assert picked(queue) == ["a", "b"]
    queue.release("a")
    assert picked(queue) == ["c"]


def test_a_session_at_its_cap_holds_nobody_else_back() -> None:
    queue = ReadyQueue(total=9, per_session=1)
    filled(queue, ("a", 9, "s"), ("b", 9, "s"), ("c", 1, "t"), ("d", 1, None))
    assert picked(queue) == ["a", "c", "d"]
    queue.release("a")
    assert picked(queue) == ["b"]


def test_a_run_taken_up_after_a_restart_counts_even_above_the_caps() -> None:
    queue = filled(ReadyQueue(total=1, per_session=1), ("new", 5, None))
    queue.occupy("old-1", "s")
    queue.occupy("old-2", "s")
    assert picked(queue) == []
    queue.release("old-1")
    assert picked(queue) == []
    queue.release("old-2")
    assert picked(queue) == ["new"]


def test_position_and_hindrance_say_why_a_job_waits() -> None:
    queue = ReadyQueue(total=2, per_session=1)
    filled(queue, ("a", 5, "s"), ("b", 5, "s"), ("c", 5, "t"))
    assert queue.pick() == "a"
    assert (queue.position("b"), queue.hindrance("b")) == (1, Hindrance.SESSION_CAP)
    assert (queue.position("c"), queue.hindrance("c")) == (2, Hindrance.TURN)
    assert queue.pick() == "c"
    assert queue.hindrance("b") is Hindrance.TOTAL_CAP
    assert (queue.position("a"), queue.hindrance("a")) == (None, None)


def test_a_job_waits_once() -> None:
    queue = filled(ReadyQueue(total=1, per_session=1), ("a", 5, None))
    with pytest.raises(ValueError, match="a is already waiting"):
        queue.push("a", priority=5, session_id=None)


@dataclass
class Naive:
    """The same rules, written for reading: look at everybody, take the first who may."""

    total: int
    per_session: int
    waiting: list[tuple[int, int, str, str | None]] = field(default_factory=list)
    live: dict[str, str | None] = field(default_factory=dict)

    def pick(self) -> str | None:
        if len(self.live) >= self.total:
            return None
        for place in sorted(self.waiting):
            _, _, job_id, session = place
            taken = sum(1 for each in self.live.values() if each == session)
            if session is None or taken < self.per_session:
                self.waiting.remove(place)
                self.live[job_id] = session
                return job_id
        return None


STEPS = st.one_of(
    st.tuples(st.just("push"), st.integers(1, 10), st.sampled_from([None, "s", "t", "u"])),
    st.tuples(st.just("pick"), st.just(0), st.none()),
    st.tuples(st.just("release"), st.integers(0, 50), st.none()),
    st.tuples(st.just("remove"), st.integers(0, 50), st.none()),
    st.tuples(st.just("occupy"), st.integers(0, 50), st.sampled_from([None, "s"])),
)


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=80), st.integers(1, 5), st.integers(1, 3))
def test_it_agrees_with_the_oracle_on_any_script(
    steps: list[tuple[str, int, str | None]], total: int, per_session: int
) -> None:
    queue, naive = ReadyQueue(total=total, per_session=per_session), Naive(total, per_session)
    for number, (what, value, session) in enumerate(steps):
        waiting = sorted(naive.waiting)
        live = sorted(naive.live)
        if what == "push":
            job_id = f"job-{number:02}"
            queue.push(job_id, priority=value, session_id=session)
            naive.waiting.append((-value, number, job_id, session))
        elif what == "pick":
            assert queue.pick() == naive.pick()
        elif what == "release" and live:
            job_id = live[value % len(live)]
            queue.release(job_id)
            del naive.live[job_id]
        elif what == "remove" and waiting:
            place = waiting[value % len(waiting)]
            queue.remove(place[2])
            naive.waiting.remove(place)
        elif what == "occupy":
            queue.occupy(f"old-{number}", session)
            naive.live[f"old-{number}"] = session
        assert len(queue) == len(naive.waiting)
        assert sorted(queue.holders) == sorted(naive.live)
        for place, (_, _, job_id, _) in enumerate(sorted(naive.waiting), 1):
            assert queue.position(job_id) == place
