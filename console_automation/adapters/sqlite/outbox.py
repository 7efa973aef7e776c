"""The Outbox over SQLite: messages until they are delivered, and their rows."""

import sqlite3
from asyncio import Future
from collections.abc import Sequence
from typing import Any

from console_automation.adapters.sqlite.database import Database, Statement
from console_automation.adapters.sqlite.rows import dump, load
from console_automation.core.messages import Message
from console_automation.core.notify import Channel


class SqliteOutbox:
    """Keeps the messages beside the jobs; `database` is opened and closed by the store of those."""

    def __init__(self, database: Database, sql: dict[str, str]) -> None:
        self._database = database
        self._sql = sql

    def posts(self, messages: Sequence[Message]) -> list[Statement]:
        """Return what adds messages, as part of a transaction that brings them about."""
        return [(self._sql["post_message"], _row(message)) for message in messages]

    def post(self, messages: Sequence[Message]) -> Future[None]:
        """Add messages; one whose id is known is left as it is."""
        return self._database.write(self.posts(messages))

    def postpone(self, message: Message) -> Future[None]:
        """Replace a message's attempts and when it is due."""
        values = {"id": message.id, "due_at": message.due_at, "attempts": message.attempts}
        return self._database.write([(self._sql["postpone_message"], values)])

    def remove(self, message_id: str) -> Future[None]:
        """Forget a message."""
        return self._database.write([(self._sql["remove_message"], {"id": message_id})])

    async def due(self, *, at: float, each: int, limit: int) -> list[Message]:
        """Return the messages due at a time, at most `each` to one receiver, in turns."""
        sql, values = self._sql["due_messages"], {"at": at, "each": each, "limit": limit}
        return await self._database.read(
            lambda connection: [_message(row) for row in connection.execute(sql, values)]
        )

    async def next_due(self, *, after: float) -> float | None:
        """Return when the next message is due that is not due yet."""
        sql = self._sql["next_message"]

        def work(connection: sqlite3.Connection) -> float | None:
            found: float | None = connection.execute(sql, {"after": after}).fetchone()["due_at"]
            return found

        return await self._database.read(work)


def _row(message: Message) -> dict[str, Any]:
    return {
        "id": message.id,
        "receiver": message.receiver,
        "due_at": message.due_at,
        "attempts": message.attempts,
        "message": dump(
            {
                "channel": message.channel.value,
                "target": message.target,
                "subject": message.subject,
                "body": message.body,
                "job_id": message.job_id,
                "cwd": message.cwd,
                "environment": dict(message.environment),
            }
        ),
    }


def _message(row: sqlite3.Row) -> Message:
    said = load(row["message"])
    return Message(
        **{**said, "channel": Channel(said["channel"])},
        id=row["id"],
        due_at=row["due_at"],
        attempts=row["attempts"],
    )
