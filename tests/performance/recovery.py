"""B11: a daemon that is killed with a thousand live runs and comes back."""

import time
from pathlib import Path

from tests.performance import rows
from tests.performance.harness import Row, ms, p50
from tests.performance.product import Client, Daemon, running, settled, state_directory

_LIVE = 1_000
_ROWS = 200_000
_ROUNDS = 3
_EVENTS = ("Submitted", "Picked", "Started", "Exited")


def thousand_live_shims() -> list[Row]:
    """B11: from the start of the process to ready, and to every run adopted."""
    with state_directory() as home:
        return _measure(home)


def _measure(home: Path) -> list[Row]:
    rows.write(home, rows.finished(_ROWS), _EVENTS)
    with running(home, max_concurrent_jobs=_LIVE + 10) as daemon:
        with Client(home) as client:
            for _ in range(_LIVE):
                client.start("sleep 900", timeout=0)
        daemon.until('console_automation_shims{state="live"}', _LIVE)
        settled(2.0)
        restarts = [_restart(daemon) for _ in range(_ROUNDS)]
        with Client(home) as client:
            figures = client.call("console_get_job_metrics")["metrics"]
    counts = (figures["runningJobs"], figures["completedJobs"], figures["totalJobs"])
    ready, adopted = (p50([each[part] for each in restarts]) for part in (0, 1))
    return [
        Row(
            budget="B11",
            what="restart with 1,000 live runs and 200,000 rows: process start to ready",
            figure=ms(ready),
            limit="< 1 s",
            met=ready < 1,
        ),
        Row(
            budget="B11",
            what="all adopted",
            figure=f"{counts[0]:,} of {_LIVE:,}, {ms(adopted)} after the process start",
            limit="all",
            met=counts == (_LIVE, _ROWS, _LIVE + _ROWS),
        ),
    ]


def _restart(daemon: Daemon) -> tuple[float, float]:
    """Crash the daemon and start it; return when it is ready and when it has all runs again."""
    daemon.kill()
    settled(1.0)
    began = time.perf_counter()
    ready = daemon.start()
    daemon.until('console_automation_shims{state="live"}', _LIVE)
    return ready, time.perf_counter() - began
