"""The behaviour suite: every test body runs over four front ends: the library, stdio, HTTP and the
command line. What shells and programs do, which is the same whoever asks, runs over two of them: in this
process and over a wire.

The tests of a module share a connection, and the daemon is everybody's: none relies on being alone.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from console_automation.app import open_app
from console_automation.config import OnShutdown, Settings
from console_automation.operations.schemas import result_schema
from console_automation.operations.table import OPERATIONS
from tests.conftest import CALM, new_home
from tests.integration.clients import (
    Answer,
    Client,
    Connected,
    Library,
    in_one_task,
    over_http,
    over_stdio,
)
from tests.integration.command_line import CommandLine
from tests.integration.conftest import SETTINGS
from tests.integration.consoles import Console, opened
from tests.integration.servers import Server

_RESULTS = {
    name: Draft202012Validator(result_schema(each.result, name))
    for name, each in OPERATIONS.items()
}
_ERROR = Draft202012Validator(
    {
        "type": "object",
        "required": ["success", "error", "code", "details"],
        "properties": {
            "success": {"const": False},
            "error": {"type": "string", "minLength": 1, "maxLength": 2000},
            "code": {"type": "string", "pattern": "^[A-Z_]+$"},
            "details": {"type": "object", "required": ["timestamp"]},
        },
    }
)

#: for modules about what shells and programs do
OVER_TWO = pytest.mark.parametrize("client", ["library", "stdio"], indirect=True, scope="module")


class Checked:
    """A client whose every answer is held against its tool's output schema."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        answer = await self._client.call(tool, arguments)
        (_ERROR if answer.is_error else _RESULTS[tool]).validate(answer.structured)
        assert answer.structured["success"] is not answer.is_error
        assert answer.text
        return answer


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["library", "stdio", "http", "command line"]
)
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[Client]:
    """A client over one of the front ends, the same for all tests of a module."""
    if request.param == "library":
        settings = Settings(**{**CALM, **SETTINGS}, on_shutdown=OnShutdown.STOP)
        with new_home() as home:
            async with open_app(home, settings) as app:
                yield Checked(Library(app))
    elif request.param == "command line":
        yield Checked(CommandLine(server.home))
    else:
        connect = over_stdio if request.param == "stdio" else over_http
        async with in_one_task(connect(server)) as connected:
            yield Checked(Connected(connected))


Open = Callable[..., Awaitable[Console]]


@pytest_asyncio.fixture(loop_scope="module")
async def console(client: Client, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens sessions, and closes them when the test is over."""
    consoles: list[Console] = []

    async def make(command: str, args: list[str] | None = None, **options: Any) -> Console:
        consoles.append(await opened(client, tmp_path, command, args, **options))
        return consoles[-1]

    yield make
    for each in consoles:
        arguments = {"sessionId": each.id, "force": True}
        await client.call("console_stop_session", arguments)
