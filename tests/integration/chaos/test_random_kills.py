"""The daemon is killed again and again at random moments, while clients submit and cancel.

Promises 1 to 5 at moments that nobody has thought of: the seeds are fixed, the machine is not.
"""

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chaos.story import Client
from tests.integration.daemons import Caller, killable
from tests.waiting import until_now

ROUNDS = 12
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


class Stream(threading.Thread):
    """A client that submits one job after another until it is told to stop."""

    def __init__(self, home: Path, name: str, chance: random.Random) -> None:
        super().__init__(name=name)
        self.caller = Caller(home)
        self.client = Client(self.caller, lambda: until_now(self.caller.dial, "the next daemon"))
        self.stopping = threading.Event()
        self.failure: BaseException | None = None
        self._chance = chance

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                kind = self._chance.choice(list(COMMANDS))
                line, options, _ = COMMANDS[kind]
                key = f"{kind}-{self.name}-{len(self.client.acknowledged)}"
                job_id = self.client.submit(key, line, mergeStderr=True, **options)
                if kind == "endless":
                    self.client.insist(self.caller.running, job_id)
                    self.client.cancel(job_id)
        except BaseException as error:
            self.failure = error
        finally:
            self.caller.hang_up()


@pytest.mark.parametrize("seed", [2, 11])
def test_whatever_moment_the_daemon_is_killed_at_every_promise_is_kept(
    home: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with killable(home, max_concurrent_jobs=6) as daemon:
        streams = [Stream(home, str(n), random.Random(chance.random())) for n in range(CLIENTS)]
        for stream in streams:
            stream.start()
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            daemon.restart()
        for stream in streams:
            stream.stopping.set()
        for stream in streams:
            stream.join()
            assert stream.failure is None, stream.failure
            for key, job_id in stream.client.acknowledged.items():
                check(daemon, stream.client, key, job_id)
        acknowledged = sum(len(stream.client.acknowledged) for stream in streams)
        assert daemon.metrics()["totalJobs"] == acknowledged


def check(daemon: Caller, client: Client, key: str, job_id: str) -> None:
    """An acknowledged job is there, it is over, its output is whole, and no attempt ran twice."""
    status, code, output, attempts = COMMANDS[key.partition("-")[0]][2]
    job = daemon.over(job_id)
    assert (job["status"], job["exitCode"], job["attempt"]) == (status, code, attempts), job
    assert daemon.output(job_id) == output, job
    begun = client.runs_of(key)
    assert len(begun) == begun.total() == attempts, (job, begun)
