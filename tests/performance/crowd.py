"""B6: a thousand jobs at once.

The floor is a thousand bare `sleep`s. Memory is what the product's own processes hold (PSS: the pages
they share are counted once), the jobs' own memory left out; the change of the machine's available
memory, in which the kernel's share is too, stands beside it.
"""

import os
import shutil
import time

import psutil

from tests.performance.harness import Row, megabytes, ms, p50
from tests.performance.product import (
    Client,
    Daemon,
    cpu_seconds,
    processes_of,
    running,
    settled,
    share_of_memory,
)

_JOBS = 1_000
_WINDOW = 100
_IDLE_SECONDS = 6.0
_SLEEP = shutil.which("sleep") or "/bin/sleep"


def thousand_sleeps() -> list[Row]:
    """B6: all at once, memory, cost of a submission, idle processor time."""
    bare = _bare_sleeps()
    with running(max_concurrent_jobs=_JOBS + 10) as daemon, Client(daemon.home) as client:
        client.end_of(client.start("true"))
        settled()
        available = psutil.virtual_memory().available
        before = share_of_memory(_product(daemon))
        taken = []
        for _ in range(_JOBS):
            began = time.perf_counter()
            client.start("sleep 900", timeout=0)
            taken.append(time.perf_counter() - began)
        delay = daemon.until('console_automation_shims{state="live"}', _JOBS)
        settled(2.0)
        asleep = _sleepers(daemon)
        each = (share_of_memory(_product(daemon)) - before) / _JOBS
        whole = (available - psutil.virtual_memory().available) / _JOBS - bare
        idle = _idle_share([daemon.process.pid])
        idle_all = _idle_share(_product(daemon))
    slowest = max(p50(taken[at : at + _WINDOW]) for at in range(0, _JOBS, _WINDOW))
    return [
        Row(
            budget="B6",
            what="1,000 `sleep`s submitted one after the other, all running at once",
            figure=f"{asleep:,} running, {ms(delay)} after the last was accepted",
            limit="1,000",
            met=asleep == _JOBS,
        ),
        Row(
            budget="B6",
            what="memory for each, over the job's own",
            figure=megabytes(each),
            floor=f"{megabytes(bare)} a bare `sleep`",
            limit="≤ 1.3 MB",
            met=each <= 1.3e6,
        ),
        Row(
            budget="B6", what="the same by the machine's available memory", figure=megabytes(whole)
        ),
        Row(
            budget="B6",
            what="submission, p50 of the slowest hundred in a row",
            figure=ms(slowest),
            limit="≤ 5 ms",
            met=slowest <= 0.005,
        ),
        Row(
            budget="B6",
            what="daemon's processor time with 1,000 idle jobs",
            figure=f"{idle:.2%}",
            limit="< 1 %",
            met=idle < 0.01,
        ),
        Row(budget="B6", what="the same with launcher and shims", figure=f"{idle_all:.2%}"),
    ]


def _product(daemon: Daemon) -> list[int]:
    """Return the pids of daemon, launcher and shims."""
    children = [
        process
        for process in processes_of(daemon.home)
        if "launcher.py" in " ".join(process.cmdline())
    ]
    return [daemon.process.pid, *(process.pid for process in children)]


def _sleepers(daemon: Daemon) -> int:
    names = [process.name() for process in processes_of(daemon.home)]
    return names.count("sleep")


def _idle_share(pids: list[int]) -> float:
    """Return the processor time that processes use while nothing is asked of them."""
    before = cpu_seconds(pids)
    settled(_IDLE_SECONDS)
    return (cpu_seconds(pids) - before) / _IDLE_SECONDS


def _bare_sleeps() -> float:
    """Return what a `sleep` alone takes of the machine's memory."""
    available = psutil.virtual_memory().available
    pids = [os.posix_spawn(_SLEEP, ["sleep", "900"], os.environ) for _ in range(_JOBS)]
    settled(1.0)
    taken = (available - psutil.virtual_memory().available) / _JOBS
    for pid in pids:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    settled()
    return taken
