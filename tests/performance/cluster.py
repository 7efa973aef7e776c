"""B13: the cluster, beside the same writes by nats-py alone and the same jobs without a target.

One NATS server that forces every write to the disk, a gateway and workers: daemons, each a process of its
own, all on this machine. So they share its processors, and more workers show what a job costs together,
not what more machines would bring.
"""

import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.integration.nats_server import NatsServer, running_nats_server
from tests.performance import cluster_idle, nats_floor
from tests.performance.cluster_parts import Front, Meter, bytes_stored, gateway, worker
from tests.performance.harness import Row, alternate, ms, p50, per_second, seconds, times
from tests.performance.product import memory_of

_JOBS = 200
_AT_ONCE = 32
_ROUNDS = 3
_LATENCIES = 50
_WORKERS = (1, 2, 4)
#: of a record as it is made; the same job's is about twice that at its end
_RECORD_BYTES = 700


def over_nats() -> list[Row]:
    """B13: throughput and latency, a long queue, many workers that only give signs of life."""
    with (
        tempfile.TemporaryDirectory(prefix="ca-bench-nats-") as directory,
        running_nats_server(Path(directory) / "nats", monitored=True) as server,
    ):
        return [*_busy(server), *cluster_idle.long_queue(server), *cluster_idle.beats(server)]


def _busy(server: NatsServer) -> list[Row]:
    rows = []
    with ExitStack() as stack:
        front = stack.enter_context(gateway(server, "busy", _AT_ONCE))
        workers = []
        while len(workers) < max(_WORKERS):
            host = f"w{len(workers) + 1}"
            workers.append(stack.enter_context(worker(server, "busy", host, _AT_ONCE)))
            front.await_workers(len(workers))
            front.run("_any", _AT_ONCE, _AT_ONCE)  # whatever happens once has happened
            if len(workers) == 1:
                rows += _latency(front)
                rows += _cost(front, workers[0].process.pid, server)
            if len(workers) in _WORKERS:
                rows.append(_throughput(front, server, len(workers)))
        rows.append(_beside_local(front))
    return [*rows, _kept(server)]


def _throughput(front: Front, server: NatsServer, workers: int) -> Row:
    def floor() -> float:
        work = nats_floor.seconds_for(server.url, _JOBS, _AT_ONCE, size=_RECORD_BYTES)
        return asyncio.run(work) / _JOBS

    pair = alternate(_ROUNDS, floor, lambda: _each(front, "_any"))
    return Row(
        budget="B13",
        what=f"`true`, submit to result, {_AT_ONCE} in flight, by 1 gateway and {workers} worker"
        + "s" * (workers > 1),
        figure=per_second(1 / pair.figure),
        floor=f"{per_second(1 / pair.floor)} its writes by nats-py alone",
        ratio=times(1 / pair.ratio),
    )


def _beside_local(front: Front) -> Row:
    pair = alternate(_ROUNDS, lambda: _each(front, None), lambda: _each(front, "_any"))
    return Row(
        budget="B13",
        what="the same beside jobs without a target, which the gateway's daemon runs itself",
        figure=per_second(1 / pair.figure),
        floor=f"{per_second(1 / pair.floor)} without a target",
        ratio=times(1 / pair.ratio),
    )


def _each(front: Front, target: str | None) -> float:
    return seconds(lambda: front.run(target, _JOBS, _AT_ONCE)) / _JOBS


def _latency(front: Front) -> list[Row]:
    """One at a time, in turns with the same job without a target and with a bare submission."""
    taken: dict[str, list[float]] = {"here": [], "there": [], "taken in": []}
    for _ in range(_LATENCIES):
        taken["here"].append(seconds(lambda: front.run(None, 1, 1)))
        taken["there"].append(seconds(lambda: front.run("_any", 1, 1)))
        taken["taken in"].append(seconds(lambda: front.submit("_any")))
    here, there, taken_in = (p50(each) for each in taken.values())
    ratio = p50([b / a for a, b in zip(taken["here"], taken["there"], strict=True)])
    return [
        Row(
            budget="B13",
            what="`true` on a worker, submit to result, one at a time, p50",
            figure=ms(there),
            floor=f"{ms(here)} without a target",
            ratio=times(ratio),
        ),
        Row(budget="B13", what="of that until it is taken in, p50", figure=ms(taken_in)),
    ]


def _cost(front: Front, worker: int, server: NatsServer) -> list[Row]:
    """What a job costs each of the processes, what it runs left out; it needs no quiet machine."""
    meter = Meter(front.pid, worker, server)
    front.run("_any", _JOBS, _AT_ONCE)
    return meter.rows(_JOBS, "such a job")


def _kept(server: NatsServer) -> Row:
    """What finished jobs leave, by a gateway that has just read them and one that has nothing to read."""
    with gateway(server, "busy", 1) as full, gateway(server, "nothing", 1) as empty:
        counts = [front.jobs_known() for front in (full, empty)]
        grown = memory_of(full.pid, "VmRSS") - memory_of(empty.pid, "VmRSS")
    [stored] = asyncio.run(bytes_stored(server, "KV_busy-jobs"))
    return Row(
        budget="B13",
        what="a finished job: in the bucket + in a gateway's memory",
        figure=f"{stored:,.0f} + {grown / (counts[0] - counts[1]):,.0f} bytes",
    )
