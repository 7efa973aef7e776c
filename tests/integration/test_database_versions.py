"""Promise 25: a database of every past version opens, and no crash on the way leaves one that does not.

`databases/version_N.sql` is what version N wrote. A new migration brings the file of the version
before it; a script that has been released is never changed again.
"""

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from console_automation.adapters.sqlite import opening
from console_automation.adapters.sqlite.opening import load_migrations
from console_automation.adapters.sqlite.store import SqliteStore
from console_automation.core.access import Action, Rule
from console_automation.core.job import (
    TERMINAL,
    Job,
    Leftovers,
    OnOutputLimit,
    Phase,
    Reason,
    TerminalSize,
)
from console_automation.core.session import (
    Closing,
    CommandStatus,
    SessionCommand,
    SessionPhase,
    SessionSpec,
    new_session,
)
from console_automation.core.shells import ShellKind
from console_automation.core.trigger import Cron
from console_automation.core.workflow import completion_key
from console_automation.errors import Conflict, Unavailable
from console_automation.ports.stores import JobFilter
from tests.builders import command, job
from tests.conftest import Build
from tests.waiting import PATIENCE

PAST = sorted((Path(__file__).parent / "databases").glob("version_*.sql"))
NEXT_SCRIPT = "ALTER TABLE job ADD COLUMN mood TEXT;\nUPDATE job SET mood = 'calm';\n"


