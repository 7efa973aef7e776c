"""Waiting in tests: for a condition, bounded by one constant, never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

PATIENCE = 20.0  # seconds; only a broken product takes that long
T = TypeVar("T")


async def until(condition: Callable[[], T | Awaitable[T]], what: str = "") -> T:
    """Return what the condition comes to as soon as that is true."""
    limit = time.monotonic() + PATIENCE
    while True:
        result = condition()
        value = await result if isinstance(result, Awaitable) else result
        if value:
            return value
        assert time.monotonic() < limit, f"waited in vain for {what or condition}"
        await asyncio.sleep(0.005)


def until_now(condition: Callable[[], T], what: str = "", *, patience: float = PATIENCE) -> T:
    """The same outside of an event loop."""
    limit = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < limit, f"waited in vain for {what or condition}"
        time.sleep(0.005)
    return value
