"""What a look at the clock means for a schedule, by its policies."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.agenda import Agenda
from console_automation.core.schedule import (
    LATE,
    MOST_MADE_UP,
    Missed,
    Schedule,
    Step,
    Version,
    activated,
    step,
)
from console_automation.core.trigger import Interval, Once, next_fire
from tests.builders import spec

EVERY = 300.0  #: seconds; longer than a fire may be late


def schedule(every: float = EVERY, *, next_at: float | None = None, **fields: Any) -> Schedule:
    """A schedule that fires at multiples of `every`."""
    version = Version(
        number=1, created_at=0.0, trigger=Interval(every=every, since=0.0), spec=spec()
    )
    return Schedule(
        **{
            "id": "schedule-1",
            "name": "s",
            "project": "/p",
            "client": "test",
            "owner": "local",
            "created_at": 0.0,
            "version": version,
            "is_active": True,
            "next_fire": every if next_at is None else next_at,
            **fields,
        }
    )


@pytest.mark.parametrize("missed", Missed)
def test_a_fire_that_is_due_now_fires(missed: Missed) -> None:
    found = step(schedule(missed=missed), EVERY + 1)
    assert found == Step(fires=True, until=EVERY, next_fire=2 * EVERY)


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        # Three are due, the last of them in time.
        (Missed.SKIP, Step(fires=False, until=2 * EVERY, next_fire=3 * EVERY)),
        (Missed.ONCE, Step(fires=True, until=3 * EVERY, next_fire=4 * EVERY)),
        (Missed.ALL, Step(fires=True, until=EVERY, next_fire=2 * EVERY)),
    ],
)
def test_of_several_that_are_due_what_is_made_up_for_is_up_to_the_policy(
    missed: Missed, expected: Step
) -> None:
    assert step(schedule(missed=missed), 3 * EVERY + 1) == expected


def test_skipping_passes_over_the_last_one_too_if_that_is_late() -> None:
    found = step(schedule(missed=Missed.SKIP), 3 * EVERY + LATE + 1)
    assert found == Step(fires=False, until=3 * EVERY, next_fire=4 * EVERY)
    at_the_limit = step(schedule(missed=Missed.SKIP), EVERY + LATE)
    assert at_the_limit.fires


def test_of_very_many_missed_fires_the_newest_hundred_are_made_up_for() -> None:
    now = (MOST_MADE_UP + 50) * EVERY
    first = step(schedule(missed=Missed.ALL), now)
    assert first == Step(fires=False, until=50 * EVERY, next_fire=51 * EVERY)
    then = step(schedule(missed=Missed.ALL, next_at=51 * EVERY), now)
    assert then == Step(fires=True, until=51 * EVERY, next_fire=52 * EVERY)


def test_jitter_delays_a_fire_and_changes_neither_its_name_nor_the_next() -> None:
    jittered = schedule(jitter=100.0)
    assert jittered.due_at is not None and EVERY <= jittered.due_at <= EVERY + 100
    found = step(jittered, jittered.due_at)
    assert found == Step(fires=True, until=EVERY, next_fire=2 * EVERY)


def test_a_fire_is_not_late_for_its_jitter() -> None:
    jittered = schedule(every=1000.0, jitter=900.0, missed=Missed.SKIP)
    assert jittered.due_at is not None
    assert step(jittered, jittered.due_at + LATE).fires
    assert not step(jittered, jittered.due_at + LATE + 1).fires


def test_what_fires_once_has_no_next_fire() -> None:
    once = Version(number=1, created_at=0.0, trigger=Once(at=50.0), spec=spec())
    found = step(schedule(version=once, next_at=50.0), 51.0)
    assert found == Step(fires=True, until=50.0, next_fire=None)
    over = activated(schedule(version=once), 51.0)
    assert (over.is_active, over.next_fire) == (False, None)


@given(
    st.sampled_from(Missed),
    st.floats(1, 1000),
    st.integers(1, 50),
    st.floats(0, 1e6),
    st.floats(0, 1),
)
def test_steps_settle_every_fire_in_order_and_come_to_an_end(
    missed: Missed, every: float, first: int, span: float, jitter: float
) -> None:
    """Each begins where the one before has ended, and none is for fires that are not due."""
    start = next_fire(Interval(every=every, since=0.0), first * every)
    assert start is not None
    now = start + span
    current = schedule(every, next_at=start, missed=missed, jitter=jitter * every * 0.9)
    for _ in range(MOST_MADE_UP + 5):
        if current.due_at is None or current.due_at > now:
            return
        found = step(current, now)
        assert current.next_fire is not None and current.next_fire <= found.until <= now
        assert found.next_fire == next_fire(current.version.trigger, found.until)
        current = schedule(
            every, next_at=found.next_fire, missed=missed, jitter=jitter * every * 0.9
        )
    raise AssertionError("it does not come to an end")


class TestAgenda:
    """The agenda tells who is due."""

    def test_the_earliest_come_first_and_only_when_they_are_due(self) -> None:
        agenda = Agenda()
        for key, at in (("late", 9.0), ("early", 1.0), ("middle", 5.0)):
            agenda.put(key, at)
        assert agenda.first == 1.0
        assert agenda.take(0.5, most=10) == []
        assert agenda.take(5.0, most=1) == ["early"]
        assert agenda.take(5.0, most=10) == ["middle"]
        assert agenda.first == 9.0

    def test_a_new_moment_replaces_the_one_before(self) -> None:
        agenda = Agenda()
        agenda.put("a", 1.0)
        agenda.put("a", 7.0)
        agenda.put("b", 2.0)
        agenda.put("b", None)
        assert agenda.take(5.0, most=10) == []
        assert agenda.take(7.0, most=10) == ["a"]
        assert agenda.first is None

    @given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 20))))
    def test_it_holds_what_a_dictionary_would(self, puts: list[tuple[str, int | None]]) -> None:
        agenda, expected = Agenda(), dict[str, float]()
        for key, at in puts:
            agenda.put(key, at)
            expected.pop(key, None)
            if at is not None:
                expected[key] = at
        assert agenda.first == min(expected.values(), default=None)
        taken = agenda.take(10.0, most=100)
        assert [expected[key] for key in taken] == sorted(e for e in expected.values() if e <= 10)

    def test_it_does_not_grow_with_every_change(self) -> None:
        agenda = Agenda()
        for moment in range(10_000):
            agenda.put("a", float(moment))
        assert len(agenda._heap) < 200
