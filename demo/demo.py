"""A tour of the product through a real MCP client. Every sentence it prints as true has been checked.

`make demo` runs it: the MCP SDK's own client starts `console-automation mcp` over stdio, on a state
directory of its own that is removed at the end. Exit code 1 and a plain sentence when something that
the tour says is not so.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import psutil
from mcp import Client
from mcp.client.stdio import StdioServerParameters

PROGRAM = Path(sys.executable).with_name("console-automation")
PATIENCE = 30.0
#: Two slots, so that there is a queue to look at; no heed of how busy this machine is; and a tour
#: that breaks off shall leave no job behind, though jobs are otherwise left running.
SETTINGS = {
    "MAX_CONCURRENT_JOBS": "2",
    "CONSOLE_AUTOMATION_MAX_LOAD_PER_CPU": "0",
    "CONSOLE_AUTOMATION_ON_SHUTDOWN": "stop",
}

BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "36"


class Untrue(Exception):
    """Something the tour was about to say is not so."""


def paint(text: str, color: str) -> str:
    """Return the text in a color, if a person is looking who wants colors."""
    wanted = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return f"\x1b[{color}m{text}\x1b[0m" if wanted else text


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def show(text: str) -> None:
    """Show what the product answered."""
    say("     " + paint(text, DIM))


def check(claim: str, is_so: object) -> None:
    """Say that something is so, or stop the tour."""
    if not is_so:
        raise Untrue(claim)
    say(f"  {paint('ok', GREEN)} {claim}")


async def eventually(condition: Callable[[], object]) -> bool:
    """Whether the condition comes true in bounded time."""
    limit = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > limit:
            return False
        await asyncio.sleep(0.02)
    return True


class Tour:
    """One client on one state directory."""

    def __init__(self, client: Client, home: Path) -> None:
        self.client = client
        self.home = home

    async def ask(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured result."""
        answer = await self.client.call_tool(tool, arguments)
        result = answer.structured_content
        if answer.is_error and result and result.get("code") == "UNAVAILABLE":
            # The daemon ended under the call; the tool says itself that it can be repeated.
            return await self.ask(tool, **arguments)
        if answer.is_error or not isinstance(result, dict):
            raise Untrue(f"{tool} answers: {answer.content}")
        return result

    async def start(self, name: str, command: str, **options: Any) -> str:
        started = await self.ask(
            "console_execute_async", command=command, options={"name": name, **options}
        )
        return str(started["jobId"])

    async def end_of(self, *jobs: str) -> list[dict[str, Any]]:
        """Return the jobs when they are over."""
        waited = await self.ask("console_wait_for_jobs", jobIds=list(jobs), timeout=PATIENCE * 1000)
        if waited["unfinished"]:
            raise Untrue(f"the jobs end: {waited['unfinished']} do not")
        by_id = {job["id"]: job for job in waited["jobs"]}
        return [by_id[job] for job in jobs]

    async def follow(self, job: str, *, until: str = "") -> str:
        """Show a job's output while it is printed; return it when the job ends, or prints `until`."""
        since, text = 0, ""
        while True:
            page = await self.ask(
                "console_get_job_output", jobId=job, options={"since": since, "waitMs": 10_000}
            )
            for chunk in page["output"]:
                lines = chunk["content"].rstrip("\n").replace("\n", " | ")
                show(f"since={since:<2} #{chunk['sequenceNumber']:<2} {lines}")
                text += chunk["content"]
            since = page["nextSince"]
            if (until and until in text) or (page["status"] != "running" and not page["hasMore"]):
                return text

    def daemon(self) -> dict[str, Any]:
        """Return what `console-automation daemon status --json` says of one that is running."""
        said: dict[str, Any] = json.loads(run("daemon", "status", "--json", home=self.home))
        return said if said.get("running") else {}


