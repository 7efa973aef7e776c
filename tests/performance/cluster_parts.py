"""Gateways and workers as the benchmarks of the cluster see them: daemons, on one NATS server."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

import nats
import psutil

from tests.integration.nats_server import NatsServer
from tests.performance.harness import TRUE, Row, ms
from tests.performance.product import Client, Daemon, cpu_seconds, running

KEY = "a key that only benchmarks have"
_PATIENCE = 60.0
_JOB = {"command": TRUE, "args": []}


class Front:
    """A gateway and a client of it."""

    def __init__(self, daemon: Daemon, client: Client) -> None:
        self.daemon = daemon
        self.client = client

    @property
    def pid(self) -> int:
        return self.daemon.process.pid

    def await_workers(self, count: int) -> None:
        """Return once it knows so many that are alive."""
        limit = time.monotonic() + _PATIENCE
        while True:
            listed = self.client.call("console_list_workers")["workers"]
            if sum(each["status"] == "live" for each in listed) >= count:
                return
            if time.monotonic() > limit:
                raise RuntimeError(f"not {count} workers: {listed}")
            time.sleep(0.05)

    def cordon(self, host: str) -> None:
        """Have a worker take no more jobs."""
        self.client.call("console_drain_worker", host=host, action="cordon")

    def uncordon(self, host: str) -> None:
        """Have it take them again."""
        self.client.call("console_drain_worker", host=host, action="uncordon")

    def jobs_known(self) -> int:
        """Return how many jobs of the cluster it has heard of, when it has heard of all."""
        options = {"cluster": "jobs", "limit": 1}
        return int(self.client.call("console_list_jobs", options=options)["total"])

    def submit(self, target: str | None) -> str:
        """Take a job in and return its id."""
        started = self.client.call("console_execute_async", **request(target))
        return str(started["jobId"])

    def run(self, target: str | None, count: int, at_once: int) -> None:
        """Have so many run, so many at once, each waited for and its output read."""
        self.client.call_together(
            "console_execute_async", request(target, waitMs=45_000), count, at_once
        )


class Meter:
    """What a gateway, a worker and a NATS server use from now on."""

    def __init__(self, front: int, worker: int, server: NatsServer) -> None:
        self._pids = front, worker, server.pid
        self._server = server
        self._before = self._now()

    def rows(self, count: int, what: str) -> list[Row]:
        """Say what each of so many jobs has cost."""
        each = [
            (now - before) / count for now, before in zip(self._now(), self._before, strict=True)
        ]
        return [
            Row(
                budget="B13",
                what=f"{what}: processor time of gateway + worker + NATS server",
                figure=" + ".join(map(ms, each[:3])),
            ),
            Row(
                budget="B13",
                what=f"{what}: messages to the NATS server; what that writes to its disk",
                figure=f"{each[3]:.1f}; {each[4] / 1000:.0f} kB",
            ),
        ]

    def _now(self) -> list[float]:
        with urlopen(f"{self._server.monitor_url}/varz") as answer:
            messages = float(json.load(answer)["in_msgs"])
        written = psutil.Process(self._server.pid).io_counters().write_bytes
        return [*(cpu_seconds([pid]) for pid in self._pids), messages, written]


async def bytes_stored(server: NatsServer, *streams: str) -> list[float]:
    """Return the bytes per message in each stream."""
    async with await nats.connect(server.url) as client:
        states = [(await client.jetstream().stream_info(each)).state for each in streams]
    return [each.bytes / each.messages for each in states]


def request(target: str | None, **options: Any) -> dict[str, Any]:
    """Return what a client asks for: `true`, on that target or here."""
    return {**_JOB, "options": options | ({} if target is None else {"target": target})}


@contextmanager
def gateway(server: NatsServer, name: str, slots: int) -> Iterator[Front]:
    """Run the gateway of a cluster of that name, which can run jobs without a target, too."""
    settings = _settings(server, name) | {"max_concurrent_jobs": slots, "toolsets": "jobs cluster"}
    with running(**settings) as daemon, Client(daemon.home) as client:
        yield Front(daemon, client)


@contextmanager
def worker(server: NatsServer, name: str, host: str, slots: int) -> Iterator[Daemon]:
    """Run a worker of that cluster that is no gateway."""
    part = {"cluster_worker": "true", "cluster_gateway": "false", "worker_host": host}
    settings = _settings(server, name) | part | {"max_concurrent_jobs": slots}
    with running(**settings) as daemon:
        yield daemon


def _settings(server: NatsServer, name: str) -> dict[str, Any]:
    return {"nats_url": server.url, "cluster_key": KEY, "cluster_name": name}
