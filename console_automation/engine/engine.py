"""The engine: its parts, opened and closed together."""

from dataclasses import dataclass

from console_automation.config import OnShutdown, Settings
from console_automation.engine.jobs import JobManager
from console_automation.engine.output import OutputReader
from console_automation.engine.retention import Retention


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What operations work with."""

    settings: Settings
    jobs: JobManager
    output: OutputReader
    retention: Retention

    async def open(self) -> None:
        """Open the store and the host, take up what is not over, begin to run."""
        await self.jobs.ledger.store.open()
        try:
            await self.jobs.open()
        except BaseException:
            await self.jobs.close()
            await self.jobs.ledger.store.close()
            raise
        self.retention.open()

    async def close(self) -> None:
        """Do with live runs what the settings say, then let go of everything."""
        self.retention.close()
        if self.settings.on_shutdown is OnShutdown.DRAIN:
            await self.jobs.drain(timeout=self.settings.drain_timeout_ms / 1000)
        elif self.settings.on_shutdown is OnShutdown.STOP:
            await self.jobs.stop_all(grace=self.settings.kill_grace_ms / 1000)
        await self.jobs.close()
        await self.jobs.ledger.store.close()
