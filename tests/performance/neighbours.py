"""B8: two jobs that print without end, and what a call about a third one then takes.

With two processors the floods have them all. What two `yes` outside of the product do to the same call
stands beside it.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.performance.harness import Row, ms, p50, p95, seconds, times
from tests.performance.product import Client, running, settled

_ROUNDS = 6
_CALLS = 300
_YES = shutil.which("yes") or "/usr/bin/yes"


def status_under_flood() -> list[Row]:
    """B8: p95 of `console_get_job_status`, idle and beside two `yes`."""
    with running() as daemon, Client(daemon.home) as client:
        target = client.start("sleep 900", timeout=0)

        def call() -> float:
            return seconds(lambda: client.call("console_get_job_status", jobId=target))

        [call() for _ in range(_CALLS)]
        idle, flooded, crowded = [], [], []
        for _ in range(_ROUNDS):
            idle.append(_round(call))
            with _floods(client):
                flooded.append(_round(call))
            with _strangers():
                crowded.append(_round(call))
    ratio = p50(flooded) / p50(idle)
    return [
        Row(
            budget="B8",
            what="`console_get_job_status` beside two jobs running `yes`, p95",
            figure=ms(p50(flooded)),
            floor=f"{ms(p50(idle))} idle",
            ratio=times(ratio),
            limit="≤ 3 x",
            met=ratio <= 3,
        ),
        Row(
            budget="B8",
            what="the same beside two `yes > /dev/null` that are not jobs",
            figure=ms(p50(crowded)),
            ratio=times(p50(crowded) / p50(idle)),
        ),
    ]


def _round(call: Callable[[], float]) -> float:
    settled()
    return p95([call() for _ in range(_CALLS)])


@contextmanager
def _floods(client: Client) -> Iterator[None]:
    jobs = [client.start("yes", timeout=0) for _ in range(2)]
    yield
    for job in jobs:
        client.call("console_cancel_job", jobId=job)


@contextmanager
def _strangers() -> Iterator[None]:
    with open(os.devnull, "wb") as null:
        processes = [subprocess.Popen([_YES], stdout=null) for _ in range(2)]
        yield
        for process in processes:
            process.kill()
            process.wait()