def restore(home: Path, version: Path) -> None:
    with closing(sqlite3.connect(home / "jobs.db")) as connection:
        connection.executescript(version.read_text("utf-8"))


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema_of(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return sorted(row[0] for row in rows)


async def known_jobs(home: Path) -> dict[str, Job]:
    store = SqliteStore(home)
    await store.open()
    jobs, _ = await store.page(JobFilter(), before=None, limit=1000)
    for each in jobs:
        assert await store.journal(each.id), each.id
    await store.close()
    return {each.id: each for each in jobs}


def test_there_is_a_database_of_every_version() -> None:
    assert [path.stem for path in PAST] == [
        f"version_{number}" for number in range(1, len(load_migrations()) + 1)
    ]


@pytest.mark.parametrize("version", PAST, ids=lambda path: path.stem)
def test_a_released_migration_is_never_changed(version: Path) -> None:
    number = int(version.stem.removeprefix("version_"))
    with (
        closing(sqlite3.connect(":memory:")) as written,
        closing(sqlite3.connect(":memory:")) as migrated,
    ):
        written.executescript(version.read_text("utf-8"))
        for script in load_migrations()[:number]:
            migrated.executescript(script)
        assert schema_of(written) == schema_of(migrated)


@pytest.mark.parametrize("version", PAST, ids=lambda path: path.stem)
async def test_a_database_of_a_past_version_opens_with_all_its_jobs(
    home: Path, version: Path
) -> None:
    restore(home, version)
    jobs = await known_jobs(home)
    assert version_of(home / "jobs.db") == len(load_migrations())
    assert {each.phase for each in jobs.values()} == set(Phase)
    over = jobs["job-completed"]
    command = over.spec.command
    assert (over.spec.name, over.spec.idempotency_key, over.spec.tags) == (
        "näme",
        "key",
        {"k": "v"},
    )
    assert (command.on_output_limit, command.leftovers) == (OnOutputLimit.KILL, Leftovers.LEAVE)
    assert over.exit and (over.exit.code, over.exit.leftovers[0].command) == (0, "sleep")
    assert (jobs["job-failed"].reason, jobs["job-delayed"].spec.retry.max_attempts) == (
        Reason.SIGNAL,
        2,
    )
    store = SqliteStore(home)
    await store.open()
    assert [each.id for each in await store.unfinished()] == sorted(
        each.id for each in jobs.values() if each.phase not in TERMINAL
    )
    assert (await store.audit(limit=9))[0].operation == "console_cancel_job"
    await store.update(job("job-ready", Phase.CANCELLED, completed_at=1.0), [])
    await store.close()


async def test_a_request_of_version_0_1_0_can_be_repeated_under_its_key(
    home: Path, build: Build
) -> None:
    restore(home, PAST[0])
    manager = await build(store=SqliteStore(home))
    first = await manager.ledger.get("job-completed")
    again = replace(
        first.spec, created_at=5.0, client="c", project="/p", owner="local", fingerprint="new"
    )
    assert await manager.submit(again) == first
    for other in (
        replace(again, command=replace(again.command, stdin="x")),
        replace(again, priority=again.priority + 1),
    ):
        with pytest.raises(Conflict, match="another request"):
            await manager.submit(other)


@pytest.mark.parametrize("version", PAST, ids=lambda path: path.stem)
async def test_sessions_can_be_kept_in_a_database_of_a_past_version(
    home: Path, version: Path
) -> None:
    restore(home, version)
    store = SqliteStore(home)
    await store.open()
    terminal = TerminalSize(cols=80, rows=24)
    spec = SessionSpec(command=command(terminal=terminal), created_at=1.0, client="test")
    born = new_session("session-new", spec, boot_id="this-boot")
    typed = SessionCommand(id="f" * 16, session_id=born.id, line="make", typed_at=1.0, since=0)
    await store.sessions.save(born)
    await store.sessions.save_command(typed)
    await store.close()
    store = SqliteStore(home)
    await store.open()
    assert await store.sessions.get(born.id) == born
    assert born in await store.sessions.live()
    assert typed in await store.sessions.running_commands()
    await store.close()


async def test_a_database_of_version_2_opens_with_all_its_sessions(home: Path) -> None:
    restore(home, PAST[1])
    store = SqliteStore(home)
    await store.open()
    sessions = {each.id: each for each in await store.sessions.latest(limit=99)}
    assert {each.phase for each in sessions.values()} == set(SessionPhase)
    over, remote = sessions["session-closed"], sessions["session-remote"]
    assert (over.spec.name, over.spec.shell, over.size.cols) == ("näme", ShellKind.BASH, 132)
    assert (over.closing, over.exit and over.exit.code) == (Closing.EXITED, 3)
    assert (remote.spec.host, remote.closing) == ("example.org", Closing.DISCONNECTED)
    assert {each.id for each in await store.sessions.live()} == {
        "session-opening",
        "session-open",
        "session-closing",
    }
    done, running = reversed(await store.sessions.commands("session-open", limit=9))
    assert (done.status, done.exit_code, done.until) == (CommandStatus.COMPLETED, 0, 2)
    assert await store.sessions.running_commands() == [running]
    await store.close()


@pytest.mark.parametrize("version", PAST, ids=lambda path: path.stem)
async def test_a_job_keeps_its_project_and_one_from_before_there_were_any_has_none(
    home: Path, version: Path
) -> None:
    restore(home, version)
    jobs = await known_jobs(home)
    ids = {"job-completed", "job-running"} if version in PAST[2:] else set()
    of_app = {key for key, each in jobs.items() if each.spec.project == "/srv/app"}
    assert of_app == ids and {each.spec.project for each in jobs.values()} <= {"", "/srv/app"}
    store = SqliteStore(home)
    await store.open()
    found, total = await store.page(JobFilter(project="/srv/app"), before=None, limit=9)
    assert ({each.id for each in found}, total) == (ids, len(ids))
    assert [each.id for each in await store.named("näme")] == ["job-completed"]
    await store.close()


async def test_a_database_of_version_4_opens_with_all_that_is_new_in_it(home: Path) -> None:
    restore(home, next(path for path in PAST if path.stem == "version_4"))
    store = SqliteStore(home)
    await store.open()
    [definition] = await store.definitions.all()
    assert (definition.name, definition.args) == ("count", ("-l", "{file}"))
    assert definition.retry.jitter == 0.5 and definition.permissions[0].roles == ("r",)
    assert await store.result("job-completed") == '{"n":5}'
    [message] = await store.outbox.due(at=1760000002.0, each=1, limit=9)
    assert (message.id, message.attempts) == ("notification-job-failed.1", 2)
    [schedule] = await store.schedules.named("nightly")
    assert schedule.version.trigger == Cron(expression="30 2 * * *", timezone="Europe/Berlin")
    assert len(await store.schedules.executions(schedule.id, limit=9)) == 2
    [workflow] = await store.workflows.all()
    [run] = await store.workflows.unfinished()
    assert workflow.workflow.name == run.spec.workflow.name == "w"
    assert set(run.steps) == {"a"}
    await store.close()


async def test_workflows_of_before_there_were_owners_are_those_of_who_registered_them(
    home: Path,
) -> None:
    restore(home, next(path for path in PAST if path.stem == "version_4"))
    with closing(sqlite3.connect(home / "jobs.db")) as connection, connection:
        connection.execute("UPDATE workflow_run SET key = 'completion:/p:w:job-completed'")
    store = SqliteStore(home)
    await store.open()
    [workflow] = await store.workflows.all()
    [run] = await store.workflows.latest(project=None, name=None, limit=9, owner="local")
    answered = await store.workflows.run_by_key(completion_key(workflow, "job-completed"))
    assert workflow.owner == "local" and answered is not None and answered.id == run.id
    await store.close()


async def test_a_database_of_version_5_opens_with_workflows_of_several_owners(home: Path) -> None:
    restore(home, next(path for path in PAST if path.stem == "version_5"))
    store = SqliteStore(home)
    await store.open()
    theirs, mine = await store.workflows.all()
    assert (theirs.owner, mine.owner) == ("ci", "local")
    assert theirs.workflow.permissions == (
        Rule(action=Action.EXECUTE, roles=("r",), scopes=("s",)),
    )
    [run] = await store.workflows.latest(project=None, name=None, limit=9, owner="ci")
    assert run.id == "workflow-0002"
    await store.close()


# -- on the way to a next version ----------------------------------------------------------------


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> int:
    """Have this program know one migration more."""
    scripts = [*load_migrations(), NEXT_SCRIPT]
    monkeypatch.setattr(opening, "load_migrations", lambda: scripts)
    return len(scripts)


async def test_before_it_is_migrated_a_database_is_backed_up(
    home: Path, next_version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(home, PAST[-1])
    jobs = await known_jobs(home)
    assert version_of(home / "jobs.db") == next_version
    backup = home / f"jobs.v{next_version - 1}.bak"
    assert version_of(backup) == next_version - 1 and backup.stat().st_mode & 0o077 == 0
    monkeypatch.undo()  # the old program is installed again, and gets its old database back
    backup.replace(home / "jobs.db")
    assert await known_jobs(home) == jobs


async def test_a_migration_that_fails_leaves_the_version_before_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore(home, PAST[-1])
    scripts = [*load_migrations(), NEXT_SCRIPT + "INSERT INTO job (id) VALUES ('half');"]
    with monkeypatch.context() as patched:
        patched.setattr(opening, "load_migrations", lambda: scripts)
        with pytest.raises(Unavailable, match="cannot be used"):
            await asyncio.wait_for(SqliteStore(home).open(), PATIENCE)
    assert version_of(home / "jobs.db") == len(scripts) - 1
    assert len(await known_jobs(home)) == len(Phase)


KILLED_AT_EVERY_STATEMENT = """
import os, shutil, sqlite3, sys
from pathlib import Path
from console_automation.adapters.sqlite import opening

base, script = Path(sys.argv[1]), sys.argv[2]
scripts = opening.load_migrations() + ([script] if script else [])
opening.load_migrations = lambda: scripts
connect = sqlite3.connect

def open_until(home, last):
    count = 0
    def dying(*args, **options):
        def step(_):
            nonlocal count
            count += 1
            if count == last:
                os.kill(os.getpid(), 9)
        connection = connect(*args, **options)
        connection.set_trace_callback(step)
        return connection
    sqlite3.connect = dying
    opening.open_for_writing(home / "jobs.db", home / "instance")
    os._exit(0)

last = status = 1
while status:
    home = base / str(last)
    shutil.copytree(base / "start", home)
    child = os.fork()
    if child == 0:
        open_until(home, last)
    _, status = os.waitpid(child, 0)
    last += 1
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory in memory, where there is one: what kill -9 leaves does not depend on the disk."""
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="ca-", dir=memory) as path:
        yield Path(path)


def kill_at_every_statement(base: Path, script: str) -> list[Path]:
    """Open `base/start` again and again, killed one statement later each time; return the copies."""
    subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_STATEMENT, base, script], check=True, timeout=90
    )
    return sorted(path for path in base.iterdir() if path.name.isdigit())


async def test_creating_a_database_may_be_killed_at_any_statement(scratch: Path) -> None:
    (scratch / "start").mkdir()
    killed = await asyncio.to_thread(kill_at_every_statement, scratch, "")
    assert len(killed) > 15
    for each in killed:
        store = SqliteStore(each)
        await store.open()
        await store.insert(job("job-1"), [])
        assert await store.get("job-1")
        await store.close()


async def test_migrating_a_database_may_be_killed_at_any_statement(
    scratch: Path, next_version: int
) -> None:
    (scratch / "start").mkdir()
    restore(scratch / "start", PAST[-1])
    killed = await asyncio.to_thread(kill_at_every_statement, scratch, NEXT_SCRIPT)
    versions = {version_of(each / "jobs.db") for each in killed}
    assert versions == {next_version - 1, next_version}
    for each in killed:
        assert len(await known_jobs(each)) == len(Phase)
        assert version_of(each / "jobs.db") == next_version
