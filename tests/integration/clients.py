"""Clients for tests: the product as a library, and real MCP clients over stdio and HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import httpx2
import mcp
from mcp.client.streamable_http import streamable_http_client

from console_automation.app import App
from tests.integration.servers import PROGRAM, Server, environment
from tests.waiting import PATIENCE

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool has answered, the same over every front end."""

    structured: dict[str, Any]
    text: str
    is_error: bool


class Client(Protocol):
    """The one thing that a test of behaviour needs of a front end."""

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer: ...


class Library:
    """The product in this process."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        answer = await self._app.call(tool, **arguments)
        return Answer(dict(answer.view), answer.text, answer.is_error)


class Connected:
    """An MCP client of the official SDK."""

    def __init__(self, client: mcp.Client) -> None:
        self.mcp = client

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        result = await self.mcp.call_tool(tool, arguments, read_timeout_seconds=PATIENCE * 2)
        (content,) = result.content
        assert content.type == "text"
        assert result.structured_content is not None
        return Answer(result.structured_content, content.text, bool(result.is_error))


@asynccontextmanager
async def in_one_task(context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave a context in one and the same task, as the SDK demands and fixtures do not."""
    opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    closing = asyncio.Event()

    async def hold() -> None:
        try:
            async with context as value:
                opened.set_result(value)
                await closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)

    task = asyncio.create_task(hold())
    try:
        yield await opened
    finally:
        closing.set()
        await task


def over_stdio(server: Server, **options: Any) -> mcp.Client:
    """Return a client that starts `console-automation mcp` and talks to it."""
    parameters = mcp.StdioServerParameters(
        command=PROGRAM[0], args=[*PROGRAM[1:], "mcp"], env=environment(server.home)
    )
    return mcp.Client(parameters, **options)


@asynccontextmanager
async def over_http(server: Server, **options: Any) -> AsyncIterator[mcp.Client]:
    """Connect a client to `/mcp` with the bearer token."""
    headers = {"Authorization": f"Bearer {server.token}"}
    timeout = httpx2.Timeout(PATIENCE, read=None)
    async with httpx2.AsyncClient(headers=headers, timeout=timeout, verify=False) as http:
        transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
        async with mcp.Client(transport, **options) as client:
            yield client
