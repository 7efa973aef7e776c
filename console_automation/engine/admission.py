"""Whether another run may begin now, beyond what the caps say."""

from console_automation.config import Settings
from console_automation.ports.machine import LoadGauge


class Admission:
    """Says no while the machine is overloaded. One run is always allowed, so nothing starves."""

    def __init__(self, settings: Settings, gauge: LoadGauge) -> None:
        self._max_load = settings.max_load_per_cpu
        self._max_memory = settings.max_memory_percent
        self.gauge = gauge

    def objection(self, live: int) -> str | None:
        """Return why no run may begin now, None when one may."""
        if live == 0:
            return None
        if self._max_load and (load := self.gauge.load_per_cpu()) > self._max_load:
            return f"the load per processor is {load:.1f}, above {self._max_load:g}"
        if self._max_memory and (memory := self.gauge.memory_percent()) > self._max_memory:
            return f"{memory:.0f} % of the memory is in use, above {self._max_memory:g} %"
        return None
