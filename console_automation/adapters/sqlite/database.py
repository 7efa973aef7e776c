"""The database at work: one connection that writes, a few that read.

Only one process opens the file (the state directory's lock sees to that) and within it one connection
writes. With `synchronous=FULL` a commit is a flush of the disk, and that is what a write costs: what
is given while one commit is under way shares the next.

Statements run on the event loop, they take microseconds. The commit runs there too while the disk
takes a fraction of a millisecond for it, which is what waking a thread and coming back costs; on a
slower disk it runs in a thread, so that nobody waits for it who has not written (docs/decisions).
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from console_automation.adapters.sqlite.faults import translate
from console_automation.adapters.sqlite.opening import (
    connect_for_reading,
    open_for_writing,
    roll_back,
)
from console_automation.errors import StoreDamaged, Unavailable

_LARGEST_BATCH = 500
_FAST_COMMIT_SECONDS = 0.003
_REMEMBERED_COMMITS = 20
_LAZY_SECONDS = 0.05

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
        self._reading: list[sqlite3.Connection] = []
        self._loop: asyncio.AbstractEventLoop

    async def open(self) -> None:
        """Check, migrate and open the file, or say what is wrong with it and leave it alone."""
        self._loop = asyncio.get_running_loop()
        self._connection = await asyncio.to_thread(open_for_writing, self.path, self.instance)
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
        readers, self._readers = self._readers, None
        await asyncio.to_thread(self._let_go, connection, readers)

    def _let_go(self, connection: sqlite3.Connection, readers: ThreadPoolExecutor | None) -> None:
        """The writer comes last: the last to close leaves everything in the one file."""
        self._committer.shutdown()
        if readers:
            readers.shutdown()
        for each in (*self._reading, connection):
            each.close()

    def write(
        self, statements: Sequence[Statement], *, urgent: bool = True
    ) -> "asyncio.Future[None]":
        """Run the statements in one transaction; the future is done when it is on the disk."""
        done = self._loop.create_future()
        if self._connection is None:
            done.set_exception(Unavailable("The store is closed."))
            return done
        self._pending.append(_Write(statements, done))
        if self._commit is None:
            self._arrange_commit(urgent=urgent)
        return done

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on a read-only connection, in a thread of its own."""
        if self._readers is None:
            raise Unavailable("The store is closed.")
        return await self._loop.run_in_executor(self._readers, self._read, work)

    # -- writing -----------------------------------------------------------------------------

    def _arrange_commit(self, *, urgent: bool) -> None:
        """Have a commit begin soon. One that is due at once is not put off by later writes."""
        if not self._pending:
            return
        if urgent and isinstance(self._timer, asyncio.TimerHandle):
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            if urgent:
                self._timer = self._loop.call_soon(self._begin_commit)
            else:
                self._timer = self._loop.call_later(_LAZY_SECONDS, self._begin_commit)

    def _begin_commit(self) -> None:
        """Run what is pending and have it committed, unless a commit is under way."""
        self._timer = None
        if self._commit is not None or not self._pending or self._connection is None:
            return
        batch = self._pending[:_LARGEST_BATCH]
        del self._pending[:_LARGEST_BATCH]
        batch = self._run(self._connection, batch)
        began = self._loop.time()
        if not batch:
            self._arrange_commit(urgent=True)
        elif self._is_fast:
            self._committed(batch, _attempt(self._connection.commit), began)
        else:
            commit = self._loop.run_in_executor(self._committer, _attempt, self._connection.commit)
            self._commit = commit
            commit.add_done_callback(lambda commit: self._committed(batch, commit.result(), began))

    @property
    def _is_fast(self) -> bool:
        return self._usual_seconds < _FAST_COMMIT_SECONDS

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
            except (sqlite3.Error, ValueError, OverflowError) as error:
                # Not only SQLite's own: text with a lone surrogate never gets that far.
                roll_back(connection)
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
            roll_back(self._connection)
        for write in batch:  # whoever waits is told by the loop, after this
            if error is not None:
                _fail(write, translate(error, self.path))
            elif not write.done.done():
                write.done.set_result(None)
        if self._is_fast:
            self._arrange_commit(urgent=True)
        else:
            self._begin_commit()  # before they are told: so the disk works meanwhile

    # -- reading -----------------------------------------------------------------------------

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            connection = getattr(self._local, "connection", None)
            if connection is None:
                connection = connect_for_reading(self.path)
                self._local.connection = connection
                self._reading.append(connection)
            return work(connection)
        except sqlite3.Error as error:
            raise translate(error, self.path) from error
        except (ValueError, KeyError, TypeError) as error:
            raise StoreDamaged(
                f"{self.path} has a row that makes no sense ({error!r}); it was left as it is."
            ) from error


def _attempt(commit: Callable[[], None]) -> sqlite3.Error | None:
    try:
        commit()
    except sqlite3.Error as error:
        return error
    return None


def _fail(write: _Write, error: BaseException) -> None:
    if not write.done.done():  # whoever asked may have stopped waiting
        write.done.set_exception(error)


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
