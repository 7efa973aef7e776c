"""When triggers fire: intervals, and cron in time zones whose clocks are changed."""

from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console_automation.core.trigger import (
    Interval,
    Once,
    Trigger,
    cron,
    fires,
    newest_fires,
    next_fire,
    spread,
)
from console_automation.errors import BadRequest

TIMES = st.floats(1.0e9, 4.0e9)
ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",  # half an hour
        "Africa/Cairo",  # at midnight
        "Asia/Kathmandu",
        "Pacific/Apia",  # a day left out, in 2011
        "Antarctica/Troll",  # two hours
    ]
)
FIELDS = st.sampled_from(
    [
        "* * * * *",
        "*/15 * * * *",
        "0 * * * *",
        "30 2 * * *",
        "0,30 1-3 * * *",
        "0 0 * * *",
        "15 */6 * * SUN",
        "0 12 1 JAN,JUL *",
        "0 9 L * *",
        "0 9 * * FRI#2",
    ]
)
CRONS = st.builds(cron, FIELDS, ZONES)
INTERVALS = st.builds(Interval, every=st.floats(1, 1e7), since=TIMES)
TRIGGERS = st.one_of(st.builds(Once, at=TIMES), INTERVALS, CRONS)


def on_the_wall(fields: str, zone: str, after: str, count: int) -> list[str]:
    """The fires after a time on the wall, as times on the wall with their offsets."""
    trigger, tz = cron(fields, zone), ZoneInfo(zone)
    at: float | None = datetime.fromisoformat(after).replace(tzinfo=tz).timestamp()
    found = []
    for _ in range(count):
        assert at is not None
        at = next_fire(trigger, at)
        assert at is not None
        found.append(datetime.fromtimestamp(at, tz).strftime("%m-%d %H:%M %z"))
    return found


@pytest.mark.parametrize(
    ("fields", "zone", "after", "expected"),
    [
        # What falls into the hour that is left out comes at its end, once.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T00:00",
            ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"],
        ),
        (
            "0,30 2 * * *",
            "Europe/Berlin",
            "2026-03-28T12:00",
            ["03-29 03:00 +0200", "03-30 02:00 +0200", "03-30 02:30 +0200"],
        ),
        (
            "15 2 * * *",
            "America/New_York",
            "2026-03-07T12:00",
            ["03-08 03:00 -0400", "03-09 02:15 -0400"],
        ),
        (
            "10 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T12:00",
            ["10-04 02:30 +1100", "10-05 02:10 +1100"],
        ),
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00",
            ["04-24 01:00 +0300", "04-25 00:00 +0300"],
        ),
        # What falls into the hour that comes twice comes the first time.
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-10-24T12:00",
            ["10-25 02:30 +0200", "10-26 02:30 +0100"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00",
            ["11-01 01:30 -0400", "11-02 01:30 -0500"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00",
            ["04-05 01:45 +1100", "04-06 01:45 +1030"],
        ),
        # What comes every hour or more often follows the time that passes.
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T01:10",
            ["03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200"],
        ),
        (
            "0 * * * *",
            "Europe/Berlin",
            "2026-10-25T01:30",
            ["10-25 02:00 +0200", "10-25 02:00 +0100", "10-25 03:00 +0100"],
        ),
        (
            "*/30 * * * *",
            "America/New_York",
            "2026-11-01T00:40",
            ["11-01 01:00 -0400", "11-01 01:30 -0400", "11-01 01:00 -0500", "11-01 01:30 -0500"],
        ),
        # Names, lists, steps, the last day.
        (
            "0 9 * JAN MON-FRI",
            "Asia/Kathmandu",
            "2026-01-01T10:00",
            ["01-02 09:00 +0545", "01-05 09:00 +0545"],
        ),
        ("0 0 L FEB *", "UTC", "2027-03-01T00:00", ["02-29 00:00 +0000"]),
    ],
)
def test_cron_fires_when_debians_cron_would(
    fields: str, zone: str, after: str, expected: list[str]
) -> None:
    assert on_the_wall(fields, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    "day",
    [
        "Australia/Lord_Howe 2023-04-02",
        "Australia/Lord_Howe 2023-10-01",
        "Asia/Pyongyang 2015-08-15",
        "Asia/Pyongyang 2018-05-05",
        "America/Caracas 2016-05-01",
        "Europe/Berlin 2026-10-25",
        "Antarctica/Troll 2023-03-26",
        "Pacific/Apia 2011-12-30",
    ],
)
@pytest.mark.parametrize(
    ("fields", "is_meant"),
    [
        ("0 */2 * * *", lambda at: at.minute == 0 and at.hour % 2 == 0),
        ("15 * * * *", lambda at: at.minute == 15),
        ("*/7 2 * * *", lambda at: at.minute % 7 == 0 and at.hour == 2),
        ("*/60 0 * * *", lambda at: at.minute == 0 and at.hour == 0),
        ("*/10 3 * * SUN", lambda at: at.minute % 10 == 0 and at.hour == 3 and at.weekday() == 6),
    ],
)
def test_what_follows_the_time_that_passes_fires_at_each_minute_that_it_names(
    day: str, fields: str, is_meant: Callable[[datetime], bool]
) -> None:
    name, _, date = day.partition(" ")
    zone, noon = ZoneInfo(name), datetime.fromisoformat(f"{date}T12:00+00:00").timestamp()
    start, end = noon - 86_400, noon + 86_400
    minutes = (start + 60 * number for number in range(1, 2 * 1440))
    meant = [at for at in minutes if is_meant(datetime.fromtimestamp(at, zone))]
    trigger = cron(fields, name)
    assert list(takewhile(lambda at: at < end, fires(trigger, start))) == meant
    for asked in range(int(start), int(max(meant, default=start)), 1758):  # whenever that is
        assert next_fire(trigger, asked) == next(at for at in meant if at > asked)


