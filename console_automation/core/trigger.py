"""When a schedule fires: once, at intervals, or as cron says in a time zone.

A trigger is a rule, and its fires are the moments that the rule names, the same whoever asks and
whenever: nothing here depends on what has fired before.

Cron means what Debian's cron means by it, around a change of the clocks too. Fires at given hours
(`30 2 * * *`) happen once a day: one that falls into the hour that is left out comes at that hour's
end, one in the hour that comes twice comes the first time. Fires at every hour or every few minutes
(`*/15 * * * *`) follow the time that really passes.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from console_automation.errors import BadRequest

_FIELDS = 5
_NONE, _HOUR = timedelta(), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Once:
    """Fires at one moment."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Fires `every` so many seconds, counted from `since`, which itself is no fire."""

    every: float
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """Fires at the minutes that five fields name, in a time zone of the IANA database."""

    expression: str
    timezone: str = "UTC"


Trigger = Once | Interval | Cron


def cron(expression: str, timezone: str) -> Cron:
    """Return the trigger that an expression describes.

    Raises BadRequest when it describes none, or when there is no such time zone.
    """
    zone_of(timezone)
    if len(expression.split()) != _FIELDS:
        raise BadRequest(
            f"trigger.cron {expression!r} has {len(expression.split())} fields, but cron has five:"
            " minute, hour, day of month, month, day of week, as in '30 2 * * MON-FRI'.",
            field="trigger.cron",
        )
    try:
        CronSim(expression, datetime.fromtimestamp(0, UTC))
    except CronSimError as error:
        wrong = str(error).removeprefix("Bad ")
        raise BadRequest(
            f"trigger.cron {expression!r}: the field for the {wrong} is not one. Write numbers or names,"
            " ranges, lists and steps, as in '*/15 8-18 * * MON-FRI'.",
            field="trigger.cron",
        ) from None
    return Cron(expression=expression, timezone=timezone)


def zone_of(name: str) -> tzinfo:
    """Return a time zone by its name in the IANA database. Raises BadRequest."""
    if name == "UTC":
        return UTC  # without a look into the database, and CronSim has less to do
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all, a directory of names
        raise BadRequest(
            f"trigger.timezone {name!r} is no time zone; write it like 'Europe/Berlin' or 'UTC'.",
            field="trigger.timezone",
        ) from None


def next_fire(trigger: Trigger, after: float) -> float | None:
    """Return the first fire later than a time, None when there is none."""
    return next(fires(trigger, after), None)


def fires(trigger: Trigger, after: float) -> Iterator[float]:
    """Yield the fires later than a time, one after the other."""
    match trigger:
        case Once():
            if trigger.at > after:
                yield trigger.at
        case Interval():
            passed = max(0, math.floor((after - trigger.since) / trigger.every))
            for number in count(passed + 1):
                at = trigger.since + number * trigger.every
                if at > after:  # a quotient may have been rounded down
                    yield at
        case Cron():
            start = datetime.fromtimestamp(after, zone_of(trigger.timezone))
            minutes = CronSim if start.tzinfo is UTC else _Minutes
            for moment in minutes(trigger.expression, start):
                at = moment.timestamp()
                # In the second pass of an hour that comes twice, the next fire by the clock on the
                # wall may be one of the first pass, which is over.
                if at > after:
                    yield at


class _Minutes(CronSim):
    """The minutes that an expression names, also where clocks are changed by a part of an hour.

    CronSim goes on by whole hours of the time that passes. Where half an hour is left out or comes twice
    that leads into the middle of an hour, past minutes that it names: there each minute is looked at.
    """

    def advance_hour(self) -> bool:
        """Go on to an hour that fits, or to the next day; False if it is one."""
        before = self.dt
        moved = super().advance_hour()
        if moved:
            self._look_between(before, lambda at: at.hour in self.hours)
        return moved

    def advance_minute(self) -> bool:
        """Go on to a minute that fits, or to the next hour; False if it is one."""
        before = self.dt
        moved = super().advance_minute()
        if moved:
            self._look_between(
                before, lambda at: at.minute in self.minutes or at.hour != before.hour
            )
        return moved

    def _look_between(self, before: datetime, fits: Callable[[datetime], bool]) -> None:
        """Go back to the first minute that fits since `before`, if the clock was changed by a part of an
        hour since the hour of that began."""
        after = self.dt
        if after.tzinfo is None:  # what fires at given hours goes by the clock on the wall
            return
        offset = after.utcoffset() or _NONE
        offsets = (each.utcoffset() or _NONE for each in (before, before.replace(minute=0)))
        if not any((offset - each) % _HOUR for each in offsets):
            return
        self.dt = before.replace(second=0)
        while self.dt.timestamp() < after.timestamp():
            self.tick(seconds=60)
            if fits(self.dt) or self.dt.date() != before.date():
                return


def newest_fires(trigger: Trigger, first: float, until: float, *, most: int) -> list[float]:
    """Return the newest fires from `first`, which is one, up to a time; oldest first.

    It looks back further and further, so that years of fires cost no more than those that are wanted.
    """
    span = 60.0
    while True:
        since = max(first, until - span)
        found = [first] if since == first else []
        found += takewhile(lambda at: at <= until, fires(trigger, since))
        if since == first or len(found) >= most:
            return found[-most:]
        span *= 2


def spread(key: str, fire: float, jitter: float) -> float:
    """Return how many seconds after its fire a schedule starts its job: from 0 to `jitter`.

    It looks like chance, but is always the same for a fire: a restart in between changes nothing.
    """
    digest = hashlib.blake2b(f"{key}:{fire}".encode(), digest_size=8).digest()
    return jitter * int.from_bytes(digest) / 2**64
