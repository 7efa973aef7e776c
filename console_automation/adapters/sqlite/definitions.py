"""The DefinitionStore over SQLite."""

from asyncio import Future

from console_automation.adapters.sqlite.database import Database
from console_automation.adapters.sqlite.rows import dump, load
from console_automation.core.codec import definition_from_plain, definition_to_plain
from console_automation.core.definition import JobDefinition


class SqliteDefinitions:
    """Keeps the definitions beside the jobs, in their database."""

    def __init__(self, database: Database, sql: dict[str, str]) -> None:
        self._database = database
        self._sql = sql

    def save(self, definition: JobDefinition) -> Future[None]:
        """Add a definition, or replace the one of that name."""
        values = {"name": definition.name, "data": dump(definition_to_plain(definition))}
        return self._database.write([(self._sql["save_definition"], values)])

    async def all(self) -> list[JobDefinition]:
        """Return the definitions by name."""
        sql = self._sql["all_definitions"]
        return await self._database.read(
            lambda connection: [
                definition_from_plain(load(row["data"])) for row in connection.execute(sql)
            ]
        )

    def delete(self, name: str) -> Future[None]:
        """Forget a definition."""
        return self._database.write([(self._sql["delete_definition"], {"name": name})])
