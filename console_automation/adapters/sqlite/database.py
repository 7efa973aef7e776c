"""The database file: opening it safely, one connection that writes, a few that read.

Only one process opens the file (the state directory's lock sees to that) and within it one connection
writes. With `synchronous=FULL` a commit is a flush of the disk, and that is what a write costs: what
is given while one commit is under way shares the next.

Statements run on the event loop, they take microseconds. The commit runs there too while the disk
takes a fraction of a millisecond for it, which is what waking a thread and coming back costs; on a
slower disk it runs in a thread, so that nobody waits for it who has not written (docs/decisions).
"""

import asyncio
import logging
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from console_automation.errors import (
    ConsoleAutomationError,
    StoreDamaged,
    StoreFull,
    StoreNewer,
    StoreSwapped,
    Unavailable,
)

log = logging.getLogger(__name__)

APPLICATION_ID = 0x43414A31
_BUSY_MS = 100  # statements run on the loop, which must not wait for other programs' locks
_LARGEST_BATCH = 500
_FAST_COMMIT_SECONDS = 0.003
_REMEMBERED_COMMITS = 20
_LAZY_SECONDS = 0.05
_BALLAST = 4 << 20
_WAL_LIMIT = 16 << 20
_CHECKPOINT_PAGES = 3000

Statement = tuple[str, Mapping[str, Any]]
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Write:
    statements: Sequence[Statement]
    done: "asyncio.Future[None]"


