"""What a cluster costs that has much and does little: 10,000 queued jobs, 200 workers' signs of life."""

import asyncio
import time
from collections.abc import Sequence

from tests.integration.nats_server import NatsServer
from tests.performance.cluster_parts import Front, Meter, bytes_stored, gateway, request, worker
from tests.performance.harness import Row, ms, p50, per_second, seconds, times
from tests.performance.product import cpu_seconds, memory_of
from tests.performance.simulated import Crowd

_QUEUED = 10_000
_DRAINED = 500
_SUBMISSIONS = 100
_LISTS = 20
_SLOTS = 32
_WATCHED_SECONDS = 10.0
_WORKERS = 200
_LISTENERS = 20


def long_queue(server: NatsServer) -> list[Row]:
    """Two clusters of one server, asked in turns: one with a long queue, one without.

    The jobs are for a worker that is cordoned, until it is to be seen how fast it gets through them.
    """
    with (
        gateway(server, "long", _SLOTS) as long,
        gateway(server, "short", _SLOTS) as short,
        worker(server, "long", "w1", _SLOTS) as busy,
        worker(server, "short", "w1", _SLOTS),
    ):
        for front in (long, short):
            front.await_workers(1)
            front.run("w1", _SLOTS, _SLOTS)
            front.cordon("w1")
        rows, first = _fill(long, server)
        rows += _submissions(long, short)
        rows.append(_lists(long, short))
        rows += _at_rest(long, short, server)
        rows.append(_start(server))
        rows += _drained(long, first, short, busy.process.pid, server)
    return rows


def _fill(long: Front, server: NatsServer) -> tuple[list[Row], str]:
    """Queue the jobs; return what that took, and the last of those that are to run."""
    memory = memory_of(long.pid, "VmRSS")
    first = [long.submit("w1") for _ in range(_DRAINED)]
    left = _QUEUED - _DRAINED
    arguments = request("w1")
    rate = left / seconds(
        lambda: long.client.call_together("console_execute_async", arguments, left, _SLOTS)
    )
    grown = memory_of(long.pid, "VmRSS") - memory
    records, hints = asyncio.run(bytes_stored(server, "KV_long-jobs", "long-hints"))
    return [
        Row(budget="B13", what=f"taking jobs in, {_SLOTS} in flight", figure=per_second(rate)),
        Row(
            budget="B13",
            what="a queued job: in the bucket + its hint + in a gateway's memory",
            figure=f"{records:,.0f} + {hints:,.0f} + {grown / _QUEUED:,.0f} bytes",
        ),
    ], first[-1]


def _submissions(long: Front, short: Front) -> list[Row]:
    taken: list[list[float]] = [[], []]
    for _ in range(_SUBMISSIONS):
        for front, samples in zip((long, short), taken, strict=True):
            samples.append(seconds(lambda front=front: front.submit("w1")))
    with_long, with_short = map(p50, taken)
    return [
        Row(
            budget="B13",
            what=f"submission with {_QUEUED:,} queued, p50",
            figure=ms(with_long),
            floor=f"{ms(with_short)} with at most {_SUBMISSIONS}",
            ratio=times(with_long / with_short),
        )
    ]


def _lists(long: Front, short: Front) -> Row:
    taken = [(seconds(long.jobs_known), seconds(short.jobs_known)) for _ in range(_LISTS)]
    with_long, with_short = (p50(each) for each in zip(*taken, strict=True))
    return Row(
        budget="B13",
        what=f"a list of one of {_QUEUED:,} jobs, p50",
        figure=ms(with_long),
        floor=f"{ms(with_short)} of at most {_SUBMISSIONS + _SLOTS}",
        ratio=times(with_long / with_short),
    )


def _at_rest(long: Front, short: Front, server: NatsServer) -> list[Row]:
    with_long, with_short, its_nats = _shares([long.pid, short.pid, server.pid])
    return [
        Row(
            budget="B13",
            what=f"processor time of a gateway that looks after {_QUEUED:,} queued jobs",
            figure=f"{with_long:.1%}",
            floor=f"{with_short:.1%} with at most {_SUBMISSIONS}; the NATS server of both {its_nats:.1%}",
        )
    ]


def _start(server: NatsServer) -> Row:
    """From nothing to a list of the jobs, which a gateway gives when it has heard of all."""

    def listed(name: str) -> float:
        began = time.perf_counter()
        with gateway(server, name, _SLOTS) as front:
            front.jobs_known()
            return time.perf_counter() - began

    with_short, with_long = listed("short"), listed("long")
    return Row(
        budget="B13",
        what=f"start of another gateway with {_QUEUED:,} queued, to its first list of jobs",
        figure=ms(with_long),
        floor=f"{ms(with_short)} with at most {_SUBMISSIONS}",
        ratio=times(with_long / with_short),
    )


def _drained(long: Front, first: str, short: Front, worker: int, server: NatsServer) -> list[Row]:
    def rate(front: Front, last: str) -> float:
        began = time.perf_counter()
        front.uncordon("w1")
        front.client.end_of(last)
        return _DRAINED / (time.perf_counter() - began)

    last = [short.submit("w1") for _ in range(_DRAINED - _SUBMISSIONS)][-1]
    with_short = rate(short, last)
    meter = Meter(long.pid, worker, server)
    with_long = rate(long, first)
    cost = meter.rows(_DRAINED, "a job that is taken from the queue and run")
    long.cordon("w1")
    return [
        Row(
            budget="B13",
            what=f"a worker of {_SLOTS} slots gets through a queue, the first {_DRAINED} of {_QUEUED:,}",
            figure=per_second(with_long),
            floor=f"{per_second(with_short)} where there are no more",
            ratio=times(with_short / with_long),
        ),
        *cost,
    ]


def beats(server: NatsServer) -> list[Row]:
    """What signs of life cost a gateway and the NATS server, and what each further listener adds."""
    with gateway(server, "beats", _SLOTS) as front:
        pids = [front.pid, server.pid]
        calm = _shares(pids)
        with Crowd(server, "beats", workers=_WORKERS) as crowd:
            front.await_workers(_WORKERS)
            loud = _shares(pids)
            submitted = p50([seconds(lambda: front.submit("_any")) for _ in range(_SUBMISSIONS)])
            crowd.listen(_LISTENERS)
            heard = _shares(pids)
    rate = Crowd.beats_per_second(_WORKERS)
    each = (heard[1] - loud[1]) / _LISTENERS / rate
    gateway_share = loud[0] - calm[0]
    return [
        Row(
            budget="B13",
            what=f"{_WORKERS} workers' signs of life ({rate:.0f} per second), processor time of a gateway",
            figure=f"{gateway_share:.2%}",
            floor=f"{loud[1]:.2%} the NATS server, with all else that it does",
        ),
        Row(
            budget="B13",
            what=f"submission to `_any` with {_WORKERS} workers, p50",
            figure=ms(submitted),
        ),
        Row(
            budget="B13",
            what="each of them to each further listener, processor time of the NATS server",
            figure=f"{each * 1e6:.0f} µs",
        ),
    ]


def _shares(pids: Sequence[int]) -> list[float]:
    """Return which share of a processor each of the processes uses for a while."""
    before = [cpu_seconds([pid]) for pid in pids]
    began = time.perf_counter()
    time.sleep(_WATCHED_SECONDS)
    passed = time.perf_counter() - began
    return [(cpu_seconds([pid]) - start) / passed for pid, start in zip(pids, before, strict=True)]
