"""A worker's name in the cluster, and the signs of life that keep it."""

import asyncio
import logging
from collections.abc import Callable, Mapping

from console_automation import __version__
from console_automation.core.cluster_job import Holder
from console_automation.core.target import host_key
from console_automation.core.worker import Beat, Worker, beat_to_bytes
from console_automation.engine.cluster import Cluster
from console_automation.engine.engine import Engine
from console_automation.engine.roster import check_free, sealed_beat
from console_automation.errors import BadRequest, ConsoleAutomationError

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4


class Presence:
    """Enters the name, sees that it stands, and gives signs of life."""

    def __init__(
        self,
        engine: Engine,
        cluster: Cluster,
        *,
        me: Holder,
        labels: Mapping[str, str],
        holds: Callable[[], int],
    ) -> None:
        self._queue = engine.jobs.dispatcher.queue
        self._cluster = cluster
        self._me = me
        self._labels = dict(labels)
        self._holds = holds
        self._lease = engine.settings.cluster_lease_ms / 1000

    @property
    def _is_enrolled(self) -> bool:
        """Whether the entry is there and this worker's. It can be lost again: to another worker while
        this one was not heard of, to somebody who forgets it, with the disk of NATS."""
        found = self._cluster.roster.get(self._me.host)
        return found is not None and self._entry(found.worker) == found.worker

    @property
    def takes_jobs(self) -> bool:
        """Whether it is in the cluster, and not told to take no more."""
        found = self._cluster.roster.get(self._me.host)
        return self._is_enrolled and found is not None and not found.worker.cordoned_by

    async def forever(self, *, awake: Callable[[], None], enrolled: Callable[[], None]) -> None:
        """Give signs of life. `awake` is called when this process has slept for longer than its lease:
        what it held may have been given to others."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                if not self._is_enrolled:
                    await self._enrol()
                    enrolled()
                await self._beat()
            except BadRequest as error:
                log.error("%s", error.message)
            except ConsoleAutomationError as error:
                log.info("no sign of life could be given: %s", error)
            await asyncio.sleep(self._lease / BEATS_PER_LEASE)
            if loop.time() - began > self._lease:
                awake()

    async def _enrol(self) -> None:
        """Enter the name. Raises BadRequest when another worker that is alive has it."""
        roster = self._cluster.roster
        await roster.listens.wait()
        check_free(roster.get(self._me.host), self._me.instance, self._me.host)
        await roster.change(self._me.host, self._entry)
        log.info("worker %s is enrolled", self._me.host, extra={"action": "enrolled"})

    def _entry(self, before: Worker | None) -> Worker:
        return Worker(
            host=self._me.host,
            instance=self._me.instance,
            version=__version__,
            labels=self._labels,
            cordoned_by=before.cordoned_by if before else "",
        )

    async def _beat(self) -> None:
        queue = self._queue
        beat = Beat(
            instance=self._me.instance,
            slots=queue.total,
            running=queue.live,
            waiting=len(queue),
            holds=self._holds(),
            takes_jobs=self.takes_jobs,
        )
        sealed = sealed_beat(self._cluster.key, self._me.host, beat_to_bytes(beat))
        await self._cluster.bus.beats.put(host_key(self._me.host), sealed)
