"""Who sends an MCP request, and what is not for everybody."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import mcp_types as types
from mcp import MCPError
from mcp.server.context import ServerRequestContext

from console_automation.core.access import LOCAL, Principal

T = TypeVar("T")
Handler = Callable[[ServerRequestContext[Any], Any], Awaitable[T]]


def principal_of(ctx: ServerRequestContext[Any]) -> Principal:
    """Return who sent a request: over HTTP the gate has found out, anybody else is the user."""
    if ctx.request is None:
        return LOCAL
    principal: Principal = ctx.request.scope["principal"]
    return principal


def of_the_user(handler: Handler[T]) -> Handler[T]:
    """Serve a request for the user of the machine alone: resources and tasks know no owners."""

    async def checked(ctx: ServerRequestContext[Any], params: Any) -> T:
        if not principal_of(ctx).is_admin:
            raise MCPError(types.METHOD_NOT_FOUND, "this is for the user of the machine")
        return await handler(ctx, params)

    return checked
