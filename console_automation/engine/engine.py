"""The engine: its parts, opened and closed together."""

import asyncio
from dataclasses import dataclass

from console_automation.config import OnShutdown, Settings
from console_automation.core.job import Job
from console_automation.core.session import Session
from console_automation.engine.carrying import Carrying
from console_automation.engine.cluster import Cluster
from console_automation.engine.consoles import ConsoleManager
from console_automation.engine.definitions import Definitions
from console_automation.engine.jobs import STOPPING_SECONDS, JobManager
from console_automation.engine.notifications import Notifications
from console_automation.engine.output import OutputReader
from console_automation.engine.retention import Retention
from console_automation.engine.schedules import Schedules
from console_automation.engine.screens import Screens
from console_automation.engine.workflows import Workflows
from console_automation.ports.machine import ProcessTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What operations work with."""

    settings: Settings
    jobs: JobManager
    output: OutputReader[Job]
    definitions: Definitions
    consoles: ConsoleManager
    session_output: OutputReader[Session]
    screens: Screens
    processes: ProcessTable
    retention: Retention
    workflows: Workflows
    schedules: Schedules
    notifications: Notifications
    carrying: Carrying
    cluster: Cluster | None = None  #: where this machine is not alone

    async def open(self) -> None:
        """Open the store and the host, take up what is not over, begin to run."""
        await self.jobs.ledger.store.open()
        try:
            await self.definitions.open()
            await self.jobs.open()
            await self.consoles.open()
            await self.workflows.open()
            await self.schedules.open()
        except BaseException:
            await self.schedules.close()
            await self.workflows.close()
            await self.consoles.close()
            await self.jobs.close()
            await self.jobs.ledger.store.close()
            raise
        self.retention.open()
        self.notifications.open()
        if self.cluster:
            self.cluster.open()

    @property
    def longest_end(self) -> float:
        """Seconds that running jobs and sessions may take when this closes, as the settings say."""
        match self.settings.on_shutdown:
            case OnShutdown.DRAIN:
                return self.settings.drain_timeout_ms / 1000
            case OnShutdown.STOP:
                return self.settings.kill_grace_ms / 1000 + STOPPING_SECONDS
            case OnShutdown.LEAVE:
                return 0.0

    async def close(self) -> None:
        """Do with live runs what the settings say, then let go of everything."""
        self.retention.close()
        if self.cluster:
            await self.cluster.close()
        await self.workflows.close()
        await self.schedules.close()
        if self.settings.on_shutdown is OnShutdown.DRAIN:
            await self.jobs.drain(timeout=self.settings.drain_timeout_ms / 1000)
        elif self.settings.on_shutdown is OnShutdown.STOP:
            grace = self.settings.kill_grace_ms / 1000
            await asyncio.gather(
                self.jobs.stop_all(grace=grace), self.consoles.stop_all(grace=grace)
            )
        await self.notifications.close()
        self.screens.close()
        await self.consoles.close()
        await self.jobs.close()
        await self.jobs.ledger.store.close()
