"""B3: a submission through the Python API, durable when it returns.

All slots are taken, so that it is accepting jobs that is measured and not running them: B1 and B2 do
that. The floor is SQLite alone with the same settings on the same disk: one row and a commit.
"""

import asyncio
import sqlite3
import time
from pathlib import Path

from console_automation.app import App, open_app
from console_automation.config import OnShutdown, Settings
from tests.performance.harness import Row, ms, p50, per_second, times
from tests.performance.product import CALM, state_directory

_ROUNDS = 5
_ALONE = 200
_TOGETHER = 3_200
_IN_FLIGHT = 64
_ROW = "x" * 1_000


def durable() -> list[Row]:
    """B3: one in flight and 64 in flight."""
    with state_directory() as home:
        return asyncio.run(_durable(home))


async def _durable(home: Path) -> list[Row]:
    one_slot = Settings(**CALM, max_concurrent_jobs=1, on_shutdown=OnShutdown.STOP)
    bare = _Bare(home)
    alone: list[float] = []
    commits: list[float] = []
    rates: list[float] = []
    bulk: list[float] = []
    async with open_app(home, one_slot) as app:
        await app.start_background_job("sleep", ["600"], timeout=0)
        for _ in range(_ROUNDS):
            for _ in range(_ALONE):
                alone.append(await _submit(app))
                commits.append(bare.commit(1))
            rates.append(await _submit_together(app))
            bulk.append(_TOGETHER / sum(bare.commit(_IN_FLIGHT) for _ in range(_TOGETHER // 64)))
    async with open_app(home / "running", Settings(**CALM)) as app:
        at_work = [await _run(app) for _ in range(_ALONE)]
    bare.close()
    return [
        Row(
            budget="B3",
            what="durable submission, 1 in flight, p50",
            figure=ms(p50(alone)),
            floor=f"{ms(p50(commits))} SQLite commit",
            ratio=times(p50(alone) / p50(commits)),
            limit="≤ 1.5 ms",
            met=p50(alone) <= 0.0015,
        ),
        Row(
            budget="B3",
            what="durable submissions, 64 in flight",
            figure=per_second(p50(rates)),
            floor=f"{per_second(p50(bulk))} SQLite rows, 64 per commit",
            ratio=times(p50(rates) / p50(bulk)),
            limit="≥ 5,000/s",
            met=p50(rates) >= 5_000,
        ),
        Row(
            budget="B3",
            what="1 in flight, each job run at once and waited for, p50 of the submission",
            figure=ms(p50(at_work)),
        ),
    ]


async def _submit(app: App) -> float:
    began = time.perf_counter()
    await app.start_background_job("true")
    return time.perf_counter() - began


async def _run(app: App) -> float:
    began = time.perf_counter()
    job_id = await app.start_background_job("true")
    taken = time.perf_counter() - began
    await app.get_background_job_status(job_id, wait_ms=10_000)
    return taken


async def _submit_together(app: App) -> float:
    todo = iter(range(_TOGETHER))

    async def caller() -> None:
        for _ in todo:
            await app.start_background_job("true")

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(_IN_FLIGHT)))
    return _TOGETHER / (time.perf_counter() - began)


class _Bare:
    """SQLite with the product's settings and nothing else."""

    def __init__(self, home: Path) -> None:
        self._connection = sqlite3.connect(home / "floor.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE floor (row TEXT)")

    def commit(self, rows: int) -> float:
        """Insert rows in one transaction and return how long it takes."""
        began = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        for _ in range(rows):
            self._connection.execute("INSERT INTO floor VALUES (?)", (_ROW,))
        self._connection.execute("COMMIT")
        return time.perf_counter() - began

    def close(self) -> None:
        self._connection.close()
