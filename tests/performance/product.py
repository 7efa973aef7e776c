"""The product as the benchmarks see it: a daemon with a state directory of its own, and lean clients.

Whatever a benchmark starts is gone when its `with` block is left, and the block says so if not.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import psutil

from console_automation.frontends import launch

PROGRAM = Path(sys.executable).with_name("console-automation")
#: A benchmark loads the machine on purpose: admission by load stays out of it.
CALM = {"max_load_per_cpu": 0, "max_memory_percent": 0}
_PATIENCE = 120.0


@contextmanager
def state_directory() -> Iterator[Path]:
    """A state directory; no process that has to do with it is left afterwards."""
    home = Path(tempfile.mkdtemp(prefix="ca-bench-"))
    try:
        yield home
    finally:
        left = _wait_for_the_last(home)
        for process in left:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)
        if left:
            raise RuntimeError(f"{len(left)} processes were left behind: {left[:3]}")


def processes_of(home: Path) -> list[psutil.Process]:
    """Return what was started for a state directory: daemon, launcher, shims, bridges, jobs."""
    found = []
    for process in psutil.process_iter():
        try:
            ours = any(str(home) in word for word in process.cmdline())
            if process.pid != os.getpid() and (ours or process.cwd() == str(home)):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _wait_for_the_last(home: Path) -> list[psutil.Process]:
    limit = time.monotonic() + _PATIENCE
    while (left := processes_of(home)) and time.monotonic() < limit:
        time.sleep(0.05)
    return left


class Client:
    """An MCP client over the bridge's stdin and stdout that costs next to nothing itself."""

    def __init__(self, home: Path) -> None:
        environment = {**os.environ, "CONSOLE_AUTOMATION_HOME": str(home)}
        self.process = subprocess.Popen(
            [PROGRAM, "mcp"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=home,
        )
        self._number = 0
        self.request("initialize", _HELLO)
        self._write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        self.process.wait(_PATIENCE)

    def line(self, method: str, params: dict[str, Any]) -> bytes:
        """Return a request as it goes over the wire."""
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        return json.dumps(message).encode() + b"\n"

    def request(self, method: str, params: dict[str, Any]) -> Any:
        """Send a request and return its result."""
        self._write(self.line(method, params))
        answer = json.loads(self._read())
        if "result" not in answer:
            raise RuntimeError(f"{method}: {answer}")
        return answer["result"]

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured result."""
        result = self.request("tools/call", {"name": tool, "arguments": arguments})
        if result["isError"]:
            raise RuntimeError(f"{tool}: {result['structuredContent']}")
        content: dict[str, Any] = result["structuredContent"]
        return content

    def start(self, command: str, **options: Any) -> str:
        """Start a job and return its id."""
        started = self.call("console_execute_async", command=command, options=options)
        return str(started["jobId"])

    def end_of(self, job_id: str) -> dict[str, Any]:
        """Return the job when it is over."""
        while True:
            job: dict[str, Any] = self.call("console_get_job_status", jobId=job_id, waitMs=45_000)[
                "job"
            ]
            if job["status"] not in ("pending", "running"):
                return job

    def call_together(self, tool: str, arguments: dict[str, Any], count: int, at_once: int) -> None:
        """Make the same call many times, so many at once; every answer has to be a success."""
        params = {"name": tool, "arguments": arguments}
        lines = [self.line("tools/call", params) for _ in range(count)]
        self._write(b"".join(lines[:at_once]))
        for number in range(at_once, count + at_once):
            answer = self._read()
            if b'"success":true' not in answer:
                raise RuntimeError(answer.decode())
            if number < count:
                self._write(lines[number])

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def _read(self) -> bytes:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the bridge has ended")
        return line


_HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "bench", "version": "1"},
}


class Daemon:
    """A daemon as a child of this process."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self._settings = CALM | {"on_shutdown": "stop"} | settings
        self.process: subprocess.Popen[bytes]

    def start(self) -> float:
        """Start it and return how many seconds it took until it said that it is ready."""
        environment = {**os.environ, "CONSOLE_AUTOMATION_HOME": str(self.home)}
        for name, value in self._settings.items():
            environment[f"CONSOLE_AUTOMATION_{name.upper()}"] = str(value)
        reader, writer = os.pipe()
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "console_automation",
                "daemon",
                "run",
                "--ready-fd",
                str(writer),
            ],
            env=environment,
            pass_fds=[writer],
            start_new_session=True,
        )
        os.close(writer)
        with os.fdopen(reader) as pipe:
            said = pipe.readline().strip()
        if said != "ready":
            raise RuntimeError(f"the daemon did not start: {said}")
        return time.perf_counter() - began

    def stop(self) -> None:
        """Have it end its jobs and itself."""
        self.process.terminate()
        self.process.wait(_PATIENCE)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(_PATIENCE)

    def gauge(self, name: str) -> float:
        """Return one of the figures it exposes, by the whole name with its labels."""
        with launch.connect(str(self.home), "api") as line:
            text = str(launch.exchange(line, {"ask": "metrics"})["text"])
        found = [each.split()[-1] for each in text.splitlines() if each.startswith(name + " ")]
        return float(found[0])

    def until(self, name: str, value: float) -> float:
        """Return how many seconds it takes until a figure has come to a value."""
        began = time.perf_counter()
        while self.gauge(name) != value:
            if time.perf_counter() - began > _PATIENCE:
                raise RuntimeError(f"{name} is {self.gauge(name)}, not {value}")
            time.sleep(0.01)
        return time.perf_counter() - began


@contextmanager
def running(home: Path | None = None, **settings: Any) -> Iterator[Daemon]:
    """A running daemon, on a state directory of its own unless one is given."""
    if home is None:
        with state_directory() as own, running(own, **settings) as daemon:
            yield daemon
        return
    daemon = Daemon(home, **settings)
    daemon.start()
    try:
        Client(home).__exit__()  # the daemon loads the MCP SDK after it has said that it is ready
        yield daemon
    finally:
        daemon.stop()


def memory_of(pid: int, field: str) -> int:
    """Return a size in bytes from /proc/<pid>/status: VmRSS, VmHWM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{field} of {pid} is not known")


def forget_peak(pid: int) -> None:
    """Have VmHWM count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def share_of_memory(pids: Sequence[int]) -> int:
    """Return the bytes these processes hold, pages that are shared counted in parts (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the processor time that processes have used so far."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


def settled(loop_seconds: float = 0.5) -> None:
    """Let what was just started or ended come to rest before something is timed."""
    asyncio.run(asyncio.sleep(loop_seconds))
