"""The product over HTTP for the public conformance suite, which has no way to send a token.

Everything is the installed product's, the other checks of its gate included. With `tasks` as a third
argument the suite's task scenarios find the names they call: `slow_compute` and its like are answered
by `console_execute_command` and the product's own Tasks extension, with real jobs.
"""

import sys
from pathlib import Path
from typing import Any

import mcp_types as types
from starlette.types import Receive, Scope, Send

from console_automation.frontends import daemon, http
from console_automation.frontends.mcp import server, tasks
from console_automation.operations.operation import Answer

_FIXTURES = ("greet", "slow_compute", "failing_job")


class Introduced(http.Gate):
    """The gate, with the token put into every request that comes to it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token = (b"authorization", b"Bearer " + self._token)
            scope = {**scope, "headers": [*scope["headers"], token]}
        await super().__call__(scope, receive, send)


class WithFixtures(server.McpServer):
    """The product's MCP server with three more names in its list of tools."""

    async def _list_tools(
        self, ctx: server.Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        listed = await super()._list_tools(ctx, params)
        more = [types.Tool(name=name, input_schema={"type": "object"}) for name in _FIXTURES]
        return types.ListToolsResult(tools=[*listed.tools, *more])

    async def _call_tool(
        self, ctx: server.Context, params: types.CallToolRequestParams
    ) -> dict[str, Any]:
        given = params.arguments or {}
        if params.name == "greet":
            return tasks.result_of(Answer({}, f"Hello, {given.get('name')}!"))
        lines = {
            "slow_compute": f"sleep {given.get('seconds', 0)}; echo computed",
            "failing_job": "sleep 1; exit 1",
        }
        if params.name in lines:
            arguments = {"command": lines[params.name]}
            params = types.CallToolRequestParams(
                name="console_execute_command", arguments=arguments
            )
        return await super()._call_tool(ctx, params)


if __name__ == "__main__":
    http.Gate = Introduced  # type: ignore[misc]
    home, port = Path(sys.argv[1]), int(sys.argv[2])
    if sys.argv[3:] == ["tasks"]:
        server.McpServer = WithFixtures  # type: ignore[misc]
        tasks._PATIENCE = 0.05  # the scenarios want a task before their commands are done
    sys.exit(daemon.run(home, {"http": True, "http_port": port}, ready=None))
