"""Changes of what an engine keeps both in memory and in the store: one after the other, each to its end."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Changing(Protocol):
    """Whose changes are made in turn."""

    changing: asyncio.Lock


Owner = TypeVar("Owner", bound=Changing)
P = ParamSpec("P")
T = TypeVar("T")
Change = Callable[Concatenate[Owner, P], Coroutine[Any, Any, T]]


def whole(change: Change[Owner, P, T]) -> Change[Owner, P, T]:
    """Make a method a change that goes on to its end when nobody waits for that any more.

    Else a client that leaves while the store writes would have memory and store differ.
    """

    @wraps(change)
    async def shielded(owner: Owner, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def alone() -> T:
            async with owner.changing:
                return await change(owner, *args, **kwargs)

        return await asyncio.shield(alone())

    return shielded
