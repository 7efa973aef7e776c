"""The daemon is killed again and again at random moments, while clients submit and cancel.

Promises 1 to 5 at moments that nobody has thought of: the seeds are fixed, the machine is not.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.integration.chaos.story import Client
from tests.integration.daemons import Caller, Daemon, killable
from tests.processes import bearing
from tests.waiting import until_now

ROUNDS = 15
CLIENTS = 2
LONGEST_LIFE = 0.25  # seconds; the first of them are spent on taking up what was there

#: What clients submit, and what has to become of it: status, exit code, output, runs begun.
COMMANDS: dict[str, tuple[str, dict[str, Any], tuple[str, int | None, str, int]]] = {
    "quiet": ("exit 0", {}, ("completed", 0, "", 1)),
    "loud": ("echo out; echo err >&2; exit 42", {}, ("failed", 42, "out\nerr\n", 1)),
    "slow": ("echo begun; sleep 0.2; echo done", {}, ("completed", 0, "begun\ndone\n", 1)),
    "again": (
        "echo once more; exit 3",
        {"retry": {"maxAttempts": 2, "backoffMs": 20}},
        ("failed", 3, "once more\n", 2),
    ),
    "endless": ("exec sleep 1000", {}, ("cancelled", None, "", 1)),
}


def mark_of(home: Path) -> str:
    """What every process of every job has in its environment."""
    return f"stream of {home}"


class Stream(threading.Thread):
    """A client that submits one job after another until it is told to stop."""

    def __init__(self, home: Path, name: str, chance: random.Random) -> None:
        super().__init__(name=name)
        self.caller = Caller(home)
        self.client = Client(self.caller, lambda: until_now(self.caller.dial, "the next daemon"))
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self._chance = chance
        self._marked = {"environment": {"MARK": mark_of(home)}, "mergeStderr": True}

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                kind = self._chance.choice(list(COMMANDS))
                line, options, _ = COMMANDS[kind]
                key = f"{kind}-{self.name}-{len(self.client.acknowledged)}"
                job_id = self.client.submit(key, line, **self._marked, **options)
                if kind == "endless":
                    self.client.insist(self._has_begun, key, job_id)
                    self.client.cancel(job_id)
        except BaseException as error:
            self.failure = error
        finally:
            self.caller.hang_up()

    def _has_begun(self, key: str, job_id: str) -> None:
        """Return when the command has noted its run, or never will."""

        def is_so() -> bool:
            is_over = self.caller.job(job_id)["status"] not in ("pending", "running")
            return is_over or bool(self.client.runs_of(key))

        until_now(is_so, f"the start of {job_id}")


def kill_launcher(daemon: Daemon) -> None:
    for launcher in psutil.Process(daemon.pid).children():  # none while the next one is started
        with suppress(psutil.NoSuchProcess):
            launcher.kill()


def kill_a_shim(daemon: Daemon, chance: random.Random) -> None:
    with suppress(psutil.NoSuchProcess, IndexError):
        chance.choice(daemon.shims()).kill()


@contextmanager
def streaming(home: Path, chance: random.Random) -> Iterator[list[Client]]:
    """Have clients submit until the context is left, and every call of theirs is answered then."""
    streams = [Stream(home, str(n), random.Random(chance.random())) for n in range(CLIENTS)]
    for stream in streams:
        stream.start()
    try:
        yield [stream.client for stream in streams]
    finally:
        for stream in streams:
            stream.stopping.set()
        for stream in streams:
            stream.join()
    for stream in streams:
        assert stream.failure is None, stream.failure


def test_whatever_dies_at_whatever_moment_every_promise_is_kept(home: Path) -> None:
    chance = random.Random(2)
    with killable(home, max_concurrent_jobs=6) as daemon:
        with streaming(home, chance) as clients:
            for _ in range(ROUNDS):
                time.sleep(chance.uniform(0, LONGEST_LIFE))
                if chance.random() < 0.4:
                    kill_launcher(daemon)
                if chance.random() < 0.8:
                    daemon.restart()
        for client in clients:
            for key, job_id in client.acknowledged.items():
                check(daemon, client, key, job_id)
        metrics = daemon.metrics()
        assert metrics["totalJobs"] == sum(len(client.acknowledged) for client in clients)
        assert metrics["concurrency"]["current"] == 0


def check(daemon: Caller, client: Client, key: str, job_id: str) -> None:
    """An acknowledged job is there, it is over, its output is whole, and no attempt ran twice."""
    status, code, output, attempts = COMMANDS[key.partition("-")[0]][2]
    job = daemon.over(job_id)
    assert (job["status"], job["exitCode"], job["attempt"]) == (status, code, attempts), job
    assert daemon.output(job_id) == output, job
    begun = client.runs_of(key)
    assert len(begun) == begun.total() == attempts, (job, begun)


def test_when_shims_die_as_well_a_job_is_what_it_should_be_or_said_to_be_interrupted(
    home: Path,
) -> None:
    """Promise 6: and what an interrupted run has started is not left running."""
    chance = random.Random(5)
    with killable(home, max_concurrent_jobs=6) as daemon:
        with streaming(home, chance) as clients:
            for _ in range(ROUNDS):
                time.sleep(chance.uniform(0, LONGEST_LIFE))
                kill_a_shim(daemon, chance)
                if chance.random() < 0.5:
                    daemon.restart()
        for client in clients:
            for key, job_id in client.acknowledged.items():
                status, code, _, attempts = COMMANDS[key.partition("-")[0]][2]
                job = daemon.over(job_id)
                expected = {(status, code, attempts), ("interrupted", None, job["attempt"])}
                assert (job["status"], job["exitCode"], job["attempt"]) in expected, job
                begun = client.runs_of(key)
                assert begun.total() == len(begun) <= job["attempt"], (job, begun)
        assert daemon.metrics()["concurrency"]["current"] == 0
        until_now(lambda: not bearing(mark_of(home)), "the end of every process")
