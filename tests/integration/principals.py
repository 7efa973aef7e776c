"""Clients of principals, each with a token of its own, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Any

import mcp

from console_automation.adapters.tokens import Tokens
from tests.integration.clients import Connected, over_http
from tests.integration.servers import Server
from tests.integration.steps import ok
from tests.waiting import until

_NUMBERS = count()


class Guest(Connected):
    """A client of a principal whom nobody else is."""

    def __init__(self, client: mcp.Client, name: str) -> None:
        super().__init__(client)
        self.name = name


@asynccontextmanager
async def as_principal(server: Server, kind: str, **words: Any) -> AsyncIterator[Guest]:
    """A client with a token of its own."""
    name = f"{kind}-{next(_NUMBERS)}"
    given = {"roles": [], "scopes": [], "lifetime": None, **words}
    token = Tokens(server.home).add(name, **given)
    async with over_http(replace(server, token=token)) as client:
        yield Guest(client, name)


async def ended(client: Connected, job_id: str) -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        found = await ok(client, "console_get_job_result", jobId=job_id, waitMs=1000)
        return found if found["status"] not in ("pending", "running") else None

    found = await until(over, "the end")
    assert found is not None
    return found
