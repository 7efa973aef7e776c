"""Being connected: one connection after the other, for as long as it takes."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

import nats.errors

from console_automation.adapters.nats.access import Access
from console_automation.adapters.nats.live import Live, OnlyClient, Refused
from console_automation.errors import LimitReached, Unavailable

#: what can go wrong with a connection; none of it is a reason to cease
TROUBLE = (nats.errors.Error, OSError, ValueError, Refused, Unavailable, LimitReached)
SHORTEST, LONGEST = 0.25, 2.0  # seconds between two attempts
LETTING_GO = 1.0  # seconds until it is told again to end
LOOK = 0.5  # seconds until it is looked whether the connection still stands
PING = 10  # seconds; a server that is silent for three of them is gone

log = logging.getLogger(__name__)


class Connection:
    """Connects anew whenever it must, with a fresh client each time.

    The library could do so itself, but would say to the next connection what it could not say to the last:
    writes that had long been given up.
    """

    def __init__(self, access: Access, set_up: Callable[[Live], Awaitable[None]]) -> None:
        self._access = access
        self._set_up = set_up
        self._live: Live | None = None
        self._changed = asyncio.Condition()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection, and everything made that is needed."""
        return self._live is not None

    def live(self) -> Live:
        """Return the connection. Raises Unavailable when there is none."""
        if self._live is None:
            servers = ", ".join(self._access.servers)
            raise Unavailable(f"The cluster cannot be reached at {servers}; it is tried again.")
        return self._live

    async def next_live(self, *, within: float) -> Live:
        """Return the connection as soon as there is one. Raises Unavailable after so many seconds."""
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: self.is_connected)
        except TimeoutError:
            pass
        return self.live()

    def open(self, connected: Callable[[], None]) -> None:
        """Begin to connect, and never cease to."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep(connected))

    async def close(self) -> None:
        """Say what is still to be said, and let go."""
        if self._keeping is not None:
            while not self._keeping.done():
                # More than once: the library swallows one that comes while it is closing by itself.
                self._keeping.cancel()
                await asyncio.wait([self._keeping], timeout=LETTING_GO)
            self._keeping = None

    async def _keep(self, connected: Callable[[], None]) -> None:
        pause = SHORTEST
        while True:
            try:
                await self._connect(connected)
                pause = SHORTEST
            except TROUBLE as error:
                log.warning("the cluster cannot be reached: %s", error)
            await asyncio.sleep(random.uniform(SHORTEST, pause))
            pause = min(2 * pause, LONGEST)

    async def _connect(self, connected: Callable[[], None]) -> None:
        """Return when a connection that had stood has ended."""
        client = OnlyClient(wants_tls=self._access.wants_tls)
        live = Live(client)

        async def end() -> None:
            live.end()

        try:
            await client.connect(
                **self._access.options(),
                allow_reconnect=False,
                max_reconnect_attempts=1,
                ping_interval=PING,
                closed_cb=end,
                error_cb=report,
            )
            await self._set_up(live)
            await self._become(live)
            log.info("connected to the cluster")
            connected()
            await _until_ended(client, live)
            log.warning("the connection to the cluster is lost")
        finally:
            self._live = None
            await client.close()

    async def _become(self, live: Live) -> None:
        async with self._changed:
            self._live = live
            self._changed.notify_all()


async def _until_ended(client: OnlyClient, live: Live) -> None:
    """Return when the connection has ended, also where the library has not called back: it does not when
    its closing is cancelled on the way."""
    while not (live.closed.is_set() or client.is_closed):
        try:
            async with asyncio.timeout(LOOK):
                await live.closed.wait()
        except TimeoutError:
            pass
    live.end()


async def report(error: Exception) -> None:
    """Take what the library reports on the side; what matters of it comes as an error too."""
    log.debug("NATS: %s", error)
