"""B14: ten thousand schedules, of which one is due, or all of them in the same second.

In process, because what is judged is how long the event loop is held: whoever asks for anything
meanwhile waits for that. The jobs are accepted and stay pending, so that none of it is their running.
"""

import asyncio
import gc
import time
from pathlib import Path

from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.app import App, new_schedule_id, open_app
from console_automation.config import OnShutdown, Settings
from console_automation.core.job import Status
from console_automation.core.schedule import Schedule, Version, activated
from console_automation.core.trigger import Interval, Once, Trigger
from tests.builders import spec
from tests.performance.harness import Row, ms, p50, per_second
from tests.performance.product import state_directory

_SCHEDULES = 10_000
_SINGLE = 50
_APART = 0.1  # seconds
_HEAD_START = 3.0  # seconds, in which the service is opened
_MOST = 0.050
_SETTINGS = Settings(
    max_load_per_cpu=0,
    max_memory_percent=0,
    max_concurrent_jobs=1,
    kill_grace_ms=100,
    on_shutdown=OnShutdown.STOP,
)


def ten_thousand() -> list[Row]:
    """B14: how late one of many fires, and how long many hold the loop that fire at once."""
    with state_directory() as home:
        late = asyncio.run(_one_of_many(home))
    with state_directory() as home:
        held, with_collector, taken = asyncio.run(_all_at_once(home))
    return [
        Row(
            budget="B14",
            what="10,000 schedules, one due: from its moment to the accepted job, p50",
            figure=ms(late),
            limit="< 50 ms",
            met=late < _MOST,
        ),
        Row(
            budget="B14",
            what="10,000 due in one second: the longest turn of the event loop",
            figure=ms(held),
            limit="< 50 ms",
            met=held < _MOST,
        ),
        Row(
            budget="B14",
            what="the same with the pauses of Python's collector, which goes through 10,000 new jobs",
            figure=ms(with_collector),
        ),
        Row(budget="B14", what="the same: jobs accepted", figure=per_second(_SCHEDULES / taken)),
    ]


async def _one_of_many(home: Path) -> float:
    begin = time.time() + _HEAD_START
    moments = [begin + number * _APART for number in range(_SINGLE)]
    far = Interval(every=86_400.0, since=begin)
    await _fill(home, [*(Once(at=at) for at in moments), *[far] * (_SCHEDULES - _SINGLE)])
    async with open_app(home, _SETTINGS) as app:
        await app.start_background_job("sleep", ["900"], timeout=0)  # it has the only slot
        await _pending(app, _SINGLE)
        jobs = (await app.engine.jobs.ledger.store.unfinished())[1:]
    fires = [float(str(job.spec.idempotency_key).rpartition(":")[2]) for job in jobs]
    return p50([job.spec.created_at - at for job, at in zip(jobs, fires, strict=True)])


async def _all_at_once(home: Path) -> tuple[float, float, float]:
    at = time.time() + _HEAD_START
    await _fill(home, [Once(at=at + number / _SCHEDULES) for number in range(_SCHEDULES)])
    async with open_app(home, _SETTINGS) as app:
        await app.start_background_job("sleep", ["900"], timeout=0)  # it has the only slot
        await asyncio.sleep(max(0.0, at - time.time()))
        turns, collector = list[tuple[float, float]](), _Collector()
        before = time.perf_counter()
        while app.engine.jobs.ledger.counts[Status.PENDING] < _SCHEDULES:
            await asyncio.sleep(0)
            now = time.perf_counter()
            turns.append((now - before, collector.taken()))
            before = now
        longest = max(turn - collected for turn, collected in turns)
        return longest, max(turn for turn, _ in turns), time.time() - at


class _Collector:
    """How long Python's collector of garbage has held everything up."""

    def __init__(self) -> None:
        self._sum = self._began = 0.0
        gc.callbacks.append(self._heard)

    def _heard(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self._sum += time.perf_counter() - self._began

    def taken(self) -> float:
        """Return the seconds since the last time it was asked."""
        taken, self._sum = self._sum, 0.0
        return taken


async def _fill(home: Path, triggers: list[Trigger]) -> None:
    """Write schedules into a state directory."""
    store = SqliteStore(home)
    await store.open()
    now = time.time()
    writes = [
        store.schedules.save(_schedule(number, trigger, now), keep=100)
        for number, trigger in enumerate(triggers)
    ]
    await asyncio.gather(*writes)
    await store.close()


def _schedule(number: int, trigger: Trigger, now: float) -> Schedule:
    version = Version(number=1, created_at=now, trigger=trigger, spec=spec())
    new = Schedule(
        id=new_schedule_id(),
        name=f"s{number}",
        project="/p",
        client="bench",
        owner="local",
        created_at=now,
        version=version,
        is_active=True,
    )
    return activated(new, now)


async def _pending(app: App, count: int) -> None:
    while app.engine.jobs.ledger.counts[Status.PENDING] < count:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