def run(*words: str, home: Path) -> str:
    """Run the command line and return what it printed."""
    environment = {**os.environ, "CONSOLE_AUTOMATION_HOME": str(home)}
    done = subprocess.run(
        [PROGRAM, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def alive(mark: str) -> list[psutil.Process]:
    """Return the processes of this user that have `mark` in their command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
            if process.pid != os.getpid() and any(mark in word for word in words):
                found.append(process)
        except psutil.Error:
            continue
    return found


# -- the steps -------------------------------------------------------------------------------------


async def connects(tour: Tour) -> None:
    """An MCP client connects; the daemon starts by itself"""
    tools = (await tour.client.list_tools()).tools
    show(f"MCP {tour.client.protocol_version}, {len(tools)} tools, state in {tour.home}")
    check("the client sees the tools", len(tools) > 0)
    pid = tour.daemon().get("pid")
    check(f"a daemon is there, pid {pid}", pid)


async def keeps_priorities(tour: Tour) -> None:
    """Five jobs for two slots: the queue goes by priority"""
    gates = [tour.home / "gate 1", tour.home / "gate 2"]
    busy = [
        await tour.start(gate.name, f"until [ -e '{gate}' ]; do sleep 0.02; done") for gate in gates
    ]
    low = await tour.start("low", "echo low", priority=1)
    usual = await tour.start("usual", "echo usual")
    urgent = await tour.start("urgent", "echo urgent", priority=10)
    for job in (urgent, usual, low):
        seen = (await tour.ask("console_get_job_status", jobId=job))["job"]
        place, why = seen.get("queuePosition", "-"), seen.get("waitingFor", "it runs")
        show(f"{seen['name']:<7} priority {seen['priority']:<3} place {place} in the queue: {why}")
    gates[0].touch()
    show("one of the two slots becomes free")
    ended = await tour.end_of(urgent, usual, low)
    moments = [job[moment] for job in ended for moment in ("startedAt", "completedAt")]
    check("urgent ran before usual, usual before low", moments == sorted(moments))
    gates[1].touch()
    ended += await tour.end_of(*busy)
    check("all five completed", all(job["status"] == "completed" for job in ended))


async def streams_output(tour: Tour) -> None:
    """Live output, followed by cursor while the job runs"""
    job = await tour.start("counter", "for n in 1 2 3 4 5; do echo line $n; sleep 0.15; done")
    text = await tour.follow(job)
    wanted = "".join(f"line {n}\n" for n in range(1, 6))
    check("nothing was missed and nothing came twice", text == wanted)


async def cancels_whole_trees(tour: Tour) -> None:
    """A cancel ends everything the job started, whatever it does to escape"""
    mark = f"600.{time.time_ns() % 10**9}"  # seconds to sleep, and what to look for
    escape = (
        f"trap '' TERM; sleep {mark} & (setsid sleep {mark} &) ; "
        f"setsid sh -c 'trap \"\" TERM; while :; do sleep {mark}; done' & echo ready; wait"
    )
    job = await tour.start("hydra", escape)
    await tour.follow(job, until="ready")
    settled = await eventually(lambda: len(alive(mark)) >= 5)
    check(f"{len(alive(mark))} processes run, some in sessions of their own, deaf to TERM", settled)
    answer = await tour.ask("console_cancel_job", jobId=job, graceMs=300)
    show(answer["message"])
    check("the job is cancelled", answer["status"] == "cancelled")
    check("none of its processes is alive", not alive(mark))


async def tells_of_leftovers(tour: Tour) -> None:
    """A command that puts something into the background and leaves"""
    mark = f"700.{time.time_ns() % 10**9}"
    [job] = await tour.end_of(await tour.start("runaway", f"sleep {mark} & echo started; exit 3"))
    left = job.get("leftovers", [])
    show(f"exit code {job['exitCode']}")
    for process in left:
        fate = "ended with it" if process["ended"] else "left alone"
        show(f"left behind: pid {process['pid']}, {process['command']}: {fate}")
    check("the job ended with its own exit code, 3", job["exitCode"] == 3)
    check("what it left is told, and was ended", left and left[0]["ended"] and not alive(mark))


async def survives_its_daemon(tour: Tour) -> None:
    """kill -9 of the daemon in the middle of a job"""
    script = "for n in 1 2 3 4 5 6; do echo tick $n; sleep 0.3; done; exit 42"
    job = await tour.start("survivor", script)
    await tour.follow(job, until="tick 2")
    victim = tour.daemon()["pid"]
    os.kill(victim, signal.SIGKILL)
    say("     " + paint(f"kill -9 {victim}", RED))
    check("that daemon is gone", await eventually(lambda: not is_alive(victim)))
    [end] = await tour.end_of(job)
    show(f"the same client asks the next daemon, pid {tour.daemon()['pid']}: {end['status']}")
    check("the job's exit code is the true one, 42", end["exitCode"] == 42)
    text = await tour.follow(job)
    wanted = "".join(f"tick {n}\n" for n in range(1, 7))
    check("its output is whole, ticks 1 to 6", text == wanted)


async def keeps_count(tour: Tour) -> None:
    """What the product says about itself"""
    figures = (await tour.ask("console_get_job_metrics"))["metrics"]
    states = ("pending", "running", "completed", "failed", "cancelled", "interrupted")
    show(", ".join(f"{figures[f'{state}Jobs']} {state}" for state in states))
    wait, run_time = figures["queueWaitMs"], figures["runTimeMs"]
    show(f"queue wait p50 {wait['p50']:.0f} ms, run time p50 {run_time['p50']:.0f} ms")
    total = sum(figures[f"{state}Jobs"] for state in states)
    check("the states add up to all jobs, none is lost", total == figures["totalJobs"] == 9)


Steps = tuple[Callable[[Tour], Awaitable[None]], ...]
STEPS: Steps = (
    connects,
    keeps_priorities,
    streams_output,
    cancels_whole_trees,
    tells_of_leftovers,
    survives_its_daemon,
    keeps_count,
)


async def tour(home: Path, steps: Steps) -> None:
    """Go through the steps, then stop the daemon and see that nothing is left."""
    server = StdioServerParameters(
        command=str(PROGRAM),
        args=["mcp"],
        env={**SETTINGS, "CONSOLE_AUTOMATION_HOME": str(home)},
        cwd=home,
    )
    async with Client(server) as client:
        await walk(steps, Tour(client, home))
    say()
    say(paint(f"{len(steps) + 1}. The client leaves, the daemon is stopped", BOLD))
    run("daemon", "stop", home=home)
    gone = await eventually(lambda: not alive(str(home)))
    check("no process is left: no daemon, launcher, shim or job", gone)


async def walk(steps: Steps, guide: Tour) -> None:
    for number, step in enumerate(steps, 1):
        say()
        say(paint(f"{number}. {step.__doc__}", BOLD))
        await step(guide)


Around = Callable[[Path], AbstractContextManager[object]]


def reason_for(error: BaseException) -> BaseException:
    """Return what went wrong inside the client's task groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def main(title: str, steps: Steps, around: Around = nullcontext) -> int:
    """Run a tour, with whatever it needs around it; returns the exit code."""
    began = time.monotonic()
    home = Path(tempfile.mkdtemp(prefix="console-automation-demo-", dir="/tmp"))
    say(paint(title, CYAN))
    try:
        with around(home):
            asyncio.run(tour(home, steps))
    except Exception as error:
        cause = reason_for(error)
        what = str(cause) if isinstance(cause, Untrue) else f"{type(cause).__name__}: {cause}"
        say(f"\n{paint('NOT TRUE', RED)} {what}")
        return 1
    finally:
        run("daemon", "stop", home=home)
        asyncio.run(eventually(lambda: not alive(str(home))))
        shutil.rmtree(home, ignore_errors=True)
    say(f"\n{paint('All of it is true.', GREEN)} {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main("console-automation: background jobs that survive anything", STEPS))
