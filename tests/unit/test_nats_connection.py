"""A connection to NATS that has ended is noticed, whether the library says so or not."""

import asyncio
from typing import Any

import pytest

from console_automation.adapters.nats.connection import _until_ended
from console_automation.adapters.nats.live import Live
from tests.waiting import PATIENCE


class Silent:
    """A client of the library that calls nobody back."""

    def __init__(self, *, is_closed: bool) -> None:
        self.is_closed = is_closed


@pytest.mark.parametrize("is_told", [False, True], ids=["by looking", "by being told"])
async def test_the_end_of_a_connection_is_noticed(is_told: bool) -> None:
    client: Any = Silent(is_closed=not is_told)
    live = Live(client)
    told = list[str]()
    live.at_end(lambda: told.append("over"))
    noticing = asyncio.create_task(_until_ended(client, live))
    if is_told:
        live.closed.set()
    await asyncio.wait_for(noticing, PATIENCE)
    assert live.closed.is_set() and told == ["over"]
