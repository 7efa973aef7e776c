"""A cluster of daemons to be killed: a NATS server, a gateway and workers, and whoever tends them.

The client does what the product tells clients to do: what could not be reached is asked again, a
submission under the same key. Every run writes its id, which no other run has, into a file: what the
files say is what has really been run.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import nats

from console_automation.errors import Unavailable
from console_automation.frontends.launch import DaemonUnavailable
from tests.conftest import new_home
from tests.integration.clusters import as_worker, settings_of
from tests.integration.daemons import Daemon, Serve, killable
from tests.integration.nats_server import NatsServer, running_nats_server
from tests.waiting import PATIENCE, until_now

GATEWAY = "gateway"
LEASE_MS = 1_000
#: of every machine; with little patience, so that a test sees what becomes of the lost
KNOBS = {"cluster_lease_ms": LEASE_MS, "cluster_lost_ms": 6_000, "toolsets": "jobs cluster"}
#: for what is to happen to none of them, however busy this machine is
PATIENT = {"cluster_lease_ms": 4_000, "cluster_lost_ms": 60_000}
_ASKING_MS = 200  # of one call that waits for a job's end: what has died meanwhile is to be noticed
T = TypeVar("T")
#: What a part of the cluster is to be served by, one process after the other; after the last as installed.
Serves = Mapping[str, Sequence[Serve]]


class Fleet:
    """The parts of the cluster, its client, and a place for what jobs note."""

    def __init__(
        self, place: Path, nats: NatsServer, settings: Mapping[str, Any], serves: Serves
    ) -> None:
        self.place = place
        self.nats = nats
        self.settings = settings  #: of every machine
        self.daemons: dict[str, Daemon] = {}
        self._serves = {part: iter(each) for part, each in serves.items()}

    @property
    def gateway(self) -> Daemon:
        return self.daemons[GATEWAY]

    def next_serve(self, part: str) -> Serve | None:
        """Return what the next process of a part is served by; None: as installed."""
        return next(self._serves.get(part, iter(())), None)

    def tend(self) -> None:
        """Start again whatever has died."""
        if not self.nats.is_alive:
            self.nats.kill()
            self.nats.start()
        for part, daemon in self.daemons.items():
            if not daemon.is_alive:
                daemon.join()
                daemon.start(self.next_serve(part))

    @contextmanager
    def without(self, part: str) -> Iterator[None]:
        """Have a part dead for a while."""
        daemon = self.daemons.pop(part)
        daemon.kill()
        try:
            yield
        finally:
            self.daemons[part] = daemon
            self.tend()

    @contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Have a part stand still for a while."""
        pid = self.daemons[part].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def have_died(self) -> bool:
        """Whether everybody who was to die has."""
        return all(next(each, None) is None for each in self._serves.values())

    # -- what the client does ----------------------------------------------------------------

    def insist(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Carry out a call, on as many processes as it takes."""

        def tried() -> list[T]:
            self.tend()
            try:
                return [call(*args, **kwargs)]
            except (DaemonUnavailable, Unavailable):
                return []

        [result] = until_now(tried, f"{call} {args}")
        return result

    def submit(self, key: str, line: str, **options: Any) -> str:
        """Submit a shell line that first of all notes its run's id; returns the acknowledged id."""
        noting = f"echo $CONSOLE_AUTOMATION_RUN >> {self.notes_of(key)}; {line}"
        return self.insist(self.gateway.submit, noting, idempotencyKey=key, **options)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job as it stands."""
        return self.insist(self.gateway.job, job_id)

    def awaited(self, job_id: str, *statuses: str) -> dict[str, Any]:
        """Return a job once it has one of these statuses."""

        def there() -> dict[str, Any] | None:
            asked = {"jobId": job_id, "waitMs": _ASKING_MS}
            job = self.insist(self.gateway.call, "console_get_job_status", **asked)["job"]
            return job if job["status"] in statuses else None

        # Every kill costs seconds until all parts have found each other again, and a story has many.
        found = until_now(there, f"{job_id} to be {statuses}", patience=4 * PATIENCE)
        assert found
        return found

    def over(self, job_id: str) -> dict[str, Any]:
        """Return a job once it is over."""
        return self.awaited(job_id, "completed", "failed", "cancelled", "interrupted")

    def record(self, job_id: str) -> bytes:
        """Return what NATS has of a job."""

        async def read() -> bytes:
            client = await nats.connect(self.nats.url)
            try:
                bucket = await client.jetstream().key_value("console-automation-jobs")
                return (await bucket.get(job_id)).value or b""
            finally:
                await client.close()

        return asyncio.run(read())

    def runs_of(self, key: str) -> Counter[str]:
        """Return the runs that have begun under a key, and how often."""
        notes = self.notes_of(key)
        return Counter(notes.read_text().split() if notes.exists() else ())

    def begun(self, key: str, count: int = 1) -> None:
        """Return when so many runs have begun under a key."""
        until_now(lambda: self.runs_of(key).total() >= count, f"run {count} of {key}")

    def notes_of(self, key: str) -> Path:
        """Return the file that runs under a key write into."""
        return self.place / f"{key}.notes"

    def status_of(self, host: str) -> str | None:
        """Return how the gateway sees a worker."""
        workers = self.insist(self.gateway.call, "console_list_workers")["workers"]
        return next((each["status"] for each in workers if each["host"] == host), None)

    def await_status(self, host: str, status: str) -> None:
        """Return when the gateway sees a worker like that."""
        until_now(lambda: self.status_of(host) == status, f"{host} to be {status}")


@contextmanager
def running_fleet(
    hosts: Sequence[str],
    serves: Serves | None = None,
    *,
    security: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Iterator[Fleet]:
    """Run a cluster with a gateway and workers of these names, and leave nothing of it behind.

    `security` is whom its NATS server lets in, and how; the settings are every machine's.
    """
    with ExitStack() as stack:
        place = stack.enter_context(new_home())
        nats = stack.enter_context(running_nats_server(place / "nats", security=security))
        shared = settings_of(nats, **{**KNOBS, **settings})
        fleet = Fleet(place, nats, shared, serves or {})
        for part in (GATEWAY, *hosts):
            own = {} if part == GATEWAY else as_worker(part, max_concurrent_jobs=4)
            serve = fleet.next_serve(part)
            daemon = killable(place / part, serve, **shared, **own)
            fleet.daemons[part] = stack.enter_context(daemon)
        for host in hosts:
            fleet.await_status(host, "live")
        yield fleet


def fire(gateway: Daemon, **schedule: Any) -> str:
    """Have a schedule of its own fire once; return the job of the gateway's machine that it makes."""
    hourly = {"everyMs": 3_600_000}
    made = gateway.call("console_create_schedule", trigger=hourly, **schedule)["schedule"]
    fired = gateway.call("console_trigger_schedule", scheduleId=made["scheduleId"])
    return str(fired["jobId"])
