"""What a returned write is worth: it is on the disk, row and journal together.

Promise 1 (database side): acknowledged means never lost. A process that writes is killed with SIGKILL
again and again, and what it left is opened.
"""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from console_automation.adapters.sqlite import database
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.job import Phase
from console_automation.errors import Unavailable
from console_automation.ports.stores import AuditRecord, Entry, JobFilter
from tests.builders import job

LIFE = (Phase.READY, Phase.STARTING, Phase.RUNNING, Phase.COMPLETED)

#: Twenty jobs at a time live their lives; each step is said on stdout once its write has returned.
WRITER = """
import asyncio, itertools, os, sys
from pathlib import Path
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.ports.stores import Entry
from tests.builders import job
from tests.integration.test_database_durability import LIFE

async def live(store, name):
    for number in itertools.count():
        job_id = f"job-{os.getpid()}-{name}-{number}"
        for step, phase in enumerate(LIFE):
            over = {"completed_at": 3.0} if phase is LIFE[-1] else {}
            state = job(job_id, phase, **{**over, "attempt": step})
            told = [Entry(job_id=job_id, at=1.0, event=phase.value)]
            if step:
                await store.update(state, told, urgent=step != 2)
            else:
                await store.insert(state, told)
            print(job_id, step, flush=True)

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    await asyncio.gather(*(live(store, name) for name in range(20)))

asyncio.run(main())
"""


def write_until_killed(home: Path, lines: int) -> Counter[str]:
    """Return the last step of each job that the writer acknowledged before it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, home], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.readlines()
    assert writer.returncode == -signal.SIGKILL
    steps = [line.split() for line in said if line.endswith("\n")]
    return Counter({job_id: int(step) for job_id, step in steps})  # the last one wins


async def test_a_killed_writer_loses_nothing_acknowledged_and_leaves_no_half_write(
    home: Path,
) -> None:
    promised: Counter[str] = Counter()
    for lines in (1, 60, 250, 700):
        promised |= await asyncio.to_thread(write_until_killed, home, lines)
        store = SqliteStore(home)
        await store.open()
        jobs, total = await store.page(JobFilter(), before=None, limit=100_000)
        steps = {each.id: each.attempt for each in jobs}
        assert all(steps[job_id] >= step for job_id, step in promised.items())
        for each in jobs:
            story = [entry.event for entry in await store.journal(each.id)]
            assert story == [phase.value for phase in LIFE[: each.attempt + 1]], each.id
            assert each.phase is LIFE[each.attempt]
        await store.close()
        with closing(sqlite3.connect(home / "jobs.db")) as connection:
            told = connection.execute("SELECT count(DISTINCT job_id) FROM journal").fetchone()[0]
        assert told == total
    assert len(promised) > 100


@pytest.fixture
async def store(home: Path) -> AsyncIterator[SqliteStore]:
    opened = SqliteStore(home)
    await opened.open()
    yield opened
    await opened.close()


async def test_a_write_is_in_the_files_when_it_returns(
    store: SqliteStore, home: Path, tmp_path: Path
) -> None:
    for number in range(3):
        job_id = f"job-{number}"
        await store.insert(job(job_id), [Entry(job_id=job_id, at=1.0, event="Submitted")])
        await store.update(job(job_id, Phase.RUNNING), [], urgent=False)
        copy = tmp_path / job_id
        copy.mkdir()
        for name in ("jobs.db", "jobs.db-wal", "instance"):
            shutil.copy(home / name, copy)
        found = SqliteStore(copy)
        await found.open()
        assert await found.get(job_id) == job(job_id, Phase.RUNNING)
        assert len(await found.journal(job_id)) == 1
        await found.close()


async def test_a_commit_is_flushed_to_the_disk_before_it_returns(store: SqliteStore) -> None:
    connection = store._database._connection
    assert connection
    wanted = {"synchronous": 2, "journal_mode": "wal", "fullfsync": 1}  # 2 is FULL
    for name, value in wanted.items():
        assert connection.execute(f"PRAGMA {name}").fetchone()[0] == value, name


async def test_a_row_does_not_change_without_its_journal(store: SqliteStore) -> None:
    await store.insert(job("job-1"), [Entry(job_id="job-1", at=1.0, event="Submitted")])
    running = job("job-1", Phase.RUNNING)
    with pytest.raises(Unavailable):
        await store.update(running, [Entry(job_id="job-1", at=1.0, event="\ud800")])
    with pytest.raises(Unavailable):
        await store.insert(job("job-2"), [Entry(job_id="job-2", at=float("nan"), event="E")])
    assert await store.get("job-1") == job("job-1")
    assert await store.get("job-2") is None
    assert len(await store.journal("job-1")) == 1


async def test_writes_that_are_given_together_share_one_commit(store: SqliteStore) -> None:
    commits: list[float] = []
    store.on_commit(commits.append)
    await asyncio.gather(*(store.insert(job(f"job-{number}"), []) for number in range(200)))
    assert len(commits) == 1


async def test_what_comes_while_the_disk_is_busy_shares_the_next_commit(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_FAST_COMMIT_SECONDS", -1.0)  # commits run in a thread
    commits: list[float] = []
    store.on_commit(commits.append)
    first = store.insert(job("job-first"), [])
    await asyncio.sleep(0)  # now its commit is under way
    rest = [store.insert(job(f"job-{number}"), []) for number in range(200)]
    assert not first.done()
    await asyncio.gather(first, *rest)
    assert len(commits) == 2


async def test_a_write_that_can_wait_costs_no_commit_of_its_own(store: SqliteStore) -> None:
    await store.insert(job("job-1"), [])
    commits: list[float] = []
    store.on_commit(commits.append)
    asked = AuditRecord(at=1.0, client="c", operation="o", job_id=None, outcome="ok")
    waits = [store.record(asked), store.update(job("job-1", Phase.RUNNING), [], urgent=False)]
    await store.insert(job("job-2"), [])
    assert all(each.done() for each in waits) and len(commits) == 1
