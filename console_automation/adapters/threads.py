"""Calls that block, and that nobody waits for when this process ends.

The threads of an executor are joined at the end of the process; a name server or a mail server that does
not answer would keep a daemon from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], places: asyncio.Semaphore | None = None) -> T:
    """Return what `work` returns, or raise what it raises; if cancelled, it goes on unheard.

    It has one of the places, if some are given, until it has ended, heard or not: so there are never
    more threads than places, and who comes later waits for its turn.
    """
    if places:
        await places.acquire()
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: Exception | None) -> None:
        if places:
            places.release()
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as failure:
            error = failure
        try:
            loop.call_soon_threadsafe(tell, result, error)
        except RuntimeError:
            pass  # the loop has ended meanwhile

    threading.Thread(target=run, daemon=True).start()
    return await done
