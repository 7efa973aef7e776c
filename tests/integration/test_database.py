"""A database that is not as it should be: a clear answer in bounded time, and nothing overwritten.

Promise 25: a newer database is refused, never rewritten. The past versions are in
test_database_versions.py, the full disk in test_database_full.py.
"""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.app import open_app
from console_automation.config import Settings
from console_automation.core.job import Job, Phase, Status
from console_automation.errors import (
    ConsoleAutomationError,
    StoreDamaged,
    StoreNewer,
    StoreSwapped,
    Unavailable,
)
from console_automation.ports.stores import Entry, JobFilter, Store
from tests.builders import job, spec
from tests.waiting import PATIENCE, until

Contents = dict[str, bytes]


async def make(home: Path, jobs: int = 3) -> None:
    """Make a database with jobs `job-000`, `job-001`, … in it."""
    store = SqliteStore(home)
    await store.open()
    for number in range(jobs):
        name = f"job-{number:03}"
        told = [Entry(job_id=name, at=1.0, event="Submitted", data={"n": number})]
        over = job(name, Phase.COMPLETED, completed_at=float(number), started_at=0.5)
        store.insert(over, told)
    await store.close()


def contents(home: Path) -> Contents:
    """Return the bytes of all files but the WAL's index, which every reader makes anew, and those of
    the daemon."""
    return {
        path.name: data
        for path in home.iterdir()
        if path.is_file() and not path.name.endswith("-shm") and not path.match("daemon.*")
        if (data := path.read_bytes())
    }


async def refusal(home: Path) -> ConsoleAutomationError:
    """Return what opening is refused with."""
    store = SqliteStore(home)
    with pytest.raises(Unavailable) as refused:
        await asyncio.wait_for(store.open(), PATIENCE)
    await store.close()
    return refused.value


def edit(home: Path, statement: str, *, then_die: bool = False) -> None:
    """Run a statement on the database; dying right after it leaves it in the WAL."""
    code = (
        "import os, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute(sys.argv[2])\n"
        f"os.kill(os.getpid(), 9) if {then_die} else connection.close()\n"
    )
    subprocess.run([sys.executable, "-c", code, home / "jobs.db", statement], check=not then_die)


# -- newer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("then_die", [False, True], ids=["closed", "killed"])
async def test_a_newer_database_is_refused_and_keeps_every_byte(home: Path, then_die: bool) -> None:
    await make(home)
    edit(home, "PRAGMA user_version = 99", then_die=then_die)
    before = contents(home)
    assert ("jobs.db-wal" in before) is then_die
    error = await refusal(home)
    assert isinstance(error, StoreNewer) and error.code == "UNAVAILABLE"
    assert "version 99" in error.message and "newer program" in error.message
    assert contents(home) == before


