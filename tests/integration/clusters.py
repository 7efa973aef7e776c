"""A cluster of real processes: a NATS server, a gateway and workers, each on a state directory."""

import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import new_home
from tests.integration.job_command import Shell
from tests.integration.nats_server import NatsServer, running_nats_server
from tests.integration.servers import PROGRAM, ask, configure, end_everything, environment
from tests.waiting import PATIENCE, until_now

KEY = "a key that only tests have"
KNOBS = {"cluster_lease_ms": 3_000, "cluster_max_deliveries": 2, "idle_shims": 2}


class Worker:
    """A worker that a test may kill and start again."""

    def __init__(self, home: Path, host: str, labels: str) -> None:
        self.home = home
        self.host = host
        self._words = ["worker", "--host", host, "--slots", "2", "--label", labels]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin; the cluster hears of it when it does."""
        self._process = subprocess.Popen(
            [*PROGRAM, *self._words], env=environment(self.home), stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """End it as a crash would; what it runs goes on."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait(PATIENCE)
            self._process = None

    def close(self) -> None:
        """Leave nothing of it."""
        self._end(signal.SIGKILL)
        end_everything(self.home)


class Cluster:
    """What there is of it; `shell` types on the gateway's machine."""

    def __init__(self, nats: NatsServer, shell: Shell, workers: Mapping[str, Worker]) -> None:
        self.nats = nats
        self.shell = shell
        self.workers = workers

    def seen(self, host: str) -> dict[str, Any]:
        """Return a worker as the gateway sees it."""
        listed = self.shell.json("workers")["workers"]
        return next((each for each in listed if each["host"] == host), {"status": "unknown"})

    def await_status(self, host: str, status: str) -> None:
        """Return when the gateway sees a worker like that."""
        until_now(lambda: self.seen(host)["status"] == status, f"{host} to be {status}")


@contextmanager
def running_cluster(directory: Path, workers: Mapping[str, str]) -> Iterator[Cluster]:
    """Run one whose workers, by host name, have these labels."""
    with ExitStack() as stack:
        nats = stack.enter_context(running_nats_server(directory / "nats"))

        def configured_home() -> Path:
            home = stack.enter_context(new_home())
            configure(home, **settings_of(nats, **KNOBS))
            return home

        started = {}
        for host, labels in workers.items():
            worker = started[host] = Worker(configured_home(), host, labels)
            stack.callback(worker.close)
            worker.start()
        home = configured_home()
        stack.callback(end_everything, home)
        cluster = Cluster(nats, Shell(home, directory), started)
        cluster.shell.job("daemon", "start")
        ask(home, {"ask": "status"})
        for host in workers:
            cluster.await_status(host, "live")
        yield cluster


def settings_of(nats: NatsServer, **more: Any) -> dict[str, Any]:
    """Return the settings of every machine of a cluster."""
    return {"nats_url": nats.url, "cluster_key": KEY, **more}


def as_worker(host: str, **more: Any) -> dict[str, Any]:
    """Return the settings of a machine that is a worker of that name, and nothing else."""
    return {"cluster_worker": True, "cluster_gateway": False, "worker_host": host, **more}
