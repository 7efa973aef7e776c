"""This machine's part in the cluster: its connection, and what goes on over it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from console_automation.engine.cluster_book import ClusterBook
from console_automation.engine.gateway import Gateway
from console_automation.engine.roster import Roster
from console_automation.ports.cluster import ClusterBus

log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Workload:
    """What the worker of this machine does for the cluster: claims and refusals since it began, and the
    jobs that it has, of which some are over and not in the record yet."""

    claims: int = 0
    refusals: int = 0
    held: int = 0
    untold: int = 0


@dataclass(slots=True, kw_only=True)
class Cluster:
    """What gateway and worker have in common. `gateway` is None where there is only a worker."""

    bus: ClusterBus
    book: ClusterBook
    roster: Roster
    gateway: Gateway | None
    key: bytes = field(repr=False)
    workload: Workload | None = None  #: None where there is no worker
    connected: Callable[[], None] = lambda: None  #: called after every new connection

    def open(self) -> None:
        """Begin to connect. Nobody waits for it: this machine's own jobs do not need the cluster."""
        self.bus.open(self._connected)
        self.roster.open()
        if self.gateway:
            self.gateway.open()

    async def close(self) -> None:
        """Let go."""
        if self.gateway:
            await self.gateway.close()
        await self.roster.close()
        await self.bus.close()

    def _connected(self) -> None:
        log.info("connected to the cluster", extra={"action": "connected"})
        self.connected()
