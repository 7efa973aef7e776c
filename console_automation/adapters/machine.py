"""The clock and the load of this machine."""

import os
import time
from pathlib import Path

import psutil

_FRESH_SECONDS = 0.25


class SystemClock:
    """The wall clock, and the identity of this boot."""

    def __init__(self) -> None:
        try:
            self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        except OSError:
            self.boot_id = f"{psutil.boot_time():.0f}"

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time()


class SystemLoad:
    """What the operating system says about itself, read four times a second at most."""

    def __init__(self) -> None:
        self._read_at = -1.0
        self._load = self._memory = 0.0

    def load_per_cpu(self) -> float:
        """Return the one-minute load average over the number of processors."""
        self._refresh()
        return self._load

    def memory_percent(self) -> float:
        """Return the share of memory in use, 0 to 100."""
        self._refresh()
        return self._memory

    def _refresh(self) -> None:
        if time.monotonic() - self._read_at > _FRESH_SECONDS:
            self._load = psutil.getloadavg()[0] / (os.cpu_count() or 1)
            self._memory = float(psutil.virtual_memory().percent)
            self._read_at = time.monotonic()