def test_in_the_second_pass_of_an_hour_that_comes_twice_the_first_pass_is_over() -> None:
    tz = ZoneInfo("Europe/Berlin")
    second = datetime(2026, 10, 25, 2, 15, fold=1, tzinfo=tz).timestamp()
    at = next_fire(cron("30 2 * * *", "Europe/Berlin"), second)
    assert at == datetime(2026, 10, 26, 2, 30, tzinfo=tz).timestamp()


@pytest.mark.parametrize(
    ("fields", "zone", "words"),
    [
        ("* * * *", "UTC", ["4 fields", "five"]),
        ("0 30 2 * * *", "UTC", ["6 fields", "five"]),
        ("60 * * * *", "UTC", ["minute", "'60 * * * *'"]),
        ("0 0 31 2 *", "UTC", ["day-of-month"]),
        ("0 0 * * FUN", "UTC", ["day-of-week"]),
        ("0 0 * * *", "Mars/Olympus", ["trigger.timezone", "'Mars/Olympus'", "Europe/Berlin"]),
        ("0 0 * * *", "America", ["trigger.timezone"]),  # a directory of zones
        ("0 0 * * *", "../../etc/passwd", ["trigger.timezone"]),
    ],
)
def test_what_is_no_cron_is_refused_with_what_is_wrong(
    fields: str, zone: str, words: list[str]
) -> None:
    with pytest.raises(BadRequest) as refused:
        cron(fields, zone)
    assert all(word in refused.value.message for word in words), refused.value.message


@given(
    st.lists(st.text("0123456789*/-,#LWMONFEB", max_size=8), max_size=7).map(" ".join)
    | st.text(max_size=20),
    ZONES | st.text(max_size=12),
    TIMES,
)
def test_any_text_is_a_trigger_or_is_refused(fields: str, zone: str, after: float) -> None:
    try:
        trigger = cron(fields, zone)
    except BadRequest:
        return
    at = next_fire(trigger, after)
    assert at is None or at > after


@given(TRIGGERS, TIMES)
def test_the_next_fire_is_later_and_the_one_after_it_later_still(
    trigger: Trigger, after: float
) -> None:
    first = next_fire(trigger, after)
    assert first is None or first > after
    second = None if first is None else next_fire(trigger, first)
    assert second is None or (first is not None and second > first)


@given(TRIGGERS, TIMES, st.floats(0, 1e6))
def test_no_fire_lies_between_a_time_and_the_next_fire(
    trigger: Trigger, after: float, later: float
) -> None:
    first = next_fire(trigger, after)
    if first is not None and after + later < first:
        assert next_fire(trigger, after + later) == first


@given(INTERVALS, TIMES)
def test_an_interval_fires_at_whole_multiples_and_not_when_it_begins(
    trigger: Interval, after: float
) -> None:
    at = next_fire(trigger, after)
    assert at is not None and at > trigger.since
    passed = (at - trigger.since) / trigger.every
    assert passed == pytest.approx(round(passed), abs=1e-6)
    assert at - max(after, trigger.since) <= trigger.every * 2


@given(TRIGGERS, TIMES, st.floats(0, 5e5), st.integers(1, 50))
def test_the_newest_fires_are_the_last_of_all_of_them(
    trigger: Trigger, since: float, span: float, most: int
) -> None:
    first = next_fire(trigger, since)
    if first is None:
        return
    every: list[float] = [first]
    until = first + span
    while len(every) < 600 and (at := next_fire(trigger, every[-1])) is not None and at <= until:
        every.append(at)
    if len(every) < 600:
        assert newest_fires(trigger, first, until, most=most) == every[-most:]


def test_years_of_missed_minutes_are_not_gone_through_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    yielded: list[float] = []

    def counted(trigger: Trigger, after: float) -> Iterator[float]:
        for at in fires(trigger, after):
            yielded.append(at)
            yield at

    monkeypatch.setattr("console_automation.core.trigger.fires", counted)
    found = newest_fires(cron("* * * * *", "UTC"), 1.0e9 + 20, 2.0e9, most=100)
    assert len(found) == 100 and all(b - a == 60 for a, b in pairwise(found))
    assert len(yielded) < 500


@given(st.text(), TIMES, st.floats(0, 1e5))
def test_jitter_is_the_same_for_the_same_fire_and_within_its_bound(
    key: str, fire: float, jitter: float
) -> None:
    assert 0 <= spread(key, fire, jitter) <= jitter
    assert spread(key, fire, jitter) == spread(key, fire, jitter)


def test_jitter_spreads_schedules_of_the_same_fire_evenly() -> None:
    delays = sorted(spread(f"schedule-{n}", 1.0e9, 100.0) for n in range(1000))
    quarters = [sum(low <= each < low + 25 for each in delays) for low in (0, 25, 50, 75)]
    assert all(150 < count < 350 for count in quarters), quarters
