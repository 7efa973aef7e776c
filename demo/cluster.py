"""A tour of the cluster, on one machine: a NATS server, a gateway and three workers, each with a state
directory of its own. `make cluster-demo` runs it.

The same rules as in demo.py: what is said to be true has been checked, and nothing is left behind. Every
job appends a line to a ledger when it runs, so that what ran twice, or not at all, would be seen there.
"""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo import PATIENCE, PROGRAM, RED, SETTINGS, Tour, check, eventually, main, paint, say, show

NATS = Path(sysconfig.get_path("scripts")) / "nats-server"
LABELS = {"web-1": "group=web.dev.us", "web-2": "group=web.dev.eu", "db-1": "group=db"}
SLOTS = 2
GO, END = "go", "end"  #: what jobs wait for


class Machines:
    """The processes that are killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ledger = home / "ledger"
        self.ledger.touch()
        self.codes: dict[str, int] = {}  #: of every job: what it is to end with, by what it writes
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        store = {"store_dir": str(home / "nats"), "sync_interval": "always"}
        content = {"host": "127.0.0.1", "port": self.port, "jetstream": store}
        (home / "nats.conf").write_text(json.dumps(content))
        for host in LABELS:
            (home / host).mkdir(mode=0o700)
        for place in (home, *(home / host for host in LABELS)):
            (place / "config.toml").write_text(
                f'nats_url = "nats://127.0.0.1:{self.port}"\n'
                'cluster_key = "known to everybody who reads this"\n'
                'toolsets = "jobs cluster"\n'
                "cluster_lease_ms = 3000\n"
                "cluster_lost_ms = 30000\n"
            )

    def start(self, name: str) -> None:
        """Start the NATS server, or a worker."""
        if name == "nats":
            words = [str(NATS), "-c", str(self.home / "nats.conf")]
        else:
            words = [str(PROGRAM), "worker", "--host", name, "--label", LABELS[name]]
            words += ["--slots", str(SLOTS)]
        self._running[name] = subprocess.Popen(
            words,
            env={**os.environ, **SETTINGS, "CONSOLE_AUTOMATION_HOME": str(self.home / name)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def kill(self, name: str) -> None:
        """Kill it as a crash would."""
        process = self._running.pop(name)
        process.kill()
        process.wait(PATIENCE)
        say("     " + paint(f"kill -9 {process.pid} ({name})", RED))

    def stop(self) -> None:
        """End them all; the server last, so that the workers can say good-bye."""
        server = self._running.pop("nats", None)
        for processes in ([*self._running.values()], [server] if server else []):
            for process in processes:
                process.terminate()
            for process in processes:
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._running.clear()

    def line(self, word: str, code: int, *, meanwhile: str = ":") -> str:
        """Return a shell line that writes its word, does something, and ends with a code."""
        self.codes[word] = code
        return f"echo {word} >> {self.ledger}; {meanwhile}; exit {code}"

    def until(self, word: str) -> str:
        """Return what waits for `say`."""
        return f"until [ -e {self.home / word} ]; do sleep 0.05; done"

    def say(self, word: str) -> None:
        """Let go whatever waits for a word."""
        (self.home / word).touch()

    def written(self) -> Counter[str]:
        """Return how often each word is in the ledger."""
        return Counter(self.ledger.read_text().split())


machines: Machines


@contextmanager
def around(home: Path) -> Iterator[None]:
    """Start the NATS server and the workers; whatever becomes of the tour, end them."""
    global machines  # the steps are functions of the tour alone
    machines = Machines(home)
    try:
        for name in ("nats", *LABELS):
            machines.start(name)
        yield
    finally:
        for word in (GO, END):
            machines.say(word)  # a job whose worker is dead would wait for ever
        machines.stop()


async def submitted(tour: Tour, target: str, word: str, code: int = 0, **more: Any) -> str:
    """Submit a job that writes a word and ends with a code."""
    line = machines.line(word, code, **more)
    started = await tour.ask(
        "console_execute_async", command=line, options={"target": target, "timeout": 60_000}
    )
    return str(started["jobId"])


async def standing(tour: Tour, host: str, status: str) -> bool:
    """Whether a worker comes to have a status."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        listed = (await tour.ask("console_list_workers"))["workers"]
        if any(each["host"] == host and each["status"] == status for each in listed):
            return True
    return False


async def is_written(*words: str) -> bool:
    return await eventually(lambda: set(words) <= set(machines.written()))