def test_a_daemon_on_a_newer_database_ends_with_a_plain_sentence(home: Path) -> None:
    asyncio.run(make(home))
    edit(home, "PRAGMA user_version = 99")
    ended = subprocess.run(
        [sys.executable, "-m", "console_automation", "daemon", "run"],
        env={**os.environ, "CONSOLE_AUTOMATION_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == 4
    assert "has version 99" in ended.stderr and "Traceback" not in ended.stderr


# -- damaged -------------------------------------------------------------------------------------

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "noise": lambda data: os.urandom(8192),
    "text": lambda data: b"not a database at all\n" * 100,
    "only its first line": lambda data: data[:16],
    "zeros behind the header": lambda data: data[:100] + bytes(len(data) - 100),
    "cut in half": lambda data: data[: len(data) // 8192 * 4096],
    "cut inside a page": lambda data: data[:5000],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
@pytest.mark.parametrize("has_instance", [True, False])
async def test_a_damaged_file_is_refused_and_left_as_it_is(
    home: Path, damage: Callable[[bytes], bytes], has_instance: bool
) -> None:
    await make(home)
    path = home / "jobs.db"
    path.write_bytes(damage(path.read_bytes()))
    if not has_instance:
        (home / "instance").unlink()
    before = contents(home)
    error = await refusal(home)
    assert isinstance(error, StoreDamaged), error
    assert str(path) in error.message and "left as it is" in error.message
    assert contents(home) == before


async def test_a_database_of_another_program_is_refused_and_left_as_it_is(home: Path) -> None:
    with closing(sqlite3.connect(home / "jobs.db")) as other:
        other.execute("CREATE TABLE job (id TEXT)")
    before = contents(home)
    error = await refusal(home)
    assert isinstance(error, StoreDamaged) and "not a database of this product" in error.message
    assert contents(home) == before


async def test_a_damaged_page_gives_a_clear_answer_and_never_a_wrong_one(home: Path) -> None:
    await make(home, jobs=120)
    path = home / "jobs.db"
    whole = path.read_bytes()
    pages = [at for at in range(4096, len(whole), 4096) if b"job-0" in whole[at : at + 4096]]
    assert len(pages) > 10
    answers: list[str] = []
    for at in pages:
        path.write_bytes(whole[:at] + b"\xa5" * 4096 + whole[at + 4096 :])
        answers += await _read_everything(home)
    assert {"StoreDamaged", "right"} <= set(answers) and "wrong" not in answers


@pytest.mark.parametrize(
    "spoilt",
    ["state = '{'", "state = '{}'", "state = '[]'", "spec = 'null'", "phase = 'x'", "status = 'x'"],
)
async def test_a_row_that_makes_no_sense_is_reported_as_damage(home: Path, spoilt: str) -> None:
    await make(home)
    edit(home, f"UPDATE job SET {spoilt} WHERE id = 'job-001'")
    store = SqliteStore(home)
    await store.open()
    with pytest.raises(StoreDamaged, match="makes no sense"):
        await (store.counts() if spoilt.startswith("status") else store.get("job-001"))
    assert (await store.journal("job-001"))[0].event == "Submitted"
    assert (await store.get("job-002") or job()).id == "job-002"
    await store.close()


async def _read_everything(home: Path) -> list[str]:
    """Return for every read whether it was right, wrong or refused."""
    store = SqliteStore(home)
    answers: list[str] = []
    try:
        await store.open()
        for number in range(0, 120, 7):
            name = f"job-{number:03}"
            answers.append(await _answer(_one(store, name)))
        answers.append(await _answer(_all(store)))
    except StoreDamaged:
        answers.append("StoreDamaged")
    finally:
        await store.close()
    return answers


async def _answer(reading: Awaitable[bool]) -> str:
    try:
        return "right" if await reading else "wrong"
    except StoreDamaged:
        return "StoreDamaged"


async def _one(store: SqliteStore, name: str) -> bool:
    found, journal = await store.get(name), await store.journal(name)
    return bool(found and found.id == name and [each.event for each in journal] == ["Submitted"])


async def _all(store: SqliteStore) -> bool:
    jobs, total = await store.page(JobFilter(), before=None, limit=999)
    return total == len(jobs) == 120


# -- swapped and deleted -------------------------------------------------------------------------


async def test_another_database_in_its_place_is_refused_and_left_as_it_is(
    home: Path, tmp_path: Path
) -> None:
    await make(home)
    await make(tmp_path)
    own = (home / "jobs.db").read_bytes()
    shutil.copy(tmp_path / "jobs.db", home / "jobs.db")
    before = contents(home)
    error = await refusal(home)
    assert isinstance(error, StoreSwapped) and str(home / "instance") in error.message
    assert contents(home) == before
    (home / "jobs.db").write_bytes(own)
    store = SqliteStore(home)
    await store.open()
    assert await store.get("job-000")
    await store.close()


async def test_a_database_that_is_gone_is_not_made_anew_beside_live_runs(
    home: Path, settings: Settings
) -> None:
    go_on = home / "go-on"
    line = f"while ! [ -e {go_on} ]; do sleep 0.01; done; echo done; exit 42"
    async with open_app(home, settings) as app:
        job_id = await app.start_background_job(line)
        await until(lambda: list(home.glob("runs/*/state")))
    database = (home / "jobs.db").rename(home / "elsewhere")
    before = contents(home)
    for _ in range(2):
        with pytest.raises(StoreSwapped, match="is gone"):
            async with open_app(home, settings):
                pass
        assert contents(home) == before and list(home.glob("runs/*/state"))
    database.rename(home / "jobs.db")
    go_on.touch()
    async with open_app(home, settings) as app:
        over = await app.get_background_job_status(job_id, wait_ms=PATIENCE * 1000)
        assert (over["status"], over["exitCode"]) == ("failed", 42)


@pytest.mark.parametrize("left", [None, b"", b"\n"], ids=["missing", "empty", "blank"])
async def test_an_instance_file_that_was_never_finished_is_written_again(
    home: Path, left: bytes | None
) -> None:
    await make(home)
    instance = home / "instance"
    right = instance.read_bytes()
    instance.unlink()
    if left is not None:
        instance.write_bytes(left)
    await make(home, jobs=0)
    assert instance.read_bytes() == right


# -- locked --------------------------------------------------------------------------------------


@contextmanager
def locked(home: Path, statement: str) -> Iterator[Callable[[], None]]:
    """Have another process lock the database; what is yielded makes it let go."""
    code = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)\n"
        "for each in sys.argv[2].split(';'): connection.execute(each)\n"
        "print('locked', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, home / "jobs.db", statement],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdin and other.stdout

        def let_go() -> None:
            assert other.stdin
            other.stdin.close()
            other.wait(PATIENCE)

        try:
            assert other.stdout.readline() == b"locked\n"
            yield let_go
        finally:
            other.kill()


async def test_a_database_that_another_program_has_to_itself_is_opened_when_it_lets_go(
    home: Path,
) -> None:
    await make(home)
    with locked(home, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE") as let_go:
        error = await refusal(home)
        assert error.code == "UNAVAILABLE" and "locked by another program" in error.message
        let_go()
    store = SqliteStore(home)
    await store.open()
    assert await store.get("job-000")
    await store.close()


async def test_while_another_program_locks_it_jobs_go_on_and_nothing_is_lost(
    home: Path, settings: Settings
) -> None:
    go_on = home / "go-on"
    async with open_app(home, settings) as app:
        manager = app.engine.jobs
        line = f"while ! [ -e {go_on} ]; do sleep 0.01; done; exit 7"
        job_id = await app.start_background_job(line)
        await until(lambda: (held := manager.ledger.active(job_id)) and held.pid, "its start")
        with locked(home, "BEGIN IMMEDIATE") as let_go:
            with pytest.raises(Unavailable, match="locked by another program"):
                await asyncio.wait_for(app.start_background_job("true"), PATIENCE)
            assert (await app.get_background_job_status(job_id))["status"] == "running"
            go_on.touch()
            await until(lambda: (held := manager.ledger.active(job_id)) and held.is_terminal)
            let_go()
        kept = await until(lambda: _ended(manager.ledger.store, job_id))
        assert (kept.status, kept.exit and kept.exit.code) == (Status.FAILED, 7)
        told = [each.event for each in await manager.ledger.store.journal(job_id)]
        assert told == ["Submitted", "Picked", "Started", "Exited"]
        assert await app.start_background_job("true")


async def _ended(store: Store, job_id: str) -> Job | None:
    stored = await store.get(job_id)
    return stored if stored and stored.is_terminal else None


# -- one write among others ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "impossible",
    [spec(name="\ud800"), spec(idempotency_key="\udfff"), spec(created_at=float("nan"))],
)
async def test_a_write_that_sqlite_cannot_take_fails_alone(home: Path, impossible: object) -> None:
    store = SqliteStore(home)
    await store.open()
    writes = [
        store.insert(job("job-1"), []),
        store.insert(job("job-2", spec=impossible), [Entry(job_id="job-2", at=1, event="E")]),
        store.insert(job("job-3"), []),
    ]
    outcomes = await asyncio.wait_for(asyncio.gather(*writes, return_exceptions=True), PATIENCE)
    assert [type(outcome) for outcome in outcomes] == [type(None), Unavailable, type(None)]
    await store.insert(job("job-4"), [])
    jobs, _ = await store.page(JobFilter(), before=None, limit=9)
    assert [each.id for each in jobs] == ["job-4", "job-3", "job-1"]
    assert await store.journal("job-2") == []
    await store.close()


async def test_a_closed_database_says_so(home: Path) -> None:
    store = SqliteStore(home)
    await store.open()
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.get("job-1")


async def test_closing_leaves_everything_in_one_file(home: Path, tmp_path: Path) -> None:
    store = SqliteStore(home)
    await store.open()
    await store.insert(job("job-1"), [])
    assert await store.get("job-1")  # there is a reader, too
    await store.close()
    with closing(sqlite3.connect(shutil.copy(home / "jobs.db", tmp_path))) as copy:
        assert copy.execute("SELECT id FROM job").fetchall() == [("job-1",)]
    assert not (home / "jobs.db-wal").exists()
