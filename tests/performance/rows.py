"""Rows for benchmarks that need many: put into the store directly, as the product would have left them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import Job, Phase
from console_automation.ports.stores import Entry
from tests.builders import command, exit_of, job, spec
from tests.performance.harness import TRUE

_BATCH = 2_000


def pending(count: int) -> list[Job]:
    """Return jobs that wait for a slot; their ids sort in the order in which they are to run."""
    return [
        job(f"job-{number:026}", Phase.READY, spec=spec(command(TRUE))) for number in range(count)
    ]


def finished(count: int) -> list[Job]:
    """Return jobs that have just completed, too lately to be cleaned up."""
    at = time.time()
    return [
        replace(
            job(f"job-{number:026}", spec=spec(command(TRUE), created_at=at)),
            phase=Phase.COMPLETED,
            attempt=1,
            dispatches=1,
            run_id=f"job-{number:026}.1",
            boot_id="an-earlier-boot",
            started_at=at,
            completed_at=at,
            exit=exit_of(0, started_at=at, ended_at=at),
        )
        for number in range(count)
    ]


def write(home: Path, jobs: Sequence[Job], events: Sequence[str]) -> None:
    """Add jobs to the database of a state directory, with these events in their journals."""
    asyncio.run(_write(home, jobs, events))


async def _write(home: Path, jobs: Sequence[Job], events: Sequence[str]) -> None:
    store = SqliteStore(home)
    await store.open()
    for start in range(0, len(jobs), _BATCH):
        writes = [
            store.insert(each, [Entry(job_id=each.id, at=0.0, event=event) for event in events])
            for each in jobs[start : start + _BATCH]
        ]
        await asyncio.gather(*writes)
    await store.close()
