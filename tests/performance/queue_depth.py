"""B7: a queue of 100,000 pending jobs, beside an empty one.

Two daemons, asked in turns: one with the long queue, one without. Each has a single slot, so a
submission is only accepted, and freeing the slot sets off one start after the other.
"""

import time

from tests.performance import rows
from tests.performance.harness import Row, ms, p50, seconds, times
from tests.performance.product import Client, Daemon, running, state_directory

_PENDING = 100_000
_SUBMISSIONS = 500
_STARTS = 200
_ROUNDS = 5


class _Side:
    """The client of one daemon, and the jobs that wait in it, next first."""

    def __init__(self, client: Client, waiting: list[str]) -> None:
        self.client = client
        self.waiting = waiting
        self._take_the_slot()

    def submit(self) -> None:
        self.waiting.append(self.client.start("true"))

    def run_some(self) -> float:
        """Free the slot, let jobs run, take the slot again; return the seconds per job."""
        last = self.waiting[_STARTS - 1]
        began = time.perf_counter()
        self.client.call("console_cancel_job", jobId=self.holder)
        self.client.end_of(last)
        taken = time.perf_counter() - began
        self._take_the_slot()
        return taken / _STARTS

    def _take_the_slot(self) -> None:
        """Have nothing start any more, and forget what has started before that."""
        self.holder = self.client.start("sleep 900", priority=10, timeout=0)
        while self._status(self.holder) == "pending":
            pass
        run = 0
        while run < len(self.waiting) and self._status(self.waiting[run]) != "pending":
            run += 1
        del self.waiting[:run]

    def _status(self, job_id: str) -> str:
        return str(self.client.call("console_get_job_status", jobId=job_id)["job"]["status"])


def hundred_thousand() -> list[Row]:
    """B7: submitting, starting and restarting with a long queue."""
    jobs = rows.pending(_PENDING)
    with state_directory() as home:
        rows.write(home, jobs, ["Submitted"])
        with (
            running(home, max_concurrent_jobs=1) as long,
            running(max_concurrent_jobs=1) as short,
        ):
            with Client(home) as with_long, Client(short.home) as with_short:
                sides = [_Side(with_long, [job.id for job in jobs]), _Side(with_short, [])]
                submitted = _submissions(sides)
                started = _starts(sides)
            restart = _restart(long)
    submit_ratio = p50(submitted[0]) / p50(submitted[1])
    start_ratio = p50(started[0]) / p50(started[1])
    return [
        Row(
            budget="B7",
            what="submission with 100,000 pending, p50",
            figure=ms(p50(submitted[0])),
            floor=f"{ms(p50(submitted[1]))} with an empty queue",
            ratio=times(submit_ratio),
            limit="≤ 1.2 x",
            met=submit_ratio <= 1.2,
        ),
        Row(
            budget="B7",
            what="start, run and end of the next job with 100,000 pending",
            figure=ms(p50(started[0])),
            floor=f"{ms(p50(started[1]))} with a short queue",
            ratio=times(start_ratio),
            limit="≤ 1.2 x",
            met=start_ratio <= 1.2,
        ),
        Row(
            budget="B7",
            what="restart with 100,000 pending, to the first answered call",
            figure=ms(restart),
            limit="< 5 s",
            met=restart < 5,
        ),
    ]


def _submissions(sides: list[_Side]) -> list[list[float]]:
    samples: list[list[float]] = [[], []]
    for _ in range(_SUBMISSIONS):
        for side, taken in zip(sides, samples, strict=True):
            taken.append(seconds(side.submit))
    return samples


def _starts(sides: list[_Side]) -> list[list[float]]:
    samples: list[list[float]] = [[], []]
    for _ in range(_ROUNDS):
        for side, taken in zip(sides, samples, strict=True):
            while len(side.waiting) < 2 * _STARTS:
                side.submit()
            taken.append(side.run_some())
    return samples


def _restart(daemon: Daemon) -> float:
    """Crash the daemon and start it; return the seconds until a client has had an answer."""
    daemon.kill()
    began = time.perf_counter()
    daemon.start()
    with Client(daemon.home) as client:
        client.call("console_list_jobs", options={"limit": 1})
    return time.perf_counter() - began
