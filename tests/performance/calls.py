"""B1 and B2: `true` over MCP stdio, one at a time and ten at a time.

The client is a lean one that writes and reads lines, so that it is the product that is measured; what
the SDK's own client makes of it stands beside it. The no-op tool call of the floor is
`console_get_job_status` of a finished job: of all tools it does the least.
"""

import asyncio
import time
from collections.abc import Callable

from mcp import Client as SdkClient
from mcp.client.stdio import StdioServerParameters

from tests.performance.harness import (
    Row,
    alternate,
    ms,
    p50,
    p95,
    per_second,
    seconds,
    spawn_and_wait,
    times,
)
from tests.performance.product import PROGRAM, Client, Daemon, running

_SAMPLES = 400
_WARM_UP = 50
_BATCH = 200
_IN_FLIGHT = 10
_ROUNDS = 9


def one_at_a_time() -> list[Row]:
    """B1: from the call to the finished result."""
    with running() as daemon, Client(daemon.home) as client:
        finished = str(client.call("console_execute_command", command="true")["jobId"])
        before = _commits(daemon)
        spawned, idle, called, pinged = _in_turns(
            spawn_and_wait,
            lambda: client.call("console_get_job_status", jobId=finished),
            lambda: client.call("console_execute_command", command="true"),
            lambda: client.request("ping", {}),
        )
        count, taken = (late - early for early, late in zip(before, _commits(daemon), strict=True))
        floor = p50(spawned) + p50(idle)
        ratio = p50(called) / floor
        by_sdk = asyncio.run(_sdk_call(daemon))
    return [
        Row(
            budget="B1",
            what="`true` through `console_execute_command`, p50",
            figure=ms(p50(called)),
            floor=f"{ms(p50(spawned))} spawn + {ms(p50(idle))} no-op call",
            ratio=times(ratio),
            limit="≤ 2 x",
            met=ratio <= 2,
        ),
        Row(
            budget="B1",
            what=f"the same, p95; a `ping` takes {ms(p50(pinged))}",
            figure=ms(p95(called)),
        ),
        Row(
            budget="B1",
            what=f"commits in that, of which a run has {count / (_WARM_UP + _SAMPLES):.0f}, mean of one",
            figure=ms(taken / count),
        ),
        Row(budget="B1", what="the same with the SDK's client, p50", figure=ms(by_sdk)),
    ]


def _commits(daemon: Daemon) -> tuple[float, float]:
    """Return how many commits there have been and how many seconds they took."""
    name = "console_automation_store_commit_seconds"
    return daemon.gauge(f"{name}_count"), daemon.gauge(f"{name}_sum")


def _in_turns(*works: Callable[[], object]) -> list[list[float]]:
    """Time each work in turn, over and over."""
    samples: list[list[float]] = [[] for _ in works]
    for number in range(_WARM_UP + _SAMPLES):
        for work, times_taken in zip(works, samples, strict=True):
            taken = seconds(work)
            if number >= _WARM_UP:
                times_taken.append(taken)
    return samples


def ten_at_a_time() -> list[Row]:
    """B2: 200 runs of `true`, 10 in flight."""
    with running() as daemon, Client(daemon.home) as client:

        def spawned() -> float:
            return _BATCH / seconds(lambda: [spawn_and_wait() for _ in range(_BATCH)])

        def called() -> float:
            command = {"command": "true"}
            return _BATCH / seconds(
                lambda: client.call_together("console_execute_command", command, _BATCH, _IN_FLIGHT)
            )

        called()
        pair = alternate(_ROUNDS, spawned, called)
        by_sdk = asyncio.run(_sdk_rate(daemon))
    return [
        Row(
            budget="B2",
            what="200 x `true`, 10 in flight",
            figure=per_second(pair.figure),
            floor=f"{per_second(pair.floor)} spawn and wait, one after the other",
            ratio=times(pair.ratio),
            limit="≥ 0.5 x",
            met=pair.ratio >= 0.5,
        ),
        Row(
            budget="B2",
            what="the same, in any case",
            figure=per_second(pair.figure),
            limit="≥ 470/s",
            met=pair.figure >= 470,
        ),
        Row(budget="B2", what="the same with the SDK's client", figure=per_second(by_sdk)),
    ]


def _sdk(daemon: Daemon) -> SdkClient:
    environment = {"CONSOLE_AUTOMATION_HOME": str(daemon.home)}
    return SdkClient(
        StdioServerParameters(
            command=str(PROGRAM), args=["mcp"], env=environment, cwd=str(daemon.home)
        )
    )


async def _sdk_call(daemon: Daemon) -> float:
    async with _sdk(daemon) as client:
        taken = []
        for _ in range(_BATCH):
            began = time.perf_counter()
            await client.call_tool("console_execute_command", {"command": "true"})
            taken.append(time.perf_counter() - began)
    return p50(taken)


async def _sdk_rate(daemon: Daemon) -> float:
    async with _sdk(daemon) as client:
        todo = iter(range(_BATCH))

        async def caller() -> None:
            for _ in todo:
                await client.call_tool("console_execute_command", {"command": "true"})

        rates = []
        for _ in range(3):
            todo = iter(range(_BATCH))
            began = time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(_IN_FLIGHT)))
            rates.append(_BATCH / (time.perf_counter() - began))
    return p50(rates)
