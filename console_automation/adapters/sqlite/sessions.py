"""The SessionStore over SQLite: sessions and the commands typed into them, and their rows."""

import sqlite3
from asyncio import Future
from typing import Any

from console_automation.adapters.sqlite.database import Database
from console_automation.adapters.sqlite.rows import dump, load
from console_automation.core.codec import (
    command_from_plain,
    command_to_plain,
    exit_from_plain,
    exit_to_plain,
)
from console_automation.core.job import OutputCounts, TerminalSize
from console_automation.core.session import (
    Closing,
    CommandStatus,
    Session,
    SessionCommand,
    SessionPhase,
    SessionSpec,
    Sizing,
)
from console_automation.core.shells import ShellKind


class SqliteSessions:
    """Keeps the sessions beside the jobs; `database` is opened and closed by the store of those."""

    def __init__(self, database: Database, sql: dict[str, str]) -> None:
        self._database = database
        self._sql = sql

    def save(self, session: Session) -> Future[None]:
        """Add a session, or replace its state; a closed one is final."""
        return self._database.write([(self._sql["save_session"], _row(session))])

    async def get(self, session_id: str) -> Session | None:
        """Return a session."""
        found = await self._sessions("session_by_id", id=session_id)
        return found[0] if found else None

    async def live(self) -> list[Session]:
        """Return the sessions that are not closed, oldest first."""
        return await self._sessions("live_sessions")

    async def latest(self, *, limit: int) -> list[Session]:
        """Return sessions, newest first."""
        return await self._sessions("latest_sessions", limit=limit)

    async def closed(self, *, before: float, limit: int) -> list[Session]:
        """Return the sessions that were closed before a time, oldest first."""
        return await self._sessions("closed_sessions", closed_before=before, limit=limit)

    def delete(self, session_id: str) -> Future[None]:
        """Forget a closed session and what was typed into it."""
        values = {"id": session_id}
        return self._database.write(
            [(self._sql["delete_session"], values), (self._sql["delete_commands"], values)]
        )

    def save_command(self, command: SessionCommand) -> Future[None]:
        """Add a command, or replace its state."""
        return self._database.write([(self._sql["save_command"], _command_row(command))])

    async def commands(self, session_id: str, *, limit: int) -> list[SessionCommand]:
        """Return what was typed into a session, newest first."""
        return await self._commands("latest_commands", id=session_id, limit=limit)

    async def running_commands(self) -> list[SessionCommand]:
        """Return the commands whose end has not been seen, oldest first."""
        return await self._commands("running_commands")

    async def _sessions(self, query: str, **values: Any) -> list[Session]:
        sql = self._sql[query]
        return await self._database.read(
            lambda connection: [_session(row) for row in connection.execute(sql, values)]
        )

    async def _commands(self, query: str, **values: Any) -> list[SessionCommand]:
        sql = self._sql[query]
        return await self._database.read(
            lambda connection: [_command(row) for row in connection.execute(sql, values)]
        )


def _row(session: Session) -> dict[str, Any]:
    spec, output = session.spec, session.output
    return {
        "id": session.id,
        "phase": session.phase.value,
        "created_at": spec.created_at,
        "closed_at": session.closed_at,
        "spec": dump(
            {
                "command": command_to_plain(spec.command),
                "client": spec.client,
                "name": spec.name,
                "shell": spec.shell,
                "host": spec.host,
            }
        ),
        "state": dump(
            {
                "boot_id": session.boot_id,
                "sizes": [[each.at, each.size.cols, each.size.rows] for each in session.sizes],
                "pid": session.pid,
                "opened_at": session.opened_at,
                "output": [output.bytes, output.dropped_bytes, output.last_sequence],
                "exit": session.exit and exit_to_plain(session.exit),
                "closing": session.closing,
                "error": session.error,
            }
        ),
    }


def _session(row: sqlite3.Row) -> Session:
    spec, state = load(row["spec"]), load(row["state"])
    printed, dropped, last = state["output"]
    return Session(
        id=row["id"],
        spec=SessionSpec(
            command=command_from_plain(spec["command"]),
            created_at=row["created_at"],
            client=spec["client"],
            name=spec["name"],
            shell=spec["shell"] and ShellKind(spec["shell"]),
            host=spec["host"],
        ),
        phase=SessionPhase(row["phase"]),
        boot_id=state["boot_id"],
        sizes=tuple(
            Sizing(at=at, size=TerminalSize(cols=cols, rows=rows))
            for at, cols, rows in state["sizes"]
        ),
        pid=state["pid"],
        opened_at=state["opened_at"],
        closed_at=row["closed_at"],
        output=OutputCounts(bytes=printed, dropped_bytes=dropped, last_sequence=last),
        exit=state["exit"] and exit_from_plain(state["exit"]),
        closing=state["closing"] and Closing(state["closing"]),
        error=state["error"],
    )


def _command_row(command: SessionCommand) -> dict[str, Any]:
    return {
        "id": command.id,
        "session_id": command.session_id,
        "typed_at": command.typed_at,
        "status": command.status.value,
        "line": command.line,
        "state": dump(
            {
                "since": command.since,
                "until": command.until,
                "began_at": command.began_at,
                "ended_at": command.ended_at,
                "exit_code": command.exit_code,
            }
        ),
    }


def _command(row: sqlite3.Row) -> SessionCommand:
    return SessionCommand(
        id=row["id"],
        session_id=row["session_id"],
        line=row["line"],
        typed_at=row["typed_at"],
        status=CommandStatus(row["status"]),
        **load(row["state"]),
    )
