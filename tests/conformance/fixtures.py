"""The product under the names that the conformance suite's task scenarios call.

`greet` and `slow_compute` are the suite's; what runs is `console_execute_command` and the product's own
Tasks extension, over the product's own HTTP application, with real jobs.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import mcp_types as types

from console_automation.adapters.prometheus import Metrics
from console_automation.app import App, open_app
from console_automation.config import OnShutdown, Settings
from console_automation.frontends.http import HttpServer, read_token
from console_automation.frontends.mcp import tasks
from console_automation.frontends.mcp.server import Context, McpServer
from tests.conformance.door import stand_before

COMMAND = "console_execute_command"
_OBJECT: dict[str, Any] = {"type": "object"}
_TOOLS = [
    types.Tool(name="greet", description="Greets at once.", input_schema=_OBJECT),
    types.Tool(name="slow_compute", description="Takes its time.", input_schema=_OBJECT),
    types.Tool(name="failing_job", description="Fails after a second.", input_schema=_OBJECT),
]


class Fixtures(McpServer):
    """The product's MCP server with three more names for one of its tools."""

    async def _list_tools(
        self, ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        listed = await super()._list_tools(ctx, params)
        return types.ListToolsResult(tools=[*listed.tools, *_TOOLS])

    async def _call_tool(self, ctx: Context, params: types.CallToolRequestParams) -> dict[str, Any]:
        given = params.arguments or {}
        lines = {
            "greet": f"echo 'Hello, {given.get('name')}!'",
            "slow_compute": f"sleep {given.get('seconds', 0)}; echo computed",
            "failing_job": "sleep 1; exit 1",
        }
        if params.name in lines:
            arguments = {"command": lines[params.name]}
            params = types.CallToolRequestParams(name=COMMAND, arguments=arguments)
        return await super()._call_tool(ctx, params)


async def _serve(app: App, home: Path) -> None:
    settings = Settings(http_port=0)
    token = read_token(home)
    server = HttpServer(settings, token, Fixtures(app.engine), Metrics(app.engine))
    url = server.bind()
    server.open()
    await stand_before(url, token)
    await server.close()


async def main() -> None:
    """Serve until stdin ends; prints the URL."""
    tasks._PATIENCE = 0.05  # the scenarios want a task before their commands are done
    home = Path(tempfile.mkdtemp(prefix="ca-", dir="/tmp"))
    try:
        async with open_app(home, Settings(on_shutdown=OnShutdown.STOP)) as app:
            await _serve(app, home)
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
