"""B5: what a client starts. From the start of the process to the answer to `initialize`."""

import subprocess
import sys
import time

from tests.performance.harness import Row, megabytes, ms, p50, seconds, times
from tests.performance.product import Client, memory_of, running

_STARTS = 40


def start_and_size() -> list[Row]:
    """B5: time to the first answer, and memory."""
    starts, floors, sizes = [], [], []
    with running() as daemon:
        for _ in range(_STARTS):
            floors.append(
                seconds(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True))
            )
            began = time.perf_counter()
            with Client(daemon.home) as client:
                starts.append(time.perf_counter() - began)
                sizes.append(memory_of(client.process.pid, "VmRSS"))
    return [
        Row(
            budget="B5",
            what="bridge: process start to `initialize` answered, p50",
            figure=ms(p50(starts)),
            floor=f"{ms(p50(floors))} `python -c pass`",
            ratio=times(p50(starts) / p50(floors)),
            limit="≤ 100 ms",
            met=p50(starts) <= 0.1,
        ),
        Row(
            budget="B5",
            what="bridge: resident memory",
            figure=megabytes(p50(sizes)),
            limit="≤ 12 MB",
            met=p50(sizes) <= 12e6,
        ),
    ]