class Database:
    """One SQLite file. `instance` is the file beside it that says which database belongs here."""

    def __init__(self, path: Path, instance: Path) -> None:
        self.path = path
        self.instance = instance
        self.commit_seconds: Callable[[float], None] = lambda _: None
        self._connection: sqlite3.Connection | None = None
        self._pending: list[_Write] = []
        self._timer: asyncio.Handle | None = None
        self._commit: asyncio.Future[sqlite3.Error | None] | None = None
        self._usual_seconds = 0.0  #: a moving average of what a commit takes
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="store-commit")
        self._readers: ThreadPoolExecutor | None = None
        self._local = threading.local()
        self._loop: asyncio.AbstractEventLoop

    async def open(self) -> None:
        """Check, migrate and open the file, or say what is wrong with it and leave it alone."""
        self._loop = asyncio.get_running_loop()
        self._connection = await asyncio.to_thread(self._prepare)
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="store-reader")

    async def close(self) -> None:
        """Finish what was given to be written, then close the file."""
        if self._connection is None:
            return
        while self._pending or self._commit:
            self._begin_commit()
            if self._commit:
                await asyncio.wait([self._commit])
        connection, self._connection = self._connection, None
        await asyncio.to_thread(connection.close)
        self._committer.shutdown()
        if self._readers:
            self._readers.shutdown()

    def write(
        self, statements: Sequence[Statement], *, urgent: bool = True
    ) -> "asyncio.Future[None]":
        """Run the statements in one transaction; the future is done when it is on the disk."""
        done = self._loop.create_future()
        if self._connection is None:
            done.set_exception(Unavailable("The store is closed."))
            return done
        self._pending.append(_Write(statements, done))
        if self._commit is None and (urgent or self._timer is None):
            if self._timer:
                self._timer.cancel()
            if urgent:
                self._timer = self._loop.call_soon(self._begin_commit)
            else:
                self._timer = self._loop.call_later(_LAZY_SECONDS, self._begin_commit)
        return done

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a read-only connection, in a thread of its own."""
        if self._readers is None:
            raise Unavailable("The store is closed.")
        return await self._loop.run_in_executor(self._readers, self._read, work)

    # -- opening -----------------------------------------------------------------------------

    def _prepare(self) -> sqlite3.Connection:
        is_new = not self.path.exists() or self.path.stat().st_size == 0
        if is_new and self.instance.exists():
            raise StoreSwapped(
                f"{self.path} is gone, but {self.instance} says there was one. Put it back, or"
                f" remove {self.instance} to begin anew."
            )
        try:
            connection = sqlite3.connect(
                self.path, isolation_level=None, timeout=_BUSY_MS / 1000, check_same_thread=False
            )
            self.path.chmod(0o600)
            try:
                return self._check_and_migrate(connection, is_new=is_new)
            except BaseException:
                connection.close()
                raise
        except sqlite3.Error as error:
            raise translate(error, self.path) from error

    def _check_and_migrate(
        self, connection: sqlite3.Connection, *, is_new: bool
    ) -> sqlite3.Connection:
        connection.row_factory = sqlite3.Row
        migrations = load_migrations()
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        owner = connection.execute("PRAGMA application_id").fetchone()[0]
        if not is_new and owner != APPLICATION_ID:
            raise StoreDamaged(f"{self.path} is not a database of this product; it was left alone.")
        if version > len(migrations):
            raise StoreNewer(
                f"{self.path} has version {version}, this program knows {len(migrations)}."
                " Install the newer program again; the database was left as it is."
            )
        if not is_new:
            self._check_instance(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        connection.execute("PRAGMA fullfsync = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        if not is_new and version < len(migrations):
            self._back_up(connection, version)
        for number, script in enumerate(migrations[version:], version + 1):
            self._migrate(connection, number, script)
        if is_new:
            self._check_instance(connection)
        self._reserve_space(connection)
        return connection

    def _migrate(self, connection: sqlite3.Connection, number: int, script: str) -> None:
        with _transaction(connection):
            for statement in _split(script):
                connection.execute(statement)
            if number == 1:
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(
                    "INSERT INTO meta VALUES ('instance', ?)", (secrets.token_hex(16),)
                )
            connection.execute(f"PRAGMA user_version = {number}")

    def _back_up(self, connection: sqlite3.Connection, version: int) -> None:
        copy = sqlite3.connect(self.path.with_suffix(f".v{version}.bak"))
        with copy:
            connection.backup(copy)
        copy.close()

    def _check_instance(self, connection: sqlite3.Connection) -> None:
        row = connection.execute("SELECT value FROM meta WHERE key = 'instance'").fetchone()
        ours = row[0] if row else ""
        if not self.instance.exists():
            self.instance.write_text(ours + "\n", encoding="ascii")
        expected = self.instance.read_text(encoding="ascii").strip()
        if ours != expected:
            raise StoreSwapped(
                f"{self.path} is not the database this state directory was created with"
                f" ({self.instance}); it was left as it is."
            )

    def _reserve_space(self, connection: sqlite3.Connection) -> None:
        """Grow file and WAL ahead of need: with free pages in both, small writes go on succeeding
        on a full disk, so the ends of running jobs can still be recorded."""
        try:
            free = connection.execute("PRAGMA freelist_count").fetchone()[0]
            size = connection.execute("PRAGMA page_size").fetchone()[0]
            if free * size < _BALLAST // 2:
                with _transaction(connection):
                    connection.execute("CREATE TABLE ballast (space BLOB)")
                    connection.execute("INSERT INTO ballast VALUES (zeroblob(?))", (_BALLAST,))
                connection.execute("DROP TABLE ballast")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.OperationalError as error:
            log.warning("no space could be reserved in %s: %s", self.path, error)

    # -- writing -----------------------------------------------------------------------------

    def _begin_commit(self) -> None:
        """Run what is pending and have it committed, unless a commit is under way."""
        self._timer = None
        if self._commit is not None or not self._pending or self._connection is None:
            return
        batch = self._pending[:_LARGEST_BATCH]
        del self._pending[:_LARGEST_BATCH]
        batch = self._run(self._connection, batch)
        if not batch:
            self._begin_commit()
            return
        began = self._loop.time()
        if self._usual_seconds < _FAST_COMMIT_SECONDS:
            self._committed(batch, _attempt(self._connection.commit), began)
        else:
            commit = self._loop.run_in_executor(self._committer, _attempt, self._connection.commit)
            self._commit = commit
            commit.add_done_callback(lambda commit: self._committed(batch, commit.result(), began))

    def _run(self, connection: sqlite3.Connection, batch: list[_Write]) -> list[_Write]:
        """Open a transaction with these writes and return those that are in it.

        A write that fails must not take the others with it: it is left out, and they run again.
        """
        while batch:
            write = None
            try:
                connection.execute("BEGIN IMMEDIATE")
                for write in batch:
                    for sql, values in write.statements:
                        connection.execute(sql, values)
                return batch
            except sqlite3.Error as error:
                _roll_back(connection)
                failure = translate(error, self.path)
                failed = batch if write is None else [write]
                batch = [each for each in batch if each not in failed]
                for each in failed:
                    _fail(each, failure)
        return batch

    def _committed(self, batch: list[_Write], error: sqlite3.Error | None, began: float) -> None:
        self._commit = None
        seconds = self._loop.time() - began
        self._usual_seconds += (seconds - self._usual_seconds) / _REMEMBERED_COMMITS
        if error is None:
            self.commit_seconds(seconds)
        elif self._connection is not None:
            _roll_back(self._connection)
        # The next commit is begun first: the disk works while the callers are told.
        self._begin_commit()
        for write in batch:
            if error is not None:
                _fail(write, translate(error, self.path))
            elif not write.done.done():
                write.done.set_result(None)

    # -- reading -----------------------------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = sqlite3.connect(
                    f"{self.path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_MS / 1000
                )
                connection.row_factory = sqlite3.Row
                connection.execute("PRAGMA query_only = ON")
                self._local.connection = connection
            return work(connection)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error


class _transaction:  # noqa: N801 - reads as the statement it is
    """BEGIN IMMEDIATE … COMMIT, or ROLLBACK: a deferred BEGIN can fail with SQLITE_BUSY_SNAPSHOT."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def __enter__(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self.connection.execute("COMMIT")
                return
            except sqlite3.Error:
                _roll_back(self.connection)
                raise
        _roll_back(self.connection)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _attempt(commit: Callable[[], None]) -> sqlite3.Error | None:
    try:
        commit()
    except sqlite3.Error as error:
        return error
    return None


def _fail(write: _Write, error: BaseException) -> None:
    if not write.done.done():  # whoever asked may have stopped waiting
        write.done.set_exception(error)


def translate(error: sqlite3.Error, path: Path) -> ConsoleAutomationError:
    """Return what a SQLite error means to whoever asked."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return StoreFull(
            f"{StoreFull.__doc__} ({error}) Free some space on the disk of {path.parent}."
        )
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path} is damaged ({error}); it was left as it is.")
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"{path} is locked by another program; try again when it has let go.")
    return Unavailable(f"{path} cannot be used: {error}")


def load_migrations() -> list[str]:
    """Return the migration scripts, in order; the n-th takes the file to version n."""
    folder = resources.files("console_automation.adapters.sqlite") / "migrations"
    scripts = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".sql")),
        key=lambda entry: entry.name,
    )
    return [script.read_text(encoding="utf-8") for script in scripts]


def load_queries() -> dict[str, str]:
    """Return the statements of queries.sql by name."""
    text = (resources.files("console_automation.adapters.sqlite") / "queries.sql").read_text(
        "utf-8"
    )
    queries: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("-- ") and line.endswith(" --"):
            name = line[3:-3]
            queries[name] = ""
        elif name and not line.startswith("--"):
            queries[name] += line + "\n"
    return queries


def _split(script: str) -> list[str]:
    bare = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    return [statement for statement in bare.split(";") if statement.strip()]
