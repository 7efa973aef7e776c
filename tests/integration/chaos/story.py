"""A client's story: some jobs from their submission to their removal, whatever dies meanwhile.

The client does what the product tells clients to do: when the daemon goes away over a call it finds
the next one and repeats the call, submissions under the same key. Every run writes its id, which no
other run has, into a file: what the file says is what has really been run.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from console_automation.frontends.launch import DaemonUnavailable
from tests.integration.daemons import Caller, Gate
from tests.waiting import until_now

T = TypeVar("T")


class Client:
    """Submits under keys, repeats what was cut short, and keeps every acknowledged id."""

    def __init__(self, caller: Caller, revive: Callable[[], object]) -> None:
        self.caller = caller
        self._revive = revive
        self.acknowledged: dict[str, str] = {}

    def insist(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Carry out a call, on as many daemons as it takes."""
        while True:
            try:
                return call(*args, **kwargs)
            except DaemonUnavailable:
                self._revive()

    def submit(self, key: str, line: str, **options: Any) -> str:
        """Submit a shell line that first of all notes its run's id; returns the acknowledged id."""
        noting = f"echo $CONSOLE_AUTOMATION_RUN >> {self._notes_of(key)}; {line}"
        job_id = self.insist(self.caller.submit, noting, idempotencyKey=key, **options)
        assert self.acknowledged.setdefault(key, job_id) == job_id
        return job_id

    def over(self, job_id: str) -> dict[str, Any]:
        """Return a job once it is over."""
        return self.insist(self.caller.over, job_id)

    def cancel(self, job_id: str) -> None:
        """Ask for a job's end."""
        self.insist(self.caller.cancel, job_id)

    def runs_of(self, key: str) -> Counter[str]:
        """Return the runs that have begun under a key, and how often."""
        notes = self._notes_of(key)
        return Counter(notes.read_text().split() if notes.exists() else ())

    def _notes_of(self, key: str) -> Path:
        return self.caller.home / f"{key}.notes"


def tell(client: Client, gate: Gate) -> None:
    """Live through the story and check at every turn what has been promised.

    Wants a daemon that runs three jobs at once.
    """
    first = client.submit("first", f"{gate.wait}; echo out")
    second = client.submit("second", "echo out; exit 42", dependsOn=[first])
    retried = client.submit("retried", "echo out; exit 3", retry={"maxAttempts": 2, "backoffMs": 1})
    long = client.submit("long", "exec sleep 1000")
    assert _verdict(client.over(retried)) == ("failed", 3, 2)
    client.insist(client.caller.running, long)
    until_now(lambda: client.runs_of("long"), "what the command does first")
    after = client.submit("after", "echo out", dependsOn=[second, long], evenIfFailed=True)
    gate.open()
    assert _verdict(client.over(first)) == ("completed", 0, 1)
    assert _verdict(client.over(second)) == ("failed", 42, 1)
    client.cancel(long)
    assert _verdict(client.over(long)) == ("cancelled", None, 1)
    assert _verdict(client.over(after)) == ("completed", 0, 1)
    for job_id in (first, second, retried, after):
        assert client.insist(client.caller.output, job_id) == "out\n"
    _check_runs(client)
    assert client.insist(client.caller.metrics)["totalJobs"] == len(client.acknowledged)
    client.insist(client.caller.clean_up)
    assert client.insist(client.caller.metrics)["totalJobs"] == 0


def _verdict(job: dict[str, Any]) -> tuple[str, int | None, int]:
    return job["status"], job["exitCode"], job["attempt"]


def _check_runs(client: Client) -> None:
    """No run began twice, and none beyond the attempts that are on record."""
    for key, attempts in {"first": 1, "second": 1, "retried": 2, "long": 1, "after": 1}.items():
        begun = client.runs_of(key)
        assert len(begun) == begun.total() == attempts, (key, begun)


def nothing_kept(runs: Path) -> bool:
    """Whether no run directory is left."""
    return until_now(lambda: not list(runs.iterdir()), f"the last directory in {runs}")