def told(job: dict[str, Any]) -> None:
    """Show how a job has ended, and where."""
    code = "" if job["exitCode"] is None else f", exit code {job['exitCode']}"
    show(f"{job['target']:<14} {job.get('worker', ''):<6} {job['status']}{code}")
    for child in job.get("children", []):
        show(f"{'':<14} {child['host']:<6} {child['status']}, exit code {child['exitCode']}")


# -- the steps -------------------------------------------------------------------------------------


async def gathers(tour: Tour) -> None:
    """A gateway and three workers find each other over NATS"""
    for host in LABELS:
        check(f"{host} is live", await standing(tour, host, "live"))
    for each in (await tour.ask("console_list_workers"))["workers"]:
        show(f"{each['host']:<6} {each['labels']['group']:<11} {each['slots']} slots")


async def aims(tour: Tour) -> None:
    """Four kinds of target: any worker, all, a host, a label"""
    several = [await submitted(tour, "_any", f"any-{code}", code) for code in range(1, 5)]
    everywhere = await submitted(tour, "_all", "all")
    there = await submitted(tour, "db-1", "host", 7)
    label = await submitted(tour, "group:web.dev", "label", 9)
    jobs = await tour.end_of(*several, everywhere, there, label)
    for job in jobs:
        told(job)
    *anywhere, on_all, on_host, on_label = jobs
    check("_any: each ran on one worker", all(job.get("worker") for job in anywhere))
    check("and ended with its own code", [job["exitCode"] for job in anywhere] == [1, 2, 3, 4])
    hosts = [child["host"] for child in on_all["children"]]
    check("_all: it ran on all three", hosts == sorted(LABELS))
    check("db-1: it ran there", on_host["worker"] == "db-1" and on_host["exitCode"] == 7)
    children = {child["host"]: child["exitCode"] for child in on_label["children"]}
    check("group:web.dev: on web.dev.us and web.dev.eu", children == {"web-1": 9, "web-2": 9})


async def survives_a_worker(tour: Tour) -> None:
    """kill -9 of a worker that runs a job"""
    job = await submitted(tour, "web-1", "orphan", 42, meanwhile=machines.until(GO))
    check("the job runs on web-1", await is_written("orphan"))
    machines.kill("web-1")
    check("the others do not hear of it any more", await standing(tour, "web-1", "unreachable"))
    seen = (await tour.ask("console_get_job_status", jobId=job))["job"]
    show(f"{seen['status']}: {seen['waitingFor']}")
    machines.say(GO)  # the job ends while nobody is there to tell
    machines.start("web-1")
    [over] = await tour.end_of(job)
    told(over)
    check("the next worker there tells its end: exit code 42", over["exitCode"] == 42)


async def survives_nats(tour: Tour) -> None:
    """kill -9 of the NATS server while jobs run and others wait"""
    words = {f"nats-{code}": code for code in range(10, 18)}
    until_end = machines.until(END)
    jobs = [
        await submitted(
            tour, "_any", word, code, meanwhile=f"{until_end}; touch {tour.home}/ended-{word}"
        )
        for word, code in words.items()
    ]
    slots = SLOTS * len(LABELS)

    def running() -> int:
        return sum(word in machines.written() for word in words)

    check(f"{slots} of {len(jobs)} run", await eventually(lambda: running() == slots))
    machines.kill("nats")
    machines.say(END)
    ended = "all that ran have come to their end, which nobody can tell now"
    check(ended, await eventually(lambda: len(list(tour.home.glob("ended-*"))) == slots))
    machines.start("nats")
    over = await tour.end_of(*jobs)
    for job in over:
        told(job)
    check(
        "every end was told, with its code", [job["exitCode"] for job in over] == [*words.values()]
    )


async def loses_nothing(tour: Tour) -> None:
    """The ledger: what ran how often"""
    written = machines.written()
    show("  ".join(f"{word} {count}" for word, count in written.items()))
    expected = {word: 1 for word in machines.codes} | {"all": 3, "label": 2}
    check(
        f"each of {len(expected)} jobs ran exactly once for each of its workers",
        written == expected,
    )
    left = await tour.ask("console_list_jobs", options={"cluster": "dead_letters"})
    check("nothing was given up", left["total"] == 0)
    machines.stop()


if __name__ == "__main__":
    code = main(
        "the cluster: one queue, three workers, and nothing is lost",
        (gathers, aims, survives_a_worker, survives_nats, loses_nothing),
        around,
    )
    if code == 0:
        say("Shown: four kinds of target; a worker and the NATS server killed and started again;")
        say("no job was lost, none ran twice, every exit code is as it was.")
    sys.exit(code)
